"""Announcements in MongoDB."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING

from backend.domain.announcements import Announcement, AnnouncementLevel, AnnouncementState
from backend.storage.database import Database, Document, IndexDeclaration
from backend.storage.documents import from_document
from backend.storage.kept import Kept

INDEXES: list[IndexDeclaration] = [
    ("announcements", [("level", 1), ("publish_from", -1), ("_id", 1)], {"name": "in_force"}),
    ("announcements", [("created_at", -1), ("_id", -1)], {"name": "desk"}),
]


class AnnouncementStore:
    def __init__(self, database: Database) -> None:
        self._announcements = database["announcements"]
        self.kept = Kept(self._announcements, Announcement)

    async def in_force(
        self, now: datetime, *, after: tuple[AnnouncementLevel, datetime, str] | None, limit: int
    ) -> list[Announcement]:
        """What everybody may read at `now`: the important ones first, then the newest. `after` is the last
        one's (level, publish_from, id)."""
        query = _where(AnnouncementState.PUBLISHED, now)
        if after is not None:
            level, moment, item_id = after
            query = {
                "$and": [
                    query,
                    {
                        "$or": [
                            {"level": {"$gt": level.value}},
                            {"level": level.value, "publish_from": {"$lt": moment}},
                            {"level": level.value, "publish_from": moment, "_id": {"$gt": item_id}},
                        ]
                    },
                ]
            }
        order = [("level", ASCENDING), ("publish_from", DESCENDING), ("_id", ASCENDING)]
        return await self._read(query, order, limit)

    async def page(
        self, now: datetime, *, state: AnnouncementState | None, before: tuple[datetime, str] | None, limit: int
    ) -> list[Announcement]:
        """All of them, or those in one state at `now`, the last made first. `before` is (created_at, id)."""
        query: Document = _where(state, now) if state is not None else {}
        if before is not None:
            older = [{"created_at": {"$lt": before[0]}}, {"created_at": before[0], "_id": {"$lt": before[1]}}]
            query = {"$and": [query, {"$or": older}]}
        return await self._read(query, [("created_at", DESCENDING), ("_id", DESCENDING)], limit)

    async def _read(self, query: Document, order: list[tuple[str, int]], limit: int) -> list[Announcement]:
        found = self._announcements.find(query).sort(order).limit(limit)
        return [from_document(Announcement, document) async for document in found]


def _where(state: AnnouncementState, now: datetime) -> Document:
    """`Announcement.state` as a query."""
    lasting: list[dict[str, Any]] = [{"publish_until": None}, {"publish_until": {"$gt": now}}]
    match state:
        case AnnouncementState.DRAFT:
            return {"publish_from": None}
        case AnnouncementState.ENDED:
            return {"publish_from": {"$ne": None}, "publish_until": {"$lte": now}}
        case AnnouncementState.SCHEDULED:
            return {"publish_from": {"$gt": now}, "$or": lasting}
        case AnnouncementState.PUBLISHED:
            return {"publish_from": {"$lte": now}, "$or": lasting}
