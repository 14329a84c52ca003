"""What is replaced in python-engineio: fails when an upgrade makes the replacement ineffective."""

from __future__ import annotations

import aiohttp
from aiohttp.test_utils import TestServer

from chat.sockets import Json, PlainWebSocket, create_server


async def test_a_browser_that_offers_deflate_gets_none(server: TestServer) -> None:
    async with (
        aiohttp.ClientSession() as browser,
        browser.ws_connect(server.make_url("/socket.io/?EIO=4&transport=websocket"), compress=15) as socket,
    ):
        assert (await socket.receive_str()).startswith("0{")
        assert socket.compress == 0


async def test_only_this_server_has_the_driver() -> None:
    from engineio.async_drivers import aiohttp as driver

    assert create_server().eio._async["websocket"] is PlainWebSocket
    assert driver._async["websocket"] is not PlainWebSocket


def test_half_characters_reach_validation() -> None:
    assert Json.loads('["\\ud83d"]') == ["\ud83d"]
    assert Json.loads(Json.dumps({"文": [1, None]}, separators=(",", ":"))) == {"文": [1, None]}
