"""A process that dies in the middle of a transaction holds up nobody for long."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient

from backend.composition import Services
from backend.storage import abandoned
from backend.storage.abandoned import AbandonedTransactions
from config.settings import Settings

#: Leaves the number 7 of a log taken in a transaction, says so, and waits to be killed.
_TAKES = """
import sys, time
from pymongo import MongoClient
client = MongoClient(sys.argv[1], appname="banshi")
session = client.start_session()
session.start_transaction()
client[sys.argv[2]].numbers.insert_one({"log": "a", "seq": 7}, session=session)
print("taken", flush=True)
time.sleep(600)
"""


@pytest.fixture
async def holder(services: Services, settings: Settings) -> asyncio.subprocess.Process:
    await services.database["numbers"].create_index([("log", 1), ("seq", 1)], unique=True)
    held = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _TAKES, str(settings.mongo_url), settings.mongo_database),
        stdout=asyncio.subprocess.PIPE,
    )
    assert held.stdout is not None
    assert await asyncio.wait_for(held.stdout.readline(), 60) == b"taken\n"
    return held


async def test_a_write_that_waits_for_a_dead_process_goes_on(
    services: Services, holder: asyncio.subprocess.Process
) -> None:
    blocking = services.database.abandoned
    try:
        writing = asyncio.ensure_future(services.database["numbers"].insert_many([{"log": "a", "seq": 7}]))
        # while the other lives and its pause is short, it is left alone and the write waits
        assert await blocking.end() == 0
        assert not (await asyncio.wait([writing], timeout=1))[0]
    finally:
        holder.kill()
        await holder.wait()
    async with asyncio.timeout(30):  # MongoDB itself would take a minute
        with blocking.ended_meanwhile():
            await writing


async def test_a_transaction_that_meets_one_of_a_dead_process_succeeds(
    services: Services, holder: asyncio.subprocess.Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder.kill()
    await holder.wait()
    monkeypatch.setattr(abandoned, "IDLE", 0.0)
    monkeypatch.setattr(abandoned, "IDLE_ALONE", 0.0)
    # another application's are left alone
    assert await AbandonedTransactions(services.database.raw.client, "another").end() == 0
    async with asyncio.timeout(30):
        while True:
            try:
                async with services.database.transaction() as session:
                    await services.database["numbers"].insert_one({"log": "a", "seq": 7}, session=session)
                break
            except Exception as error:
                if not getattr(error, "has_error_label", lambda _: False)("TransientTransactionError"):
                    raise


async def test_a_database_that_is_away_is_no_error_here() -> None:
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient("127.0.0.1:1", serverSelectionTimeoutMS=100)
    assert await AbandonedTransactions(client, "banshi").end() == 0
    client.close()
