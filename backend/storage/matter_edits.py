"""What editors are writing, in MongoDB: one document for each matter that an editor has touched."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from pymongo.errors import DuplicateKeyError

from backend.domain.errors import EditConflict
from backend.domain.matter_edits import MatterEdit
from backend.storage.database import Database, Document, IndexDeclaration, Session
from backend.storage.documents import from_document, to_document
from backend.storage.matters import EditorFilters, text_criteria

INDEXES: list[IndexDeclaration] = [
    ("matter_edits", [("code", 1)], {"name": "code"}),
    (
        "matter_edits",
        [("scheduled.due_at", 1)],
        {"name": "due", "partialFilterExpression": {"scheduled.due_at": {"$type": "date"}}},
    ),
]


class Work(StrEnum):
    """What is open at a matter."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"


class MatterEditStore:
    """The editors' side of matters."""

    def __init__(self, database: Database) -> None:
        self._edits = database["matter_edits"]

    async def get(self, matter_id: str) -> MatterEdit | None:
        """None for a matter that no editor has touched."""
        document = await self._edits.find_one({"_id": matter_id})
        return from_document(MatterEdit, document) if document else None

    async def many(self, ids: Iterable[str]) -> dict[str, MatterEdit]:
        """Those of `ids` that editors have touched, by id."""
        found = self._edits.find({"_id": {"$in": list(ids)}})
        return {document["_id"]: from_document(MatterEdit, document) async for document in found}

    async def page(
        self, filters: EditorFilters, *, work: Work | None, after: str | None, limit: int
    ) -> list[MatterEdit]:
        """Where something is open, in the order of the codes, after the code `after`."""
        kinds = [work] if work is not None else list(Work)
        criteria: Document = {
            "$and": [
                {"code": {"$gt": after or ""}},
                {"$or": [{kind.value: {"$ne": None}} for kind in kinds]},
                *text_criteria(filters.text, ("draft.guide.name", "scheduled.guide.name")),
            ]
        }
        if filters.department_id is not None:
            criteria["department_id"] = filters.department_id
        found = self._edits.find(criteria).sort("code", 1).limit(limit)
        return [from_document(MatterEdit, document) async for document in found]

    async def due(self, now: datetime, *, limit: int) -> list[MatterEdit]:
        """Whose scheduled version's day has begun, the longest ago first."""
        criteria = {"scheduled.due_at": {"$type": "date", "$lte": now}}
        found = self._edits.find(criteria).sort("scheduled.due_at", 1).limit(limit)
        return [from_document(MatterEdit, document) async for document in found]

    async def save(self, edit: MatterEdit, *, session: Session) -> None:
        """Save over the version before `edit.version`. Raises `EditConflict` when another is there."""
        document = to_document(edit)
        try:
            result = await self._edits.replace_one(
                {"_id": edit.id, "version": edit.version - 1}, document, upsert=edit.version == 1, session=session
            )
        except DuplicateKeyError as error:
            raise EditConflict from error
        if not result.matched_count and result.upserted_id is None:
            raise EditConflict
