"""The database fails in the middle of what is in flight: nothing overtakes what has to be sent again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pymongo import MongoClient

from tests.chat.test_flights import FailingMongo
from tests.drills.checker import explain
from tests.drills.failing import NOT_WRITTEN, WRITTEN, failing
from tests.drills.load import loaded
from tests.drills.results import note
from tests.drills.system import Begin, System

pytestmark = [pytest.mark.drill, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def failing_mongo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FailingMongo]:
    with FailingMongo(tmp_path_factory.mktemp("failing") / "mongo") as running:
        with MongoClient[dict[str, Any]](running.url) as client:  # drills live in other times than the database
            client.admin.command("setParameter", 1, ttlMonitorEnabled=False)
        yield running


@asynccontextmanager
async def played(begin: Begin, mongo: FailingMongo, *bugs: str) -> AsyncIterator[System]:
    """Everybody talked, eight in flight each, while writes failed."""
    async with begin(mongo_url=mongo.url, bugs=bugs) as drill:
        async with loaded(drill) as load:
            for how in (NOT_WRITTEN, WRITTEN):
                drill.fault(f"a tenth of all writes fails: {next(iter(how))}")
                async with failing(drill, how, part=0.1):
                    await load.reached(400)
            await load.reached(50)
        await drill.settle()
        await drill.converged()
        yield drill


async def test_a_database_that_fails_by_chance_changes_no_order(begin: Begin, failing_mongo: FailingMongo) -> None:
    async with played(begin, failing_mongo) as drill:
        assert drill.history.count("retry") > 20
        await drill.ended("a tenth of all writes fails")


async def test_the_judge_sees_what_overtook(begin: Begin, failing_mongo: FailingMongo) -> None:
    async with played(begin, failing_mongo, "overtaking-what-failed") as drill:
        found = await drill.violations(patience=5, grace=0)
    note(drill.history.figures("planted: what failed is overtaken", len(found), planted=True))
    print(f"\novertaking what failed:\n{explain(found)}")
    assert {violation.invariant for violation in found} == {"own order"}, explain(found)
