"""What operators see: a talk is played over real sockets, and `/metrics` tells of it."""

from __future__ import annotations

import asyncio
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from backend.app import create_app
from backend.composition import open_services
from chat import delivery, hints
from chat.client import Refused
from config.settings import Settings
from tests.callers import Caller
from tests.chat.conftest import Connect, Office, device
from tests.figures import Figures, scrape


async def until(http: aiohttp.ClientSession, holds: Callable[[Figures], bool], url: str = "") -> Figures:
    """Scrape until something holds."""
    async with asyncio.timeout(20):
        while not holds(found := await scrape(http, url)):
            await asyncio.sleep(0.05)
    return found


@asynccontextmanager
async def processes(settings: Settings, *names: str) -> AsyncIterator[list[TestServer]]:
    """Nodes that know each other as processes of one system."""
    async with AsyncExitStack() as stack:
        running: list[TestServer] = []
        for name in names:
            services = await stack.enter_async_context(open_services(settings))
            node = await stack.enter_async_context(TestServer(create_app(settings, services, name)))
            assert isinstance(node, TestServer)
            running.append(node)
        yield running


async def test_a_talk_moves_the_figures(
    connect: Connect, http: aiohttp.ClientSession, server: TestServer, citizen: Caller, clerk: Caller, office: Office
) -> None:
    before = await scrape(http)
    assert before("banshi_chat_sockets") == 0
    desk, phone = await connect(clerk), await connect(citizen)
    conv = (await phone.open("咨询", matter_id=office.matter.id, text="您好"))["conv"]
    cid = str(uuid.uuid4())
    for number in range(4):
        await desk.send(conv, f"答{number}", cid=cid if number == 0 else None)
    await phone.until_texts(conv, "答3")
    await phone.call("rcpt", {"conv": conv, "read": 4})
    with pytest.raises(Refused):
        await desk.send(conv, "另一句", cid=cid)
    for name in ("msg:sned", "随便什么"):
        assert (await phone.once(name, {}) or {})["ok"] is False
    async with http.ws_connect("/socket.io/?EIO=4&transport=websocket") as wire:
        await wire.receive()
        await wire.send_str('40/citizen,{"ticket":"spent","device":"x","v":1}')
        assert (await wire.receive_str()).startswith("44")
        found = await scrape(http)

    def grew(name: str, **labels: str) -> float:
        return found(name, **labels) - before(name, **labels)

    assert found("banshi_chat_sockets", namespace="/citizen", process="server") == 1
    assert found("banshi_chat_sockets", namespace="/clerk") == 1
    assert grew("banshi_chat_connects_total", outcome="admitted") == 2
    assert grew("banshi_chat_connects_total", outcome="unauthenticated") == 1
    assert grew("banshi_chat_events_total", event="msg:send", outcome="ok") == 4
    assert grew("banshi_chat_events_total", event="msg:send", outcome="idempotency-conflict") == 1
    assert grew("banshi_chat_events_total", event="unknown", outcome="unknown-event") == 2
    assert grew("banshi_chat_event_seconds_count", event="msg:send") == 5
    assert 0 < grew("banshi_chat_event_seconds_sum", event="msg:send") < 60
    assert grew("banshi_chat_operations_committed_total", kind="message") == 5
    assert grew("banshi_chat_operations_committed_total", kind="opened") == 1
    assert grew("banshi_chat_operations_delivered_total") >= 4  # by which way depends on when a reader joined
    assert grew("banshi_chat_operations_delivered_total", way="local") >= 1
    assert grew("banshi_chat_commit_batch_size_sum") >= 4
    assert grew("banshi_chat_commit_seconds_count") == grew("banshi_chat_commit_batch_size_count") > 0
    assert grew("banshi_chat_receipts_written_total") >= 1
    assert found("banshi_chat_feeds") == 1
    assert 0 <= found("banshi_chat_hint_bus_silent_seconds") < 15
    assert grew("banshi_http_requests_total", route="/api/socket-tickets", method="POST", status="2xx") == 2
    assert grew("banshi_http_request_seconds_count", route="/api/socket-tickets") == 2
    assert found("banshi_http_requests_in_flight") == 1  # this one; sockets last
    assert found("process_resident_memory_bytes") > 10e6
    await phone.stop()
    gone = await until(http, lambda now: now("banshi_chat_sockets", namespace="/citizen") == 0)
    assert gone("banshi_chat_disconnects_total") == 1


async def test_one_scrape_tells_of_all_processes_and_of_what_stands_still(
    settings: Settings, citizen: Caller, clerk: Caller, office: Office
) -> None:
    async with (
        processes(settings, "server-1", "server-2") as (one, other),
        device(citizen, one) as phone,
        device(clerk, other) as desk,
        aiohttp.ClientSession() as http,
    ):
        conv = (await phone.open("咨询", matter_id=office.matter.id, text="您好"))["conv"]
        await desk.until_texts(conv, "您好")
        for number in range(3):
            await desk.send(conv, f"答{number}")
        await phone.until_texts(conv, "答2")
        for node in (one, other):
            found = await until(
                http,
                lambda now: now("banshi_chat_operations_delivered_total", process="server-1", way="hinted") > 0,
                str(node.make_url("")).rstrip("/"),
            )
            assert found("banshi_chat_sockets", process="server-1", namespace="/citizen") == 1
            assert found("banshi_chat_sockets", process="server-2", namespace="/clerk") == 1
            assert found("banshi_chat_events_total", process="server-2", event="msg:send", outcome="ok") == 3
            assert found("banshi_chat_events_total", process="server-1", event="msg:send") == 0
            assert found("banshi_chat_hint_lag_seconds_count", process="server-1") > 0
            assert found("banshi_process_up") == 2
        assert (settings.metrics_folder.stat().st_mode & 0o777) == 0o700
        with socket.socket(socket.AF_UNIX) as frozen, socket.socket(socket.AF_UNIX) as killed:
            frozen.bind(str(_short(settings.metrics_folder, "server-3")))
            frozen.listen()
            killed.bind(str(_short(settings.metrics_folder, "server-4")))
            killed.close()
            found = await scrape(http, str(one.make_url("")).rstrip("/"))
        up = {name: found("banshi_process_up", process=f"server-{name}") for name in range(1, 5)}
        assert up == {1: 1, 2: 1, 3: 0, 4: 0}
        assert found("banshi_chat_sockets", process="server-2") == 1
    assert not (settings.metrics_folder / "server-1.sock").exists()


def _short(folder: Path, name: str) -> Path:
    path = folder / f"{name}.sock"
    assert len(str(path)) < 108
    return path


async def test_processes_find_each_other_below_a_long_path(settings: Settings, tmp_path: Path) -> None:
    far = settings.model_copy(update={"var": tmp_path / ("v" * 120)})
    async with processes(far, "server-1", "server-2") as (one, _), aiohttp.ClientSession() as http:
        assert (await scrape(http, str(one.make_url("")).rstrip("/")))("banshi_process_up") == 2


async def test_what_blocks_the_loop_shows_as_lag(http: aiohttp.ClientSession) -> None:
    def late(found: Figures) -> float:
        return found("banshi_loop_lag_seconds_count") - found("banshi_loop_lag_seconds_bucket", le="0.25")

    before = late(await scrape(http))
    asyncio.get_running_loop().call_soon(time.sleep, 0.6)
    await until(http, lambda found: late(found) > before)


def _narrow(address: tuple[Any, ...]) -> socket.socket:
    """A socket for which the kernel keeps little."""
    made = socket.socket(*address[:3])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.setblocking(False)
    return made


async def test_a_reader_that_is_frozen_shows_as_an_overflow(
    settings: Settings, citizen: Caller, clerk: Caller, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "MAX_BACKLOG", 8)
    monkeypatch.setattr(delivery, "MAX_BLOCKED", 0.0)
    own = settings.model_copy(update={"chat_events_per_second": 1000.0})
    async with processes(own, "server") as (node,):
        url = str(node.make_url("")).rstrip("/")
        async with (
            aiohttp.ClientSession() as http,
            device(clerk, node) as desk,
            device(citizen, node) as phone,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(socket_factory=_narrow)) as narrow,
            narrow.ws_connect(f"{url}/socket.io/?EIO=4&transport=websocket") as frozen,
        ):
            conv = (await phone.open("咨询", matter_id=office.matter.id, text="您好"))["conv"]
            await desk.until_texts(conv, "您好")
            _, answer = await citizen.post("/api/socket-tickets")
            await frozen.send_str(f'40/citizen,{{"ticket":"{answer["ticket"]}","device":"x","v":1}}')
            await frozen.send_str(f'42/citizen,0["hello",{{"cursors":{{"{conv}":[1,0]}}}}]')
            while not (await frozen.receive_str()).startswith('42/citizen,["op"'):
                pass
            for _ in range(40):
                await asyncio.gather(*(desk.send(conv, "长" * 2000) for _ in range(20)))
                found = await scrape(http, url)
                if found("banshi_chat_kicks_total", code="too-slow"):
                    break
            else:
                pytest.fail("the frozen reader was never noticed")
            assert found("banshi_chat_buffer_overflows_total", then="paused") >= 1
            assert found("banshi_chat_kicks_total") == found("banshi_chat_kicks_total", code="too-slow") == 1


async def test_a_lost_hint_shows_as_swept(
    settings: Settings, citizen: Caller, clerk: Caller, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        processes(settings, "server-1", "server-2") as (one, other),
        device(citizen, one) as phone,
        device(clerk, other) as desk,
        aiohttp.ClientSession() as http,
    ):
        url = str(one.make_url("")).rstrip("/")
        conv = (await phone.open("咨询", matter_id=office.matter.id, text="您好"))["conv"]
        await desk.until_texts(conv, "您好")
        before = await scrape(http, url)
        monkeypatch.setattr(hints, "MAX_QUEUED", 0)
        await desk.send(conv, "没有提示")
        await phone.until_texts(conv, "没有提示")
        found = await scrape(http, url)

        def grew(name: str, **labels: str) -> float:
            return found(name, **labels) - before(name, **labels)

        assert grew("banshi_chat_hints_lost_total", process="server-2", cause="overflow") >= 1
        assert grew("banshi_chat_resynchronisations_total", process="server-1", cause="swept") == 1
        assert grew("banshi_chat_operations_delivered_total", process="server-1", way="swept") == 1
        assert grew("banshi_chat_operations_delivered_total", process="server-1", way="hinted") == 0
