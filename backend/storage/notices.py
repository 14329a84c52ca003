"""A citizen's notices in the app, one per event that concerns them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from pymongo import DESCENDING

from backend.storage.database import Database, Document, IndexDeclaration
from backend.storage.documents import from_document, to_document

INDEXES: list[IndexDeclaration] = [
    ("notices", [("citizen_id", 1), ("at", -1), ("_id", -1)], {"name": "mine"}),
    (
        "notices",
        [("citizen_id", 1)],
        {"name": "unread", "partialFilterExpression": {"read_at": None}},
    ),
]


@dataclass(frozen=True, slots=True)
class Notice:
    """`kind` is the event's, `subject_id` the case it is about."""

    id: str
    citizen_id: str
    subject: str
    subject_id: str
    kind: str
    title: str
    text: str
    at: datetime
    read_at: datetime | None = None


class NoticeStore:
    def __init__(self, database: Database) -> None:
        self._notices = database["notices"]

    async def add(self, notice: Notice) -> None:
        """Write a notice once; a second time changes nothing, not even that it was read."""
        document = to_document(notice)
        key = {"_id": document.pop("_id")}
        await self._notices.update_one(key, {"$setOnInsert": document}, upsert=True)

    async def of_citizen(
        self, citizen_id: str, *, unread: bool, before: tuple[datetime, str] | None, limit: int
    ) -> list[Notice]:
        """Newest first, older than the (at, id) `before`."""
        query: Document = {"citizen_id": citizen_id}
        if unread:
            query["read_at"] = None
        if before:
            query["$or"] = [{"at": {"$lt": before[0]}}, {"at": before[0], "_id": {"$lt": before[1]}}]
        cursor = self._notices.find(query).sort([("at", DESCENDING), ("_id", DESCENDING)]).limit(limit)
        return [from_document(Notice, document) async for document in cursor]

    async def unread(self, citizen_id: str) -> int:
        return int(await self._notices.count_documents({"citizen_id": citizen_id, "read_at": None}))

    async def mark_read(self, citizen_id: str, ids: Collection[str] | None, now: datetime) -> int:
        """Mark these notices of a citizen, or all with None, as read. Returns how many were unread."""
        query: Document = {"citizen_id": citizen_id, "read_at": None}
        if ids is not None:
            query["_id"] = {"$in": list(ids)}
        result = await self._notices.update_many(query, {"$set": {"read_at": now}})
        return int(result.modified_count)
