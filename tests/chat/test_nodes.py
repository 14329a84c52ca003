"""Several nodes, and what happens when Redis or a node goes away in the middle."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from backend.composition import Services
from backend.embedded import EmbeddedRedis
from chat.client import ChatClient
from config.settings import Settings
from tests.callers import Caller
from tests.chat.conftest import Connect, Office, device, node

ROOT = Path(__file__).parents[2]


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A Redis of this test's own, to be stopped and started."""
    with EmbeddedRedis(tmp_path / "own-redis") as running:
        yield running


@pytest.fixture
async def second(settings: Settings, office: Office) -> AsyncIterator[TestServer]:
    async with node(settings) as running:
        yield running


@asynccontextmanager
async def two_nodes(settings: Settings, redis: EmbeddedRedis) -> AsyncIterator[tuple[TestServer, TestServer]]:
    async with node(settings, redis_url=redis.url) as one, node(settings, redis_url=redis.url) as other:
        yield one, other


async def test_two_nodes_deliver_to_each_other_through_hints(
    connect: Connect, second: TestServer, citizen: Caller, clerk: Caller, office: Office
) -> None:
    desk, phone = await connect(clerk, second), await connect(citizen)
    conv = (await phone.open("咨询", matter_id=office.matter.id, text="您好"))["conv"]
    await desk.until_texts(conv, "您好")
    loop, delays = asyncio.get_running_loop(), []
    for i in range(10):
        began = loop.time()
        await desk.send(conv, f"答{i}")
        await phone.until_texts(conv, f"答{i}")
        delays.append(loop.time() - began)
    assert sorted(delays)[5] < 1.0, delays  # hints, not the sweep of two seconds
    assert phone.logs[conv].texts() == ["您好", *(f"答{i}" for i in range(10))]
    await desk.call("rcpt", {"conv": conv, "read": 3})
    await phone.until(lambda: "staff" in phone.logs[conv].receipts)


async def test_concurrent_senders_on_two_nodes_make_one_gapless_order(
    connect: Connect, second: TestServer, citizen: Caller, clerk: Caller, office: Office
) -> None:
    desk, phone = await connect(clerk, second), await connect(citizen)
    conv = (await phone.open("咨询", matter_id=office.matter.id))["conv"]
    await desk.until(lambda: conv in desk.logs)

    async def talk(client: ChatClient, who: str) -> None:
        for i in range(25):
            await client.send(conv, f"{who}{i}")

    await asyncio.gather(talk(phone, "问"), talk(desk, "答"))
    everything = [f"{who}{i}" for who in "问答" for i in range(25)]
    order = await phone.until_texts(conv, *everything)
    assert await desk.until_texts(conv, *everything) == order
    assert sorted(order) == sorted(everything)
    assert [op["seq"] for op in phone.logs[conv].ops] == list(range(1, 53))


async def test_with_redis_stopped_and_back_empty_nothing_is_lost(
    settings: Settings, own_redis: EmbeddedRedis, citizen: Caller, clerk: Caller, office: Office
) -> None:
    async with two_nodes(settings, own_redis) as (one, other):
        desk, phone = device(clerk, other), device(citizen, one)
        async with desk, phone:
            conv = (await phone.open("咨询", matter_id=office.matter.id, text="前"))["conv"]
            await desk.until_texts(conv, "前")
            await asyncio.to_thread(own_redis.stop)
            sent = [f"断{i}" for i in range(10)]
            for text in sent:
                await phone.send(conv, text)
            assert (await desk.until_texts(conv, *sent, timeout=6))[1:] == sent
            fresh = await phone.open("又一件", matter_id=office.matter.id, text="新的")
            await desk.until_texts(fresh["conv"], "新的", timeout=6)
            await asyncio.to_thread(own_redis.start)  # empty
            for i in range(5):
                await desk.send(conv, f"后{i}")
            assert (await phone.until_texts(conv, *(f"后{i}" for i in range(5)), timeout=6))[11:] == [
                f"后{i}" for i in range(5)
            ]
            for client in (desk, phone):
                assert [op["seq"] for op in client.logs[conv].ops] == list(range(1, 19))
                assert client.connections == 1


async def test_a_wiped_redis_in_the_middle_loses_nothing(
    connect: Connect, second: TestServer, services: Services, citizen: Caller, clerk: Caller, office: Office
) -> None:
    desk, phone = await connect(clerk, second), await connect(citizen)
    conv = (await phone.open("咨询", matter_id=office.matter.id))["conv"]
    for i in range(10):
        await phone.send(conv, f"第{i}句")
        await services.redis.flushall()
    texts = [f"第{i}句" for i in range(10)]
    assert await desk.until_texts(conv, *texts) == texts


class NodeProcess:
    """A node that can be killed and started again on the same port."""

    def __init__(self, settings: Settings, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._log = log
        self._environment = os.environ | {
            "BANSHI_MODE": "test",
            "BANSHI_VAR": str(settings.var),
            "BANSHI_MONGO_DATABASE": settings.mongo_database,
            "MONGO_URL": settings.mongo_url or "",
            "REDIS_URL": settings.redis_url or "",
            "BANSHI_WECHAT_BASE_URL": settings.wechat_base_url or "",
            "BANSHI_RATE_PER_MINUTE": "100000",
            "BANSHI_CHAT_EVENTS_PER_SECOND": "1000",
        }
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "tests.chat.node_process", str(self.port)),
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        async with asyncio.timeout(60), aiohttp.ClientSession() as http:
            while True:
                with suppress(aiohttp.ClientError):
                    async with http.get(f"{self.url}/healthz") as response:
                        if response.status == 200:
                            return
                assert self._process.returncode is None, self._log.read_text()[-2000:]
                await asyncio.sleep(0.05)

    async def kill(self) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)
        await self._process.wait()


@pytest.fixture
async def killable(settings: Settings, tmp_path: Path, office: Office) -> AsyncIterator[NodeProcess]:
    process = NodeProcess(settings, tmp_path / "node.log")
    await process.start()
    yield process
    await process.kill()


async def test_a_node_killed_while_it_works_loses_and_doubles_nothing(
    connect: Connect, killable: NodeProcess, citizen: Caller, clerk: Caller, office: Office
) -> None:
    async def ticket() -> str:
        return str((await citizen.post("/api/socket-tickets"))[1]["ticket"])

    desk = await connect(clerk)
    phone = ChatClient(killable.url, ticket, namespace="/citizen", longest_pause=0.5)
    async with phone:
        conv = (await phone.open("咨询", matter_id=office.matter.id))["conv"]
        acked: dict[str, int] = {}

        async def talk() -> None:
            for i in range(120):
                acked[f"第{i}句"] = (await phone.send(conv, f"第{i}句"))["seq"]

        def reached(count: int) -> bool:
            return len(acked) >= count

        talking = asyncio.create_task(talk())
        for enough in (20, 60):
            await phone.until(partial(reached, enough), timeout=30)
            await killable.kill()
            await killable.start()
        await asyncio.wait_for(talking, 60)
        texts = [f"第{i}句" for i in range(120)]
        assert await desk.until_texts(conv, *texts) == texts  # every one once, in order
        assert await phone.until_texts(conv, *texts) == texts
        assert phone.connections == 3
        seqs = {op["body"]["text"]: op["seq"] for op in desk.logs[conv].ops if op["kind"] == "message"}
        assert acked == seqs


async def test_an_answer_that_was_lost_is_found_again_after_a_kill(
    connect: Connect, killable: NodeProcess, citizen: Caller, clerk: Caller, office: Office
) -> None:
    """The client cannot know whether the node committed before it died: the same cid answers that."""

    async def ticket() -> str:
        return str((await citizen.post("/api/socket-tickets"))[1]["ticket"])

    desk = await connect(clerk)
    phone = ChatClient(killable.url, ticket, namespace="/citizen", longest_pause=0.5)
    async with phone:
        conv = (await phone.open("咨询", matter_id=office.matter.id))["conv"]
        cid = str(uuid.uuid4())
        payload = {"conv": conv, "cid": cid, "body": {"text": "您好"}}
        asking = asyncio.create_task(phone.once("msg:send", payload))
        await desk.until_texts(conv, "您好")
        await killable.kill()
        await asking
        await killable.start()
        again = await phone.call("msg:send", payload)
        assert again["dup"] is True
        assert desk.logs[conv].texts() == ["您好"]
