"""The district's calendar exceptions in MongoDB.

A change takes the next number of the calendar's revision in its own transaction: who knows revision N and
reads the same number knows everything. A day that is taken back stays with `kind` null, so that its version
goes on and processes learn of it.
"""

from __future__ import annotations

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from backend.domain.errors import EditConflict
from backend.domain.local_calendar import LocalDay
from backend.storage.database import Database, IndexDeclaration, Session
from backend.storage.documents import from_document, to_document

INDEXES: list[IndexDeclaration] = [
    ("calendar_days", [("day", 1)], {"unique": True, "name": "day"}),
    ("calendar", [("revision", 1)], {"name": "revision"}),
]

_REVISION = "revision"


class CalendarStore:
    def __init__(self, database: Database) -> None:
        self._days = database["calendar_days"]
        self._counter = database["calendar"]

    async def revision(self) -> int:
        """How many changes there were."""
        found = await self._counter.find_one({"_id": _REVISION})
        return int(found["revision"]) if found else 0

    async def all(self) -> list[LocalDay]:
        """Every exception there is or was, in order."""
        return [from_document(LocalDay, document) async for document in self._days.find().sort("day", 1)]

    async def get(self, day_id: str) -> LocalDay | None:
        found = await self._days.find_one({"_id": day_id})
        return from_document(LocalDay, found) if found else None

    async def next_revision(self, session: Session) -> int:
        """The number of the change that this transaction makes."""
        counter = await self._counter.find_one_and_update(
            {"_id": _REVISION},
            {"$inc": {"revision": 1}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        return int(counter["revision"])

    async def save(self, item: LocalDay, session: Session) -> None:
        """Save over the version before. Raises `EditConflict`."""
        document = {"_id": item.id, **to_document(item)}
        if item.version == 1:
            try:
                await self._days.insert_one(document, session=session)
            except DuplicateKeyError as error:
                raise EditConflict from error
            return
        result = await self._days.replace_one({"_id": item.id, "version": item.version - 1}, document, session=session)
        if not result.matched_count:
            raise EditConflict
