"""A node that is about to stop: unready first, then it sends its sockets elsewhere, and breaks off nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import socketio
from aiohttp import web
from aiohttp.test_utils import TestServer

from backend.app import CHAT, create_app, leave
from backend.composition import open_services
from chat import lean_sockets
from chat import leaving as leaving_module
from chat.sockets import Json
from config.settings import Settings
from tests.callers import Caller
from tests.chat.conftest import Connect, Office, device
from tests.drills.proxy import Proxy


@dataclass
class Leaver:
    """A node that can be told to leave, and the line between it and the database."""

    app: web.Application
    server: TestServer
    line: Proxy

    @property
    def url(self) -> str:
        return str(self.server.make_url("")).rstrip("/")

    @property
    def app_leaves(self) -> bool:
        return self.app[CHAT].connections.leaving


@pytest.fixture
async def leaver(settings: Settings, office: Office) -> AsyncIterator[Leaver]:
    assert settings.mongo_url
    address = urlsplit(settings.mongo_url)
    assert address.port
    async with Proxy(address.port) as line:
        # one member is addressed, whatever the set calls itself
        own = settings.model_copy(update={"mongo_url": f"mongodb://127.0.0.1:{line.port}/?directConnection=true"})
        async with open_services(own) as services:
            app = create_app(own, services)
            async with TestServer(app) as running:
                assert isinstance(running, TestServer)
                yield Leaver(app, running, line)


class Heard:
    """A bare socket: everything that came, in its order, with the time of arrival."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.client = socketio.AsyncClient(reconnection=False, json=Json)
        self.came: list[tuple[str, Any, float]] = []
        self.refusal: Any = None
        self.gone = asyncio.Event()
        self.client.on("*", self._event, namespace=namespace)
        self.client.on("disconnect", lambda *_: self.gone.set(), namespace=namespace)
        self.client.on("connect_error", self._refused, namespace=namespace)

    def _note(self, name: str, data: Any) -> None:
        self.came.append((name, data, asyncio.get_running_loop().time()))

    def _event(self, name: str, *data: Any) -> dict[str, Any]:
        self._note(name, data[0] if data else None)
        return {}

    def _refused(self, data: Any) -> None:
        self.refusal = data

    @property
    def kick(self) -> tuple[Any, float]:
        (told,) = [(data, at) for name, data, at in self.came if name == "kick"]
        return told

    @staticmethod
    async def ticket(caller: Caller) -> str:
        status, answer = await caller.post("/api/socket-tickets")
        assert status == 201, answer
        return str(answer["ticket"])

    async def connect(self, leaver: Leaver, ticket: str, url: str = "") -> bool:
        try:
            await self.client.connect(
                url or leaver.url,
                transports=["websocket"],
                namespaces=[self.namespace],
                auth={"ticket": ticket, "device": "", "v": 1},
                wait_timeout=20,
            )
        except socketio.exceptions.ConnectionError:
            return False
        return True

    async def ask(self, event: str, payload: dict[str, Any]) -> asyncio.Future[Any]:
        """Send; the future is the answer's, which is noted among what came as `ack`."""
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def ack(data: Any) -> None:
            self._note("ack", data)
            answered.set_result(data)

        await self.client.emit(event, payload, namespace=self.namespace, callback=ack)
        return answered


@asynccontextmanager
async def opened(leaver: Leaver, caller: Caller, count: int = 1, url: str = "") -> AsyncIterator[list[Heard]]:
    namespace = "/citizen" if "citizen" in caller.login else "/clerk"
    sockets = [Heard(namespace) for _ in range(count)]
    try:
        for each in sockets:
            assert await each.connect(leaver, await each.ticket(caller), url)
            assert (await asyncio.wait_for(await each.ask("hello", {"cursors": {}}), 20))["ok"]
        yield sockets
    finally:
        for each in sockets:
            await each.client.disconnect()


async def get(leaver: Leaver, path: str) -> tuple[int, str | None]:
    async with aiohttp.ClientSession() as http, http.get(leaver.url + path) as response:
        await response.read()
        return response.status, response.headers.get("Connection")


async def test_while_nobody_knows_yet_a_leaving_node_is_unready_and_serves_everybody(
    leaver: Leaver, connect: Connect, citizen: Caller, clerk: Caller, office: Office
) -> None:
    phone = await connect(citizen)  # on another node
    conv = (await phone.open("咨询", matter_id=office.matter.id, text="您好"))["conv"]
    assert (await get(leaver, "/readyz"))[0] == 200
    async with opened(leaver, clerk) as (desk,):
        leaving = asyncio.create_task(leave(leaver.app, unnoticed=600, seconds=0))
        async with asyncio.timeout(20):
            while (await get(leaver, "/readyz"))[0] != 503:
                assert not leaving.done()
        # requests are served, and connections that are kept do not come here again
        assert await get(leaver, "/api/matters") == (200, "close")
        async with opened(leaver, clerk) as (late,):  # balancers cannot know yet: it is taken
            message = {"conv": conv, "cid": "c1f2f9a0-2f7e-4a53-8f0b-6a1d4d0a0001", "body": {"text": "请讲"}}
            assert (await asyncio.wait_for(await late.ask("msg:send", message), 20))["ok"]
            await phone.until_texts(conv, "您好", "请讲", timeout=20)
            assert (await asyncio.wait_for(await desk.ask("beat", {"convs": {}}), 20))["ok"]
            assert "kick" not in [name for each in (desk, late) for name, _, _ in each.came]
        leaving.cancel()


async def test_every_socket_is_told_where_to_go_one_after_the_other(leaver: Leaver, clerk: Caller) -> None:
    count, seconds = 8, 1.6
    async with opened(leaver, clerk, count) as sockets:
        begun = asyncio.get_running_loop().time()
        await leave(leaver.app, unnoticed=0, seconds=seconds)
        await asyncio.wait_for(asyncio.gather(*(each.gone.wait() for each in sockets)), 20)
        told = [each.kick for each in sockets]
    for data, _ in told:
        assert data["code"] == "restarting"
        assert 0 < data["retry_after"] <= 2
    assert len({data["retry_after"] for data, _ in told}) > 1  # told at once, they would not come at once
    times = sorted(at for _, at in told)
    assert times[-1] - begun < 20
    apart = [after - before for before, after in pairwise(times)]
    # a late timer may bring two together; all of them together is what must not be
    assert times[-1] - times[0] >= seconds / 2, apart
    assert sum(gap > seconds / count / 4 for gap in apart) >= count // 2, apart


async def test_what_a_socket_asked_is_answered_before_it_is_sent_away(
    leaver: Leaver, connect: Connect, citizen: Caller, clerk: Caller, office: Office
) -> None:
    phone = await connect(citizen)
    conv = (await phone.open("咨询", matter_id=office.matter.id, text="您好"))["conv"]
    async with opened(leaver, clerk) as (desk,):
        leaver.line.hold("down")  # what the database says does not arrive
        message = {"conv": conv, "cid": "c1f2f9a0-2f7e-4a53-8f0b-6a1d4d0a0002", "body": {"text": "请讲"}}
        answer = await desk.ask("msg:send", message)
        async with asyncio.timeout(20):
            while not any(each.asked.count for each in leaver.app[CHAT].connections):
                await asyncio.sleep(0)
        leaving = asyncio.create_task(leave(leaver.app, unnoticed=0, seconds=0))
        async with asyncio.timeout(20):
            while not leaver.app_leaves:
                await asyncio.sleep(0)
        assert not leaving.done()
        assert [name for name, _, _ in desk.came if name == "kick"] == []
        leaver.line.heal()
        await asyncio.wait_for(leaving, 20)
        assert answer.done()
        assert answer.result()["ok"]
        await asyncio.wait_for(desk.gone.wait(), 20)
        names = [name for name, _, _ in desk.came]
        assert names.index("ack", 1) < names.index("kick"), names
        await phone.until_texts(conv, "您好", "请讲", timeout=20)


async def test_a_socket_that_comes_while_the_others_go_is_refused_with_a_time(
    leaver: Leaver, clerk: Caller, citizen: Caller
) -> None:
    async with opened(leaver, clerk, 2):
        leaving = asyncio.create_task(leave(leaver.app, unnoticed=0, seconds=600))
        async with asyncio.timeout(20):
            while not leaver.app_leaves:
                await asyncio.sleep(0)
        late = Heard("/citizen")
        assert not await late.connect(leaver, await late.ticket(citizen))
        await late.client.disconnect()
        assert late.refusal["message"] == "temporarily-unavailable"
        assert late.refusal["data"]["retry_after"] > 0
        leaving.cancel()


async def begun_to_leave(leaver: Leaver) -> asyncio.Task[None]:
    """The node leaves, and has gone as far as it goes by itself."""
    leaving = asyncio.create_task(leave(leaver.app, unnoticed=0, seconds=0))
    async with asyncio.timeout(20):
        while not leaver.app_leaves:
            await asyncio.sleep(0)
    for _ in range(20):
        await asyncio.sleep(0)
    return leaving


async def test_a_socket_that_is_full_is_told_when_it_takes_something_again(
    leaver: Leaver, clerk: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaving_module, "ANSWERS_SECONDS", 60.0)  # the machine may be slow, the reader too
    assert leaver.server.port
    async with Proxy(leaver.server.port) as way, opened(leaver, clerk, url=way.url) as (desk,):
        chat = leaver.app[CHAT]
        (connection,) = chat.connections
        way.hold("down")
        async with asyncio.timeout(20):
            while chat.transport.takes(connection):
                chat.transport.push("op", b'"' + b"x" * 30_000 + b'"', [connection])
                await asyncio.sleep(0)
        leaving = await begun_to_leave(leaver)
        way.heal()
        await asyncio.wait_for(asyncio.gather(leaving, desk.gone.wait()), 60)
        data, _ = desk.kick
        assert data["code"] == "restarting"


async def test_who_is_just_being_connected_is_refused_before_the_node_ends(leaver: Leaver, citizen: Caller) -> None:
    late = Heard("/citizen")
    ticket = await late.ticket(citizen)
    leaver.line.hold("down")  # whose ticket it is does not arrive
    connecting = asyncio.create_task(late.connect(leaver, ticket))
    async with asyncio.timeout(20):
        while not leaver.app[CHAT].connections.arriving.count:
            await asyncio.sleep(0)
    leaving = await begun_to_leave(leaver)
    assert not leaving.done()
    leaver.line.heal()
    await asyncio.wait_for(leaving, 20)
    assert not await asyncio.wait_for(connecting, 20)
    await late.client.disconnect()
    assert late.refusal["message"] == "temporarily-unavailable"
    assert late.refusal["data"]["retry_after"] > 0


async def test_the_client_says_that_it_was_told_and_comes_when_it_was_asked_to(leaver: Leaver, citizen: Caller) -> None:
    async with device(citizen, leaver.server) as phone:
        await leave(leaver.app, unnoticed=0, seconds=0)
        await phone.until(lambda: len(phone.losses) >= 2, 20)
        told, refused = phone.losses[:2]
    assert told.greeted
    assert told.told, told
    assert told.node == leaver.app[CHAT].hub.node
    assert not refused.greeted
    assert refused.why == "refused with temporarily-unavailable, retry_after 1 (connect)"


async def test_what_is_on_the_way_to_a_node_does_not_cut_off_what_it_says(
    leaver: Leaver, clerk: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lean_sockets, "_CLOSE_SECONDS", 60.0)
    assert leaver.server.port
    async with Proxy(leaver.server.port) as way, opened(leaver, clerk, url=way.url) as (desk,):
        (socket,) = leaver.app[CHAT].server.eio.sockets.values()
        way.hold("down")  # the balancer has much to do
        await leave(leaver.app, unnoticed=0, seconds=0)
        await desk.ask("beat", {"convs": {}})  # it does not know yet
        async with asyncio.timeout(20):
            while not socket.closed:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)  # what a node that cuts it off would take
        for _ in range(3):
            with suppress(socketio.exceptions.SocketIOError):  # cut off: there is no kick below
                await desk.ask("beat", {"convs": {}})
            await asyncio.sleep(0.05)  # the balancer finds out when it passes this on
        way.heal()
        await asyncio.wait_for(desk.gone.wait(), 20)
        data, _ = desk.kick
        assert data["code"] == "restarting"
