"""A Socket.IO server that echoes between pairs and breaks its promises where it is told to, for tests of the load."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import orjson
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer

#: From a message's number to what its reader gets: the numbers whose packets go out now.
Delivers = Callable[[int], list[int]]


class UnrulyServer:
    """`delivers` says what reaches the reader, `acknowledges` what is answered and with which `ok`."""

    def __init__(self, delivers: Delivers, acknowledges: Callable[[int], list[bool]]) -> None:
        self.delivers = delivers
        self.acknowledges = acknowledges
        self.offered: list[str] = []
        self.pongs = 0
        self._sockets: defaultdict[str, list[web.WebSocketResponse]] = defaultdict(list)
        self._packets: dict[tuple[str, int], str] = {}

    async def answer(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        self.offered.append(request.headers.get("Sec-WebSocket-Extensions", ""))
        await socket.send_str('0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":100000}')
        pair = ""
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            data: str = message.data
            if data.startswith("40"):
                pair = orjson.loads(data[2:])["pair"]
                self._sockets[pair].append(socket)
                await socket.send_str('40{"sid":"y"}')
                await socket.send_str("2")
            elif data == "3":
                self.pongs += 1
            elif data.startswith("42"):
                await self._on_event(pair, socket, data[2:])
        return socket

    async def _on_event(self, pair: str, socket: web.WebSocketResponse, data: str) -> None:
        number, _, body = data.partition("[")
        payload = orjson.loads("[" + body)[1]
        text = payload["body"]["text"]
        at = int(text.split("~")[1].removeprefix("n"))
        self._packets[pair, at] = f"42{orjson.dumps(['op', payload]).decode()}"
        for ok in self.acknowledges(at):
            await socket.send_str(f"43{number}{orjson.dumps([{'ok': ok}]).decode()}")
        reader = self._sockets[pair][1]
        for each in self.delivers(at):
            if not reader.closed:
                await reader.send_str(self._packets[pair, each])

    async def close_readers(self) -> None:
        """Close what those who send do not use."""
        for _, reader in self._sockets.values():
            await reader.close()


@asynccontextmanager
async def unruly(
    delivers: Delivers, acknowledges: Callable[[int], list[bool]]
) -> AsyncIterator[tuple[UnrulyServer, int]]:
    """(The server, its port)."""
    server = UnrulyServer(delivers, acknowledges)
    app = web.Application()
    app.router.add_get("/socket.io/", server.answer)
    async with TestServer(app) as running:
        assert running.port is not None
        yield server, running.port
