"""What was acknowledged is on the disk: the database itself is killed in the middle of a talk."""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.test_utils import TestServer

from backend.embedded import EmbeddedMongo
from config.settings import Settings
from tests.callers import Caller
from tests.chat.conftest import node
from tests.embedded.machine import wait_until

TEXTS = [f"第{i}句" for i in range(60)]


async def log_in(http: aiohttp.ClientSession, standin: str) -> Caller:
    """A citizen of a database of its own."""
    async with aiohttp.ClientSession() as phone:
        async with phone.post(f"{standin}/standin/users", json={"id": "mei"}) as response:
            assert response.status in (200, 201)
        async with phone.post(f"{standin}/standin/users/mei/login-codes") as response:
            code = (await response.json())["code"]
    caller = Caller(http)
    status, answer = await caller.post("/api/citizen/login", {"code": code})
    assert status == 200, answer
    caller.token = answer["access_token"]
    return caller


def kill(mongo: EmbeddedMongo) -> None:
    pid = mongo.pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not mongo.running, "mongod is dead")


async def test_what_was_acknowledged_outlives_a_killed_database(
    settings: Settings, wechat_standin: str, tmp_path: Path
) -> None:
    with EmbeddedMongo(tmp_path / "mongo") as mongo:
        async with node(settings, mongo_url=mongo.url) as server, _client(server) as http:
            citizen = await log_in(http, wechat_standin)
            _, opened = await citizen.post("/api/consultations", {"cid": str(uuid.uuid4()), "subject": "咨询"})
            path = f"/api/consultations/{opened['consultation']['id']}"
            cids = {text: str(uuid.uuid4()) for text in TEXTS}
            acknowledged: dict[str, int] = {}

            async def send(text: str) -> int:
                """Send until it is acknowledged, as clients do: the same message with the same id."""
                body = {"cid": cids[text], "body": {"text": text}}
                async with asyncio.timeout(60):
                    while True:
                        status, answer = await citizen.post(f"{path}/messages", body)
                        if status == 201:
                            acknowledged[text] = answer["operation"]["seq"]
                            return status
                        assert (status, answer["code"]) == (503, "temporarily-unavailable")
                        await asyncio.sleep(0.05)

            async def killed_and_back() -> None:
                async with asyncio.timeout(30):
                    while len(acknowledged) < 20:
                        await asyncio.sleep(0)
                await asyncio.to_thread(kill, mongo)
                before.update(acknowledged)
                await asyncio.to_thread(mongo.start)

            async def talk() -> None:
                for start in range(0, len(TEXTS), 3):
                    await asyncio.gather(*(send(text) for text in TEXTS[start : start + 3]))

            before: dict[str, int] = {}
            await asyncio.gather(talk(), killed_and_back())
            ops = await _operations(citizen, path)

        async with node(settings, mongo_url=mongo.url) as server, _client(server) as http:
            citizen = await log_in(http, wechat_standin)
            assert await _operations(citizen, path) == ops  # a node that knew nothing of it reads the same

    assert [op["seq"] for op in ops] == list(range(1, len(ops) + 1))
    kept = {op["body"]["text"]: op["seq"] for op in ops if op["kind"] == "message"}
    assert len(before) < len(TEXTS)
    assert before.items() <= kept.items()
    assert acknowledged == kept
    assert sorted(kept) == sorted(TEXTS)
    assert sum(op["kind"] == "message" for op in ops) == len(TEXTS)


def _client(server: TestServer) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(str(server.make_url("")), cookie_jar=aiohttp.DummyCookieJar())


async def _operations(caller: Caller, path: str) -> list[dict[str, Any]]:
    status, answer = await caller.get(f"{path}/ops?limit=200")
    assert (status, answer["more"]) == (200, False)
    return list(answer["ops"])
