"""A client of the protocol in docs/protocol.md: the Python twin of the browser's, for tests, tour and drills.

Keeps a log per consultation that is always a prefix of the server's, an outbox that sends each thing until
there is a definite answer, and a connection that comes back by itself and resumes from its cursors.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import socketio

from chat.sockets import PATH, Json

Ack = dict[str, Any]
GetTicket = Callable[[], Awaitable[str]]

PROTOCOL_VERSION = 1
ANSWER_TIMEOUT = 8.0  # seconds without an acknowledgement after which a thing is sent again
_LOST = object()


class Refused(Exception):
    """A definite refusal; `problem` is the server's error object."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(f"{problem.get('code')}: {problem.get('detail')}")
        self.problem = problem

    @property
    def code(self) -> str:
        return str(self.problem.get("code"))


class LocalLog:
    """What this client has of one consultation: operations 1 … `seq` without gaps."""

    def __init__(self, consultation_id: str) -> None:
        self.consultation_id = consultation_id
        self.epoch = 0
        self.ops: list[dict[str, Any]] = []
        self.header: dict[str, Any] = {}
        self.receipts: dict[str, dict[str, Any]] = {}
        self._ahead: dict[int, dict[str, Any]] = {}
        self.doubles = 0
        self.gaps = 0

    @property
    def seq(self) -> int:
        return len(self.ops)

    def add(self, op: dict[str, Any]) -> bool:
        """Take one operation in. False when something before it is missing."""
        if op["epoch"] != self.epoch:
            self.reset(op["epoch"])
        if op["seq"] <= self.seq:
            self.doubles += 1
            return True
        self._ahead[op["seq"]] = op
        while following := self._ahead.pop(self.seq + 1, None):
            self.ops.append(following)
        if self._ahead:
            self.gaps += 1
        return not self._ahead

    def reset(self, epoch: int) -> None:
        """The server's log is another one now: begin again."""
        self.epoch = epoch
        self.ops.clear()
        self._ahead.clear()

    def texts(self) -> list[str]:
        """The messages as sent, in order."""
        return [op["body"]["text"] for op in self.ops if op["kind"] == "message"]


class ChatClient:
    """One device of one person. `get_ticket` fetches a fresh ticket for each connection."""

    def __init__(
        self,
        base_url: str,
        get_ticket: GetTicket,
        *,
        namespace: str,
        device: str = "",
        logs: dict[str, LocalLog] | None = None,
        first_pause: float = 0.1,
        longest_pause: float = 30.0,
    ) -> None:
        """`logs` are those of an earlier run of the same device; pauses between attempts are in seconds."""
        self._base_url = base_url
        self._get_ticket = get_ticket
        self.namespace = namespace
        self._device = device
        self._pauses = (first_pause, longest_pause)
        self.logs = logs if logs is not None else {}
        self.events: deque[tuple[str, Any]] = deque(maxlen=1000)
        self.connected = asyncio.Event()
        self.connections = 0
        self.refusal: dict[str, Any] | None = None
        self.last_error: Exception | None = None
        self._socket: socketio.AsyncClient | None = None
        self._changed = asyncio.Condition()
        self._waiting: set[asyncio.Future[Any]] = set()
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._task: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._fetching: set[str] = set()

    async def __aenter__(self) -> ChatClient:
        self.start()
        await asyncio.wait_for(self.connected.wait(), 10)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def start(self) -> None:
        """Connect, and stay connected until `stop`."""
        self._task = asyncio.create_task(self._stay(), name="chat-client")

    async def stop(self) -> None:
        """Disconnect for good. What was not acknowledged stays unanswered."""
        tasks = [t for t in (self._task, *self._tasks) if t is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.drop()

    async def drop(self) -> None:
        """Lose the connection; a started client comes back."""
        if self._socket is not None:
            with suppress(Exception):
                await self._socket.disconnect()

    # --- doing -----------------------------------------------------------------------------------

    async def call(self, event: str, payload: dict[str, Any]) -> Ack:
        """Send an event until there is a definite answer. Raises `Refused`."""
        while True:
            await self.connected.wait()
            answer = await self._ask(event, payload, ANSWER_TIMEOUT)
            if answer is _LOST:
                await asyncio.sleep(0.01)
            elif answer["ok"]:
                return dict(answer)
            elif answer["retry"]:
                await asyncio.sleep(answer.get("after_ms", 1000) / 1000)
            else:
                raise Refused(answer["problem"])

    async def act(self, event: str, conv: str, **payload: Any) -> Ack:
        """An event that changes a consultation: one at a time, in order, the same `cid` until it is answered."""
        cid = payload.pop("cid", None) or str(uuid.uuid4())
        async with self._turns[conv]:
            return await self.call(event, {"conv": conv, "cid": cid, **payload})

    async def send(self, conv: str, text: str, **options: Any) -> Ack:
        """Say something."""
        body = {"text": text, **options.pop("body", {})}
        return await self.act("msg:send", conv, body=body, **options)

    async def open(self, subject: str, *, cid: str | None = None, **payload: Any) -> Ack:
        """Open a consultation; `text` is its first message."""
        if (text := payload.pop("text", None)) is not None:
            payload["body"] = {"text": text}
        answer = await self.call("conv:open", {"cid": cid or str(uuid.uuid4()), "subject": subject, **payload})
        self._log(answer["conv"]).header = answer["consultation"]
        return answer

    async def follow(self, conv: str) -> None:
        """Follow a consultation that the server did not put here by itself."""
        log = self._log(conv)
        await self._greet({conv: [log.epoch, log.seq]}, rest=False)

    async def once(self, event: str, payload: Any, timeout: float = ANSWER_TIMEOUT) -> Ack | None:
        """Send an event a single time; None when no answer came."""
        answer = await self._ask(event, payload, timeout)
        return None if answer is _LOST else answer

    async def until(self, condition: Callable[[], Any], timeout: float = 10.0) -> Any:
        """Wait until `condition()` is true after something was heard, and return what it gave.

        Raises `TimeoutError`.
        """
        async with asyncio.timeout(timeout):
            async with self._changed:
                while not (found := condition()):
                    await self._changed.wait()
                return found

    async def until_texts(self, conv: str, *texts: str, timeout: float = 10.0) -> list[str]:
        """Wait until the consultation holds all these messages."""
        await self.until(lambda: set(texts) <= set(self._log(conv).texts()), timeout)
        return self._log(conv).texts()

    # --- the connection --------------------------------------------------------------------------

    async def _stay(self) -> None:
        pause, longest = self._pauses
        while True:
            lost = asyncio.Event()
            socket = self._new_socket(lost)
            try:
                auth = {"ticket": await self._get_ticket(), "device": self._device, "v": PROTOCOL_VERSION}
                await socket.connect(
                    self._base_url,
                    transports=["websocket"],
                    namespaces=[self.namespace],
                    auth=auth,
                    socketio_path=PATH,
                    wait_timeout=5,
                )
                self._socket = socket
                await self._greet({c: [log.epoch, log.seq] for c, log in self.logs.items()}, rest=True)
                self.connected.set()
                self.connections += 1
                pause = self._pauses[0]
                await self._notify()
                await lost.wait()
            except Exception as error:  # noqa: BLE001 - whatever it was, the next attempt begins anew
                self.last_error = error
            finally:
                self.connected.clear()
                self._socket = None
                self._lose()
                with suppress(Exception):
                    await socket.disconnect()
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(longest, pause * 2)

    def _new_socket(self, lost: asyncio.Event) -> socketio.AsyncClient:
        socket = socketio.AsyncClient(reconnection=False, json=Json, handle_sigint=False)

        def heard(event: str, *data: Any) -> Any:
            return self._heard(event, data[0] if data else None)

        def refused(data: Any = None) -> None:
            self.refusal = data.get("data", data) if isinstance(data, dict) else {"detail": str(data)}

        def gone(*_: Any) -> None:
            lost.set()
            self._lose()

        socket.on("*", heard, namespace=self.namespace)
        socket.on("connect_error", refused, namespace=self.namespace)
        socket.on("disconnect", gone, namespace=self.namespace)
        return socket

    async def _greet(self, cursors: dict[str, list[int]], *, rest: bool) -> None:
        answer = await self._ask("hello", {"cursors": cursors, "rest": rest}, ANSWER_TIMEOUT)
        if answer is _LOST:
            raise TimeoutError
        if not answer["ok"]:
            raise Refused(answer["problem"])
        for entry in answer["convs"]:
            log = self._log(entry["conv"])
            log.header = entry["consultation"]
            if not entry["recovered"] and entry["joined"]:
                log.reset(entry["epoch"])
        for conv in answer["gone"]:
            self.logs.pop(conv, None)

    async def _ask(self, event: str, payload: Any, timeout: float) -> Any:
        """One attempt; `_LOST` when the connection went away or nothing came in time."""
        socket = self._socket
        if socket is None:
            return _LOST
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)

        def answered(*data: Any) -> None:
            if not future.done():
                future.set_result(data[0] if data else {"ok": True})

        try:
            await socket.emit(event, payload, namespace=self.namespace, callback=answered)
            return await asyncio.wait_for(future, timeout)
        except (TimeoutError, socketio.exceptions.SocketIOError, ConnectionError):
            return _LOST
        finally:
            self._waiting.discard(future)

    def _lose(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(_LOST)

    # --- hearing ---------------------------------------------------------------------------------

    def _log(self, conv: str) -> LocalLog:
        if conv not in self.logs:
            self.logs[conv] = LocalLog(conv)
        return self.logs[conv]

    def _heard(self, event: str, data: Any) -> Any:
        self.events.append((event, data))
        if event == "op" and not self._log(data["conv"]).add(data):
            self._later(self._fetch(data["conv"]))
        elif event == "conv":
            self._log(data["id"]).header = data
        elif event == "rcpt":
            self._log(data["conv"]).receipts[data["reader"]["kind"]] = data
        self._later(self._notify())
        return {}

    async def _fetch(self, conv: str) -> None:
        """Something is missing: get it from the log."""
        if conv in self._fetching:
            return
        self._fetching.add(conv)
        try:
            log, more = self._log(conv), True
            while more:
                answer = await self.call("ops:get", {"conv": conv, "epoch": log.epoch, "after": log.seq})
                if not answer["recovered"]:
                    log.reset(answer["epoch"])
                    continue
                for op in answer["ops"]:
                    log.add(op)
                more = answer["more"] and bool(answer["ops"])
            await self._notify()
        finally:
            self._fetching.discard(conv)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _later(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
