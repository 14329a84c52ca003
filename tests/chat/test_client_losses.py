"""When the Python client gives a connection up, and what it says about it, before a server that behaves badly."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import socketio
from aiohttp import web
from aiohttp.test_utils import TestServer

from chat.client import ChatClient
from chat.sockets import create_server, mount


class Odd:
    """A server that greets, and does what a test wants besides."""

    def __init__(self) -> None:
        self.server: socketio.AsyncServer = create_server(kind="plain")
        self.kick: dict[str, Any] | None = None
        self.connects = 0
        self.server.on("connect", self._connect, namespace="/citizen")
        self.server.on("hello", self._hello, namespace="/citizen")
        self.server.on("quick", self._quick, namespace="/citizen")
        self.server.on("never", self._never, namespace="/citizen")

    async def _connect(self, *_: Any) -> None:
        self.connects += 1

    async def _hello(self, sid: str, _: Any) -> dict[str, Any]:
        if self.kick is not None:
            await self.server.emit("kick", self.kick, to=sid, namespace="/citizen")
        return {"ok": True, "v": 1, "convs": [], "gone": [], "node": "odd"}

    async def _quick(self, *_: Any) -> dict[str, Any]:
        return {"ok": True}

    async def _never(self, *_: Any) -> None:
        await asyncio.Event().wait()


@pytest.fixture
async def odd() -> AsyncIterator[tuple[Odd, ChatClient]]:
    """The server, and a client that has not begun."""

    async def ticket() -> str:
        return "any"

    odd, app = Odd(), web.Application()
    mount(odd.server, app)
    async with TestServer(app) as running:
        client = ChatClient(str(running.make_url("")), ticket, namespace="/citizen", answer_timeout=0.5)
        try:
            yield odd, client
        finally:
            await client.stop()


async def test_who_is_sent_away_while_being_greeted_keeps_the_time_that_was_told(odd: tuple[Odd, ChatClient]) -> None:
    server, client = odd
    server.kick = {"code": "restarting", "retry_after": 600}
    client.start()
    async with asyncio.timeout(20):
        while not client.losses:
            await asyncio.sleep(0.01)
    (loss,) = client.losses
    assert loss.greeted, loss
    assert (loss.told, loss.node) == (True, "odd"), loss
    assert client.connection._held_until - time.monotonic() > 500
    assert server.connects == 1


async def test_a_connection_over_which_answers_come_is_not_given_up(odd: tuple[Odd, ChatClient]) -> None:
    _, client = odd
    async with client:
        waiting = asyncio.create_task(client.connection.ask("never", {}))
        await asyncio.sleep(0)
        assert await client.once("quick", {}, timeout=20)
        await asyncio.wait_for(waiting, 20)
        assert client.connected.is_set()
        await asyncio.wait_for(client.connection.ask("never", {}), 20)
        await client.until(lambda: client.losses, 20)
        (loss,) = client.losses
        assert loss.unheard, loss
        assert loss.why == "nothing heard for 0.5 s, nor an answer to never"
