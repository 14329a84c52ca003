"""Collections, indexes and numbered migrations, brought up to date once at start, under a lock.

A migration changes what earlier versions wrote; it is never edited after a release, only followed by
another. Indexes and collections are declared by the store modules and made sure of after the migrations.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import structlog
from pymongo.errors import DuplicateKeyError

from backend.domain.errors import Unavailable
from backend.domain.ids import new_id
from backend.storage import (
    accounts,
    announcements,
    calendar,
    cases,
    catalogue_imports,
    consultation_migrations,
    consultation_photos,
    consultation_search,
    consultations,
    events,
    idempotency,
    materials,
    matter_edits,
    matters,
    notices,
    organisation,
    presence,
    quick_replies,
    sessions,
    socket_tickets,
    timers,
)
from backend.storage.database import Database, IndexDeclaration

log = structlog.get_logger()

#: Every store module's indexes.
INDEXES: list[IndexDeclaration] = [
    *idempotency.INDEXES,
    *accounts.INDEXES,
    *sessions.INDEXES,
    *organisation.INDEXES,
    *events.INDEXES,
    *timers.INDEXES,
    *cases.INDEXES,
    *notices.INDEXES,
    *matters.INDEXES,
    *matter_edits.INDEXES,
    *catalogue_imports.INDEXES,
    *consultations.INDEXES,
    *presence.INDEXES,
    *socket_tickets.INDEXES,
    *materials.INDEXES,
    *announcements.INDEXES,
    *quick_replies.INDEXES,
    *calendar.INDEXES,
    *consultation_photos.INDEXES,
    *consultation_search.INDEXES,
]

Migration = Callable[[Database], Awaitable[None]]


async def _baseline(_: Database) -> None:
    """The first version: nothing was there before."""


async def _reckon_all(database: Database) -> None:
    """Cases from before deadlines said which calendar they come from are reckoned once more."""
    running = {"$in": ["submitted", "resubmitted", "correction_requested", "accepted", "approved"]}
    await database["cases"].update_many({"state": running, "reckoned": {"$exists": False}}, {"$set": {"reckoned": 0}})


#: Number → migration. Numbers are consecutive from 1.
MIGRATIONS: dict[int, Migration] = {1: _baseline, 2: consultation_migrations.refold, 3: _reckon_all}

_LEASE = timedelta(seconds=60)


async def upgrade(database: Database) -> int:
    """Run what is pending, then make sure of all collections and indexes. Returns the schema's number.

    Any number of nodes may start at once: one works, the others wait for it. Raises `Unavailable` when
    the data was written by a newer version or the lock cannot be had within a minute.
    """
    meta = database["meta"]
    current = await meta.find_one({"_id": "schema"})
    done = int(current["version"]) if current else 0
    newest = max(MIGRATIONS)
    if done > newest:
        raise Unavailable(f"数据由更新的版本写入（{done}），这个版本只认识到 {newest}。")
    owner = await _lock(database)
    try:
        current = await meta.find_one({"_id": "schema"})
        done = int(current["version"]) if current else 0
        for number in range(done + 1, newest + 1):
            log.info("migration", number=number)
            await MIGRATIONS[number](database)
            await meta.update_one({"_id": "schema"}, {"$set": {"version": number}}, upsert=True)
        for name in sorted({collection for collection, _, _ in INDEXES} - await database.collections()):
            await database.ensure_collection(name)
        await database.ensure_indexes(INDEXES)
    finally:
        await meta.delete_one({"_id": "schema-lock", "owner": owner})
    return newest


async def _lock(database: Database) -> str:
    """Take the lock, waiting for another node; a lock older than a minute belongs to a dead one."""
    meta, owner = database["meta"], new_id()
    for _ in range(600):
        now = datetime.now(UTC)
        try:
            await meta.update_one(
                {"_id": "schema-lock", "until": {"$lte": now}},
                {"$set": {"owner": owner, "until": now + _LEASE}},
                upsert=True,
            )
        except DuplicateKeyError:
            await asyncio.sleep(0.1)
        else:
            return owner
    raise Unavailable("另一个进程正在升级数据库，请稍后再试。")


async def first_start_done(database: Database) -> bool:
    """Whether this database was furnished by a first start that came to its end."""
    return await database["meta"].find_one({"_id": "first-start"}) is not None


async def mark_first_start(database: Database) -> None:
    """The database is furnished; later starts leave it as it is."""
    await database["meta"].update_one({"_id": "first-start"}, {"$set": {"at": datetime.now(UTC)}}, upsert=True)
