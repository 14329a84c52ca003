"""What is replaced in python-engineio: fails when an upgrade makes the replacement ineffective."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from chat.lean_sockets import LeanWebSocket
from chat.sockets import Json, Kind, PlainWebSocket, create_server, mount
from config.settings import Settings
from tests.callers import Caller
from tests.chat.conftest import Connect, Office, node


@pytest.mark.parametrize("kind", ["lean", "plain"])
async def test_a_browser_that_offers_deflate_gets_none(kind: Kind) -> None:
    app = web.Application()
    mount(create_server(kind=kind), app)
    async with (
        TestServer(app) as server,
        aiohttp.ClientSession() as browser,
        browser.ws_connect(server.make_url("/socket.io/?EIO=4&transport=websocket"), compress=15) as socket,
    ):
        assert (await socket.receive_str()).startswith("0{")
        assert socket.compress == 0


async def test_only_this_server_has_the_driver() -> None:
    from engineio.async_drivers import aiohttp as driver

    assert create_server().eio._async["websocket"] is LeanWebSocket
    assert create_server(kind="plain").eio._async["websocket"] is PlainWebSocket
    assert driver._async["websocket"] not in (LeanWebSocket, PlainWebSocket)


@pytest.mark.parametrize("kind", ["lean", "plain"])
async def test_a_conversation_is_the_same_over_both(
    kind: Kind, settings: Settings, connect: Connect, citizen: Caller, clerk: Caller, office: Office
) -> None:
    async with node(settings, chat_sockets=kind) as site:
        desk, phone = await connect(clerk, site), await connect(citizen, site)
        conv = (await phone.open("咨询", matter_id=office.matter.id, text="您好"))["conv"]
        await desk.until_texts(conv, "您好")
        said = [f"第{number}句" for number in range(10)]
        answers = await asyncio.gather(*(phone.send(conv, text) for text in said))
        assert [answer["seq"] for answer in answers] == list(range(4, 14))
        assert await desk.until_texts(conv, "您好", *said) == ["您好", *said]
        refused = await phone.once("connect", {})
        assert refused is not None
        assert refused["problem"]["code"] == "unknown-event"
        await phone.once("msg:send", {"conv": conv, "body": {"text": "字" * 100_000}}, timeout=2)
        await phone.until(lambda: phone.connections == 2)  # closed, and came back by itself
        await desk.send(conv, "请带户口本")
        await phone.until_texts(conv, "请带户口本")
        assert desk.connections == 1


def test_half_characters_reach_validation() -> None:
    assert Json.loads('["\\ud83d"]') == ["\ud83d"]
    assert Json.loads(Json.dumps({"文": [1, None]}, separators=(",", ":"))) == {"文": [1, None]}
