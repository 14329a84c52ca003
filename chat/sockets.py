"""The Socket.IO server of one node: WebSocket only, no deflate, our JSON.

Engine.IO's aiohttp driver leaves aiohttp's `compress=True`, and browsers offer deflate: that costs a quarter
of the throughput and 90 KB for every idle connection, and `http_compression` is about polling only. So the
driver is replaced by one that does not accept the offer; `tests/chat/test_sockets.py` fails when an upgrade
of python-engineio makes that ineffective.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import orjson
import socketio
from aiohttp import web
from engineio.async_drivers.aiohttp import WebSocket
from engineio.packet import MESSAGE
from engineio.packet import Packet as EnginePacket
from socketio.packet import Packet

PATH = "socket.io"
#: Bytes of one packet; the largest is a `hello` with 200 cursors or a message of 2,000 characters.
MAX_PACKET = 64 * 1024
PING_INTERVAL = 25
PING_TIMEOUT = 20
#: Waiting bytes that count as one waiting packet: 256 packets are as full as 1 MB.
BYTES_PER_PACKET = 4096
_CLOSE_SECONDS = 3.0


class PlainWebSocket(WebSocket):  # type: ignore[misc]  # python-engineio has no types
    """Engine.IO's driver without permessage-deflate."""

    async def __call__(self, environ: dict[str, Any]) -> web.WebSocketResponse:
        request = environ["aiohttp.request"]
        self._sock = web.WebSocketResponse(max_msg_size=self.server.max_http_buffer_size, compress=False)
        await self._sock.prepare(request)
        self.environ = environ
        await self.handler(self)
        return self._sock


class TextPacket(Packet):  # type: ignore[misc]  # python-socketio has no types
    """Socket.IO's packet for what is never binary: python-socketio need not search every value for bytes."""

    uses_binary_events = False


class Json:
    """orjson with the signature python-socketio calls."""

    @staticmethod
    def dumps(value: object, **_: object) -> str:
        try:
            return orjson.dumps(value).decode()
        except TypeError:  # half characters and numbers beyond 64 bits
            return json.dumps(value, separators=(",", ":"))

    @staticmethod
    def loads(text: str | bytes, **_: object) -> Any:
        """orjson refuses half characters; they get through here, so that validation can say what is wrong."""
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            return json.loads(text)


class EventPacket(EnginePacket):  # type: ignore[misc]  # python-engineio has no types
    """An event whose one argument is encoded already: one packet for any number of sockets of a namespace."""

    def __init__(self, namespace: str, event: str, body: bytes) -> None:
        super().__init__(MESSAGE, f'2{namespace},["{event}",{body.decode()}]')
        self.size = len(body)


class WriteQueue(asyncio.Queue[Any]):
    """What waits to be written to one socket, and how many bytes that is."""

    bytes = 0

    def _put(self, item: Any) -> None:
        self.bytes += _size(item)
        super()._put(item)

    def _get(self) -> Any:
        item = super()._get()
        self.bytes -= _size(item)
        return item


def _size(packet: Any) -> int:
    """Bytes of an Engine.IO packet; what is no event is small, and its characters will do."""
    size: int | None = getattr(packet, "size", None)
    return size if size is not None else len(getattr(packet, "data", None) or "")


def create_server(origins: Sequence[str] = ()) -> socketio.AsyncServer:
    """A server for one node. Browsers may come from its own origin, or from `origins` alone when given."""
    server = socketio.AsyncServer(
        async_mode="aiohttp",
        transports=["websocket"],
        cors_allowed_origins=list(origins) or None,
        max_http_buffer_size=MAX_PACKET,
        ping_interval=PING_INTERVAL,
        ping_timeout=PING_TIMEOUT,
        json=Json,
        serializer=TextPacket,
        namespaces=["/citizen", "/clerk"],
        logger=False,
        engineio_logger=False,
    )
    server.eio._async = {**server.eio._async, "websocket": PlainWebSocket}
    server.eio.create_queue = WriteQueue
    return server


def mount(server: socketio.AsyncServer, app: web.Application) -> None:
    """Answer on `/socket.io/` of the root application, outside the API's authentication."""
    server.attach(app, socketio_path=PATH)

    async def close_sockets(_: web.Application) -> None:
        """Before the HTTP server waits for its open connections, of which these would be the last."""
        closing = [asyncio.create_task(server.eio.disconnect(sid)) for sid in list(server.eio.sockets)]
        if closing:
            await asyncio.wait(closing, timeout=_CLOSE_SECONDS)  # one that is frozen holds up nobody

    app.on_shutdown.append(close_sockets)
