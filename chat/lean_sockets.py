"""python-socketio's server with a leaner way from the wire to a namespace and back.

The library runs a task and a timer for every packet it receives, a timer in the writer of every socket, and
two tasks for every message; that is two thirds of its CPU. Replaced here, and nothing else:

- **Reading**: the request's own task reads, without a timer. An event (`42/namespace,7[…]`) is decoded and
  is begun at once where the namespace can, else it becomes one task that calls the namespace and writes the
  acknowledgement. Everything else (CONNECT,
  DISCONNECT, acknowledgements of clients) goes through the library's own code.
- **Writing**: what one turn of the loop lays into a socket leaves as one write, since a system call costs more
  than all else that is done for a packet. There is no writer task but while a socket does not drain: then
  packets wait in a bounded queue, and whoever sends does not wait for them.
- **Being there**: one sweep for all sockets asks those whose time has come, and closes those that did not
  answer the last time.

A client that does not speak Socket.IO (binary, nonsense, an event for a namespace it did not connect to) is
closed, as the reference server does. `tests/chat/test_lean_sockets.py` checks what is relied on here.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import engineio
import socketio
import structlog
from aiohttp import WSMsgType, web
from engineio.async_drivers.aiohttp import WebSocket
from engineio.async_socket import AsyncSocket
from engineio.packet import MESSAGE, OPEN
from engineio.packet import Packet as EnginePacket
from socketio.packet import ACK, CONNECT, DISCONNECT

from chat.lean_outbox import Outbox
from chat.wire import Json, encode, frame

log = structlog.get_logger()

#: Packets that are neither events nor pongs (CONNECT, acknowledgements …) between two pings of a socket.
MAX_OTHERS = 100
#: Packets read without letting others have their turn.
_AT_ONCE = 16
_SWEEP_SECONDS = 1.0
_CLOSE_SECONDS = 3.0

_EVENT = re.compile(rb"42(/[a-z]{1,32}),([0-9]{0,15})(?=\[)")
_PROTOCOL_ERROR, _NOT_SUPPORTED, _TOO_MUCH = 1002, 1003, 1008


class LeanNamespace(socketio.AsyncNamespace):  # type: ignore[misc]  # python-socketio has no types
    """A namespace that takes events of clients directly."""

    async def client_event(self, event: str, sid: str, *args: Any) -> Any:
        """Answer an event of a client, whatever it is called. Called in the order of arrival per socket.

        `sid` may be of a socket that is going.
        """
        raise NotImplementedError

    def client_event_at_once(self, event: str, sid: str, arguments: list[Any], answer: Callable[[Any], None]) -> bool:
        """Begin an event that needs no task, and call `answer` when it is done. False: it needs one.

        Never called while an earlier event of the same socket has yet to begin.
        """
        return False


class LeanWebSocket(WebSocket):  # type: ignore[misc]  # python-engineio has no types
    """Engine.IO's aiohttp driver without deflate, and with text left as bytes. Keeps no copy of the headers."""

    async def __call__(self, environ: dict[str, Any]) -> web.WebSocketResponse:
        self._sock = web.WebSocketResponse(
            max_msg_size=self.server.max_http_buffer_size,
            compress=False,
            decode_text=False,
            autoping=False,
            timeout=_CLOSE_SECONDS,
        )
        self.protocol = environ["aiohttp.request"].protocol
        await self._sock.prepare(environ["aiohttp.request"])
        await self.handler(self)
        return self._sock


class LeanSocket(AsyncSocket):  # type: ignore[misc]  # python-engineio has no types
    """One Engine.IO socket over WebSocket."""

    last_ping: float | None  # when it was asked and has not answered since

    def __init__(self, server: LeanEngine, sid: str) -> None:
        super().__init__(server, sid)
        self.last_ping = None
        self._wire: web.WebSocketResponse | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._rare: asyncio.Task[None] | None = None
        self._hanging_up: asyncio.Task[None] | None = None
        self._code = 1000  # to close with
        self._others = 0
        self._to_begin = 0  # events whose tasks have not run yet

    def schedule_ping(self) -> None:
        """The client answered: the sweep asks again when it is time."""
        self.last_ping = None

    def tend(self) -> bool:
        """Ask whether the client is there. False when it is not, or has nothing to be here for."""
        if self.closed or self.closing:
            return False
        if self.last_ping is not None:
            self._later(self.close(wait=False, reason=self.server.reason.PING_TIMEOUT))
            return False
        if not self.server.front.has(self.sid):  # never connected to a namespace, or left it
            self._later(self.close(wait=False, reason=self.server.reason.SERVER_DISCONNECT))
            return False
        self._others = 0
        self.last_ping = time.time()
        self.queue.lay(frame(b"2"))
        return True

    async def close(self, wait: bool = True, abort: bool = False, reason: str | None = None) -> None:
        """As the library, and then the WebSocket itself within seconds, whether the client takes part or not."""
        if self.closed or self.closing:
            return
        await super().close(wait=False, abort=abort, reason=reason)
        hanging_up = self._hang_up()
        if wait:
            await asyncio.shield(hanging_up)

    def _hang_up(self) -> asyncio.Task[None]:
        """Once, whoever wants it: a second one would cut off what the first has just written."""
        if self._hanging_up is None:
            self._hanging_up = self._later(self._end())
        return self._hanging_up

    async def _end(self) -> None:
        self.queue.end()
        try:
            if self._wire is not None:
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self._wire.close(code=self._code)
        except (TimeoutError, OSError):
            pass
        finally:
            self.queue.cut()

    async def _websocket_handler(self, ws: LeanWebSocket) -> None:
        self.connected = self.upgraded = True
        self._wire = ws._sock
        self.queue.open(ws.protocol)
        code = 1000
        try:
            code = await self._read(ws._sock)
        finally:
            await asyncio.shield(self._later(self._finish(code)))  # also when the HTTP server cancels the request

    async def _finish(self, code: int) -> None:
        """What the library does for a socket that ended, whatever was going on."""
        if self._rare is not None:
            await asyncio.wait([self._rare])
        self._code = code
        await self.close(wait=False, abort=True, reason=self.server.reason.TRANSPORT_CLOSE)
        # somebody else may have closed it while a CONNECT was being looked at, which succeeded after that
        await self.server.front._handle_eio_disconnect(self.sid, self.server.reason.TRANSPORT_CLOSE)
        await asyncio.shield(self._hang_up())

    async def _read(self, wire: web.WebSocketResponse) -> int:
        """Read until the end. The code to close with."""
        read, second = 0, time.monotonic()
        while not self.closed:
            message = await wire.receive()
            data = message.data
            if message.type is not WSMsgType.TEXT:
                if message.type is WSMsgType.PING:  # answered here, since it counts like every other packet
                    self.queue.lay(b"\x8a%c%b" % (len(data), data))
                elif message.type is not WSMsgType.PONG:
                    return _NOT_SUPPORTED if message.type is WSMsgType.BINARY else 1000
            elif data == b"3":
                self.last_ping = None
            elif data == b"1":  # the client ends it
                return 1000
            elif not (self._event(data) if data.startswith(b"42") else await self._other(data)):
                return _PROTOCOL_ERROR
            read += 1
            if read % _AT_ONCE == 0:
                left = second + 1 - time.monotonic()
                if left <= 0:
                    read, second = 0, second + 1 - left
                # who sends more than anybody needs waits, and its packets wait in its own machine
                await asyncio.sleep(left if left > 0 and read > self.server.packets_per_second else 0)
        return 1000

    def _event(self, data: bytes) -> bool:
        """Start what answers an event. False when it is none."""
        found = _EVENT.match(data)
        namespace = self.server.front.lean.get(found[1]) if found else None
        if found is None or namespace is None:
            return False
        sid = self.server.front.manager.sid_from_eio_sid(self.sid, namespace.namespace)
        if sid is None:
            return False
        try:
            arguments = Json.loads(data[found.end() :])
        except (ValueError, RecursionError):
            return False
        if not arguments or not isinstance(arguments[0], str):
            return False
        if not self._to_begin:
            answer = partial(self._reply, found[1], found[2])
            if namespace.client_event_at_once(arguments[0], sid, arguments, answer):
                return True
        self._to_begin += 1
        self._later(self._answer(namespace, sid, arguments, found[1], found[2]))
        return True

    def _reply(self, name: bytes, number: bytes, answer: Any) -> None:
        if number and not self.closed:
            self.queue.lay(frame(b"43%b,%b[%b]" % (name, number, b"" if answer is None else encode(answer))))

    async def _answer(
        self, namespace: LeanNamespace, sid: str, arguments: list[Any], name: bytes, number: bytes
    ) -> None:
        self._to_begin -= 1
        try:
            answer = await namespace.client_event(arguments[0], sid, *arguments[1:])
        except Exception:
            log.exception("socket_event_failed")
            return
        self._reply(name, number, answer)

    async def _other(self, data: bytes) -> bool:
        """Let the library do what is rare. False when it is nothing a client may send."""
        self._others += 1
        if self._others > MAX_OTHERS or not data.startswith(b"4"):
            return False
        try:
            text = data.decode()
            packet = self.server.front.packet_class(encoded_packet=text[1:])
        except (ValueError, RecursionError):
            return False
        if packet.packet_type not in (CONNECT, DISCONNECT, ACK):
            return False
        if packet.packet_type == ACK and not (packet.id and isinstance(packet.data, list)):
            return False
        self._rare = self._later(self.receive(EnginePacket(MESSAGE, text[1:])))
        try:
            await asyncio.shield(self._rare)  # connecting and disconnecting are not left half done
        finally:
            if self._rare.done():
                self._rare = None
        return True

    def _later(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class LeanEngine(engineio.AsyncServer):  # type: ignore[misc]  # python-engineio has no types
    """Engine.IO with lean sockets, WebSocket only, and one sweep for all of them."""

    front: LeanServer
    start_service_task: bool
    #: Packets of one socket above which it is read no more until the second is over.
    packets_per_second = 200.0
    #: Told of each socket that is given up since too much waits for it.
    overflowed: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._due: deque[tuple[float, LeanSocket]] = deque()

    def create_queue(self, *_: Any, **__: Any) -> Outbox:
        return Outbox(self.overflowed)

    async def _handle_connect(self, environ: dict[str, Any], transport: str, jsonp_index: Any = None) -> Any:
        """As the library's, for WebSocket alone."""
        if self.start_service_task:
            self.start_service_task = False
            self.service_task_handle = self.start_background_task(self._service_task)
        sid = self.generate_id()
        socket = self.sockets[sid] = LeanSocket(self, sid)
        opening = {
            "sid": sid,
            "upgrades": [],
            "pingTimeout": int(self.ping_timeout * 1000),
            "pingInterval": int(self.ping_interval * 1000),
            "maxPayload": self.max_http_buffer_size,
        }
        socket.queue.put_nowait(EnginePacket(OPEN, opening))
        await self._trigger_event("connect", sid, {}, run_async=False)
        self._due.append((time.monotonic() + self.ping_interval, socket))
        try:
            return await socket._upgrade_websocket(environ)
        finally:
            await socket.close(
                wait=False, abort=True, reason=self.reason.TRANSPORT_ERROR
            )  # if it was not opened at all
            self.sockets.pop(sid, None)

    async def _service_task(self) -> None:
        """All sockets have the same interval, so those that are due are in front."""
        self.service_task_event = ended = self.create_event()
        while not ended.is_set():
            now = time.monotonic()
            while self._due and self._due[0][0] <= now:
                due, socket = self._due.popleft()
                if socket.tend():
                    self._due.append((max(due, now - 1) + self.ping_interval, socket))
            try:
                async with asyncio.timeout(_SWEEP_SECONDS):
                    await ended.wait()
            except TimeoutError:
                continue


class LeanServer(socketio.AsyncServer):  # type: ignore[misc]  # python-socketio has no types
    """Socket.IO over lean sockets."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.lean: dict[bytes, LeanNamespace] = {}
        self.eio.front = self

    def register_namespace(self, namespace_handler: Any) -> None:
        super().register_namespace(namespace_handler)
        if isinstance(namespace_handler, LeanNamespace):
            self.lean[namespace_handler.namespace.encode()] = namespace_handler

    def has(self, eio_sid: str) -> bool:
        """Whether a socket is in one of the namespaces, or about to be."""
        return any(
            self.manager.sid_from_eio_sid(eio_sid, namespace) is not None for namespace in self.manager.get_namespaces()
        )

    def _engineio_server_class(self) -> type[LeanEngine]:
        return LeanEngine
