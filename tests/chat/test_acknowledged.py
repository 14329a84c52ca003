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


async def talk_through_kills(settings: Settings, standin: str, folder: Path, *, messages: int, kills: int) -> None:
    """A citizen talks while mongod is killed again and again; then everything acknowledged must be there, once,
    at the place that was acknowledged, for the node that took it and for one that starts afterwards."""
    cids = {f"第{i}句": str(uuid.uuid4()) for i in range(messages)}
    texts = list(cids)
    acknowledged: dict[str, int] = {}
    at_kills: list[dict[str, int]] = []
    with EmbeddedMongo(folder / "mongo") as mongo:
        async with node(settings, mongo_url=mongo.url) as server, _client(server) as http:
            citizen = await log_in(http, standin)
            _, opened = await citizen.post("/api/consultations", {"cid": str(uuid.uuid4()), "subject": "咨询"})
            path = f"/api/consultations/{opened['consultation']['id']}"

            async def send(text: str) -> None:
                """Send until it is acknowledged, as clients do: the same message with the same id."""
                body = {"cid": cids[text], "body": {"text": text}}
                async with asyncio.timeout(60):
                    while True:
                        status, answer = await citizen.post(f"{path}/messages", body)
                        if status == 201:
                            acknowledged[text] = answer["operation"]["seq"]
                            return
                        assert (status, answer["code"]) == (503, "temporarily-unavailable")
                        await asyncio.sleep(0.05)

            async def kill_and_start_again() -> None:
                for round_ in range(1, kills + 1):
                    async with asyncio.timeout(120):
                        while len(acknowledged) < messages * round_ // (kills + 1):
                            await asyncio.sleep(0.001)
                    await asyncio.to_thread(kill, mongo)
                    at_kills.append(dict(acknowledged))
                    await asyncio.to_thread(mongo.start)

            async def talk() -> None:
                for start in range(0, messages, 3):
                    await asyncio.gather(*(send(text) for text in texts[start : start + 3]))

            await asyncio.gather(talk(), kill_and_start_again())
            ops = await _operations(citizen, path)

        async with node(settings, mongo_url=mongo.url) as server, _client(server) as http:
            citizen = await log_in(http, standin)
            assert await _operations(citizen, path) == ops  # a node that knew nothing of it reads the same

    assert [op["seq"] for op in ops] == list(range(1, len(ops) + 1))
    said = [op for op in ops if op["kind"] == "message"]
    kept = {op["body"]["text"]: op["seq"] for op in said}
    assert len(said) == len(kept) == messages
    assert acknowledged == kept
    assert [len(before) < messages and before.items() <= kept.items() for before in at_kills] == [True] * kills


async def test_what_was_acknowledged_outlives_a_killed_database(
    settings: Settings, wechat_standin: str, tmp_path: Path
) -> None:
    await talk_through_kills(settings, wechat_standin, tmp_path, messages=60, kills=1)


def _client(server: TestServer) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(str(server.make_url("")), cookie_jar=aiohttp.DummyCookieJar())


async def _operations(caller: Caller, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    more = True
    while more:
        status, answer = await caller.get(f"{path}/ops?limit=200&after={len(found)}")
        assert status == 200, answer
        found += answer["ops"]
        more = answer["more"]
    return found
