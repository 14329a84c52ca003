"""The Socket.IO server of one node: WebSocket only, no deflate, our JSON.

Engine.IO's aiohttp driver leaves aiohttp's `compress=True`, and browsers offer deflate: that costs a quarter
of the throughput and 90 KB for every idle connection, and `http_compression` is about polling only. So the
driver is replaced by one that does not accept the offer; `tests/chat/test_sockets.py` fails when an upgrade
of python-engineio makes that ineffective. How packets come and go is `chat.lean_sockets`, or python-engineio's
own way where the setting says `plain`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Literal

import socketio
from aiohttp import web
from engineio.async_drivers.aiohttp import WebSocket

from chat.lean_sockets import LeanServer, LeanWebSocket
from chat.wire import Json, TextPacket

__all__ = ["PATH", "Json", "Kind", "create_server", "mount"]

PATH = "socket.io"
#: Bytes of one packet; the largest is a `hello` with 200 cursors or a message of 2,000 characters.
MAX_PACKET = 64 * 1024
PING_INTERVAL = 25
PING_TIMEOUT = 20
_CLOSE_SECONDS = 3.0

Kind = Literal["lean", "plain"]


class PlainWebSocket(WebSocket):  # type: ignore[misc]  # python-engineio has no types
    """Engine.IO's driver without permessage-deflate."""

    async def __call__(self, environ: dict[str, Any]) -> web.WebSocketResponse:
        request = environ["aiohttp.request"]
        self._sock = web.WebSocketResponse(max_msg_size=self.server.max_http_buffer_size, compress=False)
        await self._sock.prepare(request)
        self.environ = environ
        await self.handler(self)
        return self._sock


class WriteQueue(asyncio.Queue[Any]):
    """What waits to be written to one socket, and how many bytes that is."""

    waiting_bytes = 0

    def _put(self, item: Any) -> None:
        self.waiting_bytes += _size(item)
        super()._put(item)

    def _get(self) -> Any:
        item = super()._get()
        self.waiting_bytes -= _size(item)
        return item


def _size(packet: Any) -> int:
    """Bytes of an Engine.IO packet; what is no event is small, and its characters will do."""
    size: int | None = getattr(packet, "size", None)
    return size if size is not None else len(getattr(packet, "data", None) or "")


def create_server(origins: Sequence[str] = (), kind: Kind = "lean") -> socketio.AsyncServer:
    """A server for one node. Browsers may come from its own origin, or from `origins` alone when given."""
    lean = kind == "lean"
    server = (LeanServer if lean else socketio.AsyncServer)(
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
    server.eio._async = {**server.eio._async, "websocket": LeanWebSocket if lean else PlainWebSocket}
    if not lean:
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
