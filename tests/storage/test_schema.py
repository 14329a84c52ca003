"""Numbered migrations: each once, in order, under a lock, on what earlier versions wrote."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from backend.domain.errors import Unavailable
from backend.domain.ids import new_id
from backend.storage import schema
from backend.storage.database import Database


@pytest.fixture
async def database(servers: tuple[str, str]) -> AsyncIterator[Database]:
    """A database of this test alone, without anything in it."""
    database = Database.connect(servers[0], f"schema_{new_id()[-12:]}")
    yield database
    await database.drop()
    await database.close()


@pytest.fixture
def next_migration(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A later version of the product, whose migration renames a field that the present version wrote."""
    ran: list[str] = []

    async def rename(database: Database) -> None:
        ran.append("next")
        await database["cases"].update_many({}, {"$rename": {"old_name": "new_name"}})

    monkeypatch.setitem(schema.MIGRATIONS, max(schema.MIGRATIONS) + 1, rename)
    return ran


async def test_a_first_start_makes_collections_and_indexes(database: Database) -> None:
    assert await schema.upgrade(database) == max(schema.MIGRATIONS)
    assert {collection for collection, _, _ in schema.INDEXES} <= await database.collections()
    for collection, keys, options in schema.INDEXES:
        found = (await database[collection].index_information()).values()
        assert any(index["key"] == list(keys) for index in found), (collection, options.get("name"))


async def test_a_new_version_migrates_what_the_old_one_wrote_once(
    database: Database, request: pytest.FixtureRequest
) -> None:
    await schema.upgrade(database)
    await database["cases"].insert_one({"_id": "x", "id": "x", "old_name": "值"})
    ran = request.getfixturevalue("next_migration")
    newest = max(schema.MIGRATIONS)
    assert await schema.upgrade(database) == newest
    assert await schema.upgrade(database) == newest
    assert ran == ["next"]
    document = await database["cases"].find_one({"_id": "x"})
    assert document is not None
    assert document["new_name"] == "值"


async def test_many_nodes_starting_at_once_migrate_once(database: Database, next_migration: list[str]) -> None:
    assert await asyncio.gather(*(schema.upgrade(database) for _ in range(6))) == [max(schema.MIGRATIONS)] * 6
    assert next_migration == ["next"]


async def test_data_of_a_newer_version_is_refused(database: Database) -> None:
    await schema.upgrade(database)
    await database["meta"].update_one({"_id": "schema"}, {"$set": {"version": 99}})
    with pytest.raises(Unavailable, match="99"):
        await schema.upgrade(database)


async def test_the_lock_of_a_dead_node_is_taken_over(database: Database) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    await database["meta"].insert_one({"_id": "schema-lock", "owner": "dead", "until": past})
    async with asyncio.timeout(20):
        await schema.upgrade(database)
    assert await database["meta"].find_one({"_id": "schema-lock"}) is None
