"""One connection after the other, for the Python client: tickets, attempts, questions and answers, pauses."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aiohttp
import socketio

from chat.client_fold import Json
from chat.client_losses import Loss, failure
from chat.client_outbox import LOST, Refused
from chat.sockets import PATH
from chat.sockets import Json as Codec

GetTicket = Callable[[], Awaitable[str]]

PROTOCOL_VERSIONS = (1,)  # what is spoken here
ANSWER_TIMEOUT = 8.0  # seconds without an acknowledgement after which a thing is sent again
BEAT_EVERY = 20.0
CONNECT_TIMEOUT = 5.0  # seconds within which the namespace must be joined
#: Seconds that a connection which is given up may take to close: the other end may be silent.
_CLOSE_WITHIN = 1.0
_OVER = ("session-ended", "unsupported-version")
#: Of what the server asked for, so that those who were told the same do not come in step.
_SPREAD = 0.2


@dataclass
class Hooks:
    """What the connection tells the client."""

    greeting: Callable[[], Json]  # the payload of `hello`
    greeted: Callable[[Json], None]
    online: Callable[[], None]
    offline: Callable[[], None]
    heard: Callable[[str, Any], None]
    beat: Callable[[], dict[str, int]]
    beaten: Callable[[Json], Awaitable[None]]
    changed: Callable[[], None]


class Paused(Exception):
    """The server does not take this connection now, or at all."""

    def __init__(self, problem: Json) -> None:
        super().__init__(str(problem.get("code")))
        self.problem = problem


class SessionOver(Paused):
    """No ticket: the person has to log in again."""


def retry_after(error: object) -> float:
    """After how many seconds the server wants to be asked again; 0 when it said nothing."""
    problem = getattr(error, "problem", None)
    found = problem.get("retry_after") if isinstance(problem, dict) else getattr(error, "retry_after", None)
    return float(found) if isinstance(found, int | float) and 0 < found < float("inf") else 0.0


class Connection:
    """Stays connected from `start` to `stop`. `get_ticket` may raise what has a `problem` (see `Refused`)."""

    def __init__(
        self,
        base_url: str,
        get_ticket: GetTicket,
        hooks: Hooks,
        *,
        namespace: str,
        device: str,
        pauses: tuple[float, float],
        answer_timeout: float,
        beat_every: float,
        connect_timeout: float,
    ) -> None:
        self._connect_timeout = connect_timeout
        self._base_url, self._get_ticket, self._hooks = base_url, get_ticket, hooks
        self._namespace, self._device, self._pauses = namespace, device, pauses
        self._answer_timeout, self._beat_every = answer_timeout, beat_every
        self.connected = asyncio.Event()
        self.connections = 0
        self.kicks: list[str] = []
        self.losses: deque[Loss] = deque(maxlen=100)
        self.reason: str | None = "stopped"
        self.problem: Json | None = None
        self.refusal: Json | None = None
        self.last_error: Exception | None = None
        self._socket: socketio.AsyncClient | None = None
        self._lost = asyncio.Event()
        self._waiting: set[asyncio.Future[Any]] = set()
        self._task: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._held_until = 0.0
        self._heard_at = 0.0
        self._kicked: Json | None = None
        self._stage, self._since = "ticket", 0.0
        self._why = self._node = ""

    def start(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._stay(), name="chat-client")

    async def stop(self, reason: str = "stopped") -> None:
        """No connection, no attempts."""
        while self._task is not None and not self._task.done():
            self._task.cancel()  # again: `wait_for` in the libraries may lose it
            await asyncio.wait({self._task}, timeout=1)
        self._task, self.reason = None, reason
        await self.drop()

    def wake(self) -> None:
        """The network or the app is back: try at once, unless the server asked to be left alone."""
        if self.reason not in (*_OVER, "stopped"):
            self.start()
            self._woken.set()

    async def drop(self) -> None:
        """Lose the connection; one that is started comes back."""
        if self._socket is not None:
            await self._close(self._socket)

    async def ask(self, event: str, payload: Any, timeout: float | None = None) -> Any:
        """One attempt; `LOST` when the connection went away or nothing came in time."""
        socket, lost, asked = self._socket, self._lost, time.monotonic()
        if socket is None:
            return LOST
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)

        def answered(*data: Any) -> None:
            self._heard_at = time.monotonic()  # also when it comes too late
            if not future.done():
                future.set_result(data[0] if data else {"ok": True})

        try:
            await socket.emit(event, payload, namespace=self._namespace, callback=answered)
            # not `wait_for`: it loses a cancellation that comes together with the answer (python/cpython#86296)
            async with asyncio.timeout(self._answer_timeout if timeout is None else timeout):
                return await future
        except TimeoutError:
            if timeout is None and self._heard_at <= asked:
                self._why = self._why or f"nothing heard for {self._answer_timeout:g} s, nor an answer to {event}"
                lost.set()  # nothing was heard at all: a connection that only looks open
            return LOST
        except (socketio.exceptions.SocketIOError, ConnectionError):
            return LOST
        finally:
            self._waiting.discard(future)

    async def tell(self, event: str, payload: Any) -> None:
        """Send an event without an answer, if there is a connection."""
        if self._socket is not None and self.connected.is_set():
            with suppress(socketio.exceptions.SocketIOError, ConnectionError):
                await self._socket.emit(event, payload, namespace=self._namespace)

    async def greet(self, payload: Json) -> None:
        """Say hello (again). Raises `Refused`, and `TimeoutError` without an answer."""
        answer = await self.ask("hello", payload)
        if answer is LOST:
            raise TimeoutError
        if not answer["ok"]:
            raise Refused(answer["problem"])
        if answer.get("v", 1) not in PROTOCOL_VERSIONS:
            raise Refused({"code": "unsupported-version", "detail": "请更新后再用。"})
        self._node = str(answer.get("node", ""))
        self._hooks.greeted(answer)

    async def _stay(self) -> None:
        failed = 0
        while True:
            await self._pause(failed)
            was = self.connections
            self.reason, self._kicked = "connecting", None
            self._stage, self._since, self._why, self._node = "ticket", time.time(), "", ""
            self._hooks.changed()
            try:
                await self._once()
                self.reason, self.problem = "network", None
            except Exception as error:  # noqa: BLE001 - whatever it was, the next attempt begins anew
                self.last_error = error
                problem = getattr(error, "problem", None)
                self.reason, self.problem = ("refused", problem) if isinstance(problem, dict) else ("network", None)
                self._hold(retry_after(error))
                self._why = self._why or failure(self._stage, error)
            self._note_loss(greeted=self.connections > was)
            failed = 0 if self.connections > was else failed + 1
            if self._is_over():
                break
        self._hooks.changed()

    def _note_loss(self, *, greeted: bool) -> None:
        now, why = time.time(), self._why
        if self._kicked is not None and not why.startswith("nothing heard"):  # also when the end was heard of first
            why = f"told {self._kicked.get('code')}"
        self.losses.append(Loss(now, now - self._since, greeted, self._node, why))

    def _is_over(self) -> bool:
        """Whether no further attempt makes sense."""
        if isinstance(self.last_error, SessionOver) or "session-ended" in (
            (self._kicked or {}).get("code"),
            (self.problem or {}).get("code"),
        ):
            self.reason = "session-ended"
        elif self.problem is not None and self.problem.get("code") == "unsupported-version":
            self.reason = "unsupported-version"
        return self.reason in _OVER

    async def _once(self) -> None:
        """One connection, from the ticket to its loss."""
        lost = self._lost = asyncio.Event()
        self.last_error = None
        try:
            async with asyncio.timeout(15):
                ticket = await self._get_ticket()
        except Exception as error:
            problem = getattr(error, "problem", None)
            if isinstance(problem, dict) and problem.get("status") == 401:
                raise SessionOver(problem) from error
            raise
        async with aiohttp.ClientSession() as http:
            await self._talk(self._new_socket(http, lost), ticket, lost)

    async def _talk(self, socket: socketio.AsyncClient, ticket: str, lost: asyncio.Event) -> None:
        beating = None
        try:
            self._stage = "connect"
            await self._open(socket, ticket)
            self._socket, self._stage = socket, "hello"
            await self.greet(self._hooks.greeting())
            if self._kicked is None:  # who was sent away in the same moment keeps the time that was told
                self._held_until = 0.0
            self.reason, self.problem = None, None
            self._woken.clear()
            self.connected.set()
            self.connections += 1
            self._since = time.time()
            self._hooks.online()
            beating = asyncio.create_task(self._beats(), name="chat-client-beats")
            await lost.wait()
        finally:
            self.connected.clear()
            self._socket = None
            self._lose()
            if beating is not None:
                beating.cancel()
                await asyncio.gather(beating, return_exceptions=True)
                self._hooks.offline()
            await self._close(socket)

    @staticmethod
    async def _close(socket: socketio.AsyncClient) -> None:
        """Say goodbye, but wait for nobody: who does not read keeps the writer waiting for ever."""
        with suppress(Exception):
            async with asyncio.timeout(2 * _CLOSE_WITHIN):
                await socket.disconnect()

    async def _open(self, socket: socketio.AsyncClient, ticket: str) -> None:
        self.refusal = None
        try:
            await socket.connect(
                self._base_url,
                transports=["websocket"],
                namespaces=[self._namespace],
                auth={"ticket": ticket, "device": self._device, "v": list(PROTOCOL_VERSIONS)},
                socketio_path=PATH,
                wait_timeout=self._connect_timeout,
            )
        except socketio.exceptions.ConnectionError:
            if self.refusal and "code" in self.refusal:
                raise Paused(self.refusal) from None
            raise

    async def _pause(self, failed: int) -> None:
        """Wait for the time of the next attempt: what the server asked for, else full jitter."""
        first, longest = self._pauses
        never = self.connections == 0 and failed == 0
        pause = 0.0 if never else min(longest, first * 2**failed) * random.random()
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._woken.wait()
        self._woken.clear()
        await asyncio.sleep(self._held_until - time.monotonic())

    def _hold(self, seconds: float) -> None:
        """The server wants to be left alone for so long."""
        if seconds > 0:
            self._held_until = time.monotonic() + seconds * (1 + _SPREAD * random.random())

    def _new_socket(self, http: aiohttp.ClientSession, lost: asyncio.Event) -> socketio.AsyncClient:
        socket = socketio.AsyncClient(
            reconnection=False,
            json=Codec,
            handle_sigint=False,
            http_session=http,
            websocket_extra_options={"timeout": aiohttp.ClientWSTimeout(ws_close=_CLOSE_WITHIN)},
        )

        def heard(event: str, *data: Any) -> Any:
            self._heard_at = time.monotonic()
            if event == "kick" and data:
                self._kicked = data[0]
                self.kicks.append(str(data[0].get("code")))
                self._hold(float(data[0].get("retry_after") or 0))
                lost.set()
            self._hooks.heard(event, data[0] if data else None)
            return {}

        def refused(data: Any = None) -> None:
            self.refusal = data.get("data", data) if isinstance(data, dict) else {"detail": str(data)}

        def gone(*reason: Any) -> None:
            code = getattr(getattr(socket.eio, "ws", None), "close_code", None)
            self._why = self._why or f"closed, {', '.join(map(str, reason)) or 'no reason'}, code {code}"
            lost.set()
            self._lose()

        socket.on("*", heard, namespace=self._namespace)
        socket.on("connect_error", refused, namespace=self._namespace)
        socket.on("disconnect", gone, namespace=self._namespace)
        return socket

    async def _beats(self) -> None:
        while True:
            await asyncio.sleep(self._beat_every)
            answer = await self.ask("beat", {"convs": self._hooks.beat()})
            if answer is not LOST and answer["ok"]:
                await self._hooks.beaten(answer)

    def _lose(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(LOST)
