"""Collections of versioned records that administrators keep: added, changed by version, deleted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Generic, Protocol, TypeVar

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError

from backend.domain.errors import Conflict, EditConflict
from backend.storage.database import Collection, Session
from backend.storage.documents import from_document, to_document

_DUPLICATE = 11000


class Versioned(Protocol):
    """A record with an id and the number of its last change."""

    @property
    def id(self) -> str: ...

    @property
    def version(self) -> int: ...


T = TypeVar("T", bound=Versioned)


class AlreadyThere(Conflict):
    """Another record has what only one may have: a department's code, a rule's case, a shortcut."""

    code = "already-there"
    title = "已经存在相同的记录"


def named(text: str | None, *, within: str, beginning: str) -> dict[str, Any]:
    """What finds those with `text` in the field `within`, or at the beginning of the field `beginning`;
    everything for no text. Capitals do not matter."""
    if not text or not text.strip():
        return {}
    wanted = re.escape(text.strip())
    return {
        "$or": [
            {within: {"$regex": wanted, "$options": "i"}},
            {beginning: {"$regex": f"^{wanted}", "$options": "i"}},
        ]
    }


class Kept(Generic[T]):
    """One collection of versioned records."""

    def __init__(self, collection: Collection, kind: type[T]) -> None:
        self._collection = collection
        self._kind: type[T] = kind

    async def add(self, item: T, session: Session) -> None:
        """Raises `AlreadyThere`, which ends the transaction."""
        try:
            await self._collection.insert_one(to_document(item), session=session)
        except DuplicateKeyError as error:
            raise AlreadyThere from error

    async def add_missing(self, items: Iterable[T]) -> int:
        """Insert those that are not there, change nothing else. Returns how many were inserted."""
        operations = []
        for item in items:
            document = to_document(item)
            key = {"_id": document.pop("_id")}
            operations.append(UpdateOne(key, {"$setOnInsert": document}, upsert=True))
        if not operations:
            return 0
        try:
            result = await self._collection.bulk_write(operations, ordered=False)
        except BulkWriteError as error:
            if any(failure["code"] != _DUPLICATE for failure in error.details["writeErrors"]):
                raise
            return int(error.details["nUpserted"])
        return int(result.upserted_count)

    async def get(self, item_id: str) -> T | None:
        document = await self._collection.find_one({"_id": item_id})
        return from_document(self._kind, document) if document else None

    async def many(self, item_ids: Iterable[str]) -> dict[str, T]:
        """Those of `item_ids` that exist, by id."""
        return {item.id: item for item in await self.find({"_id": {"$in": list(item_ids)}})}

    async def find(self, criteria: Mapping[str, Any]) -> list[T]:
        return [from_document(self._kind, document) async for document in self._collection.find(criteria)]

    async def page(self, *, after: str | None, limit: int, **criteria: Any) -> list[T]:
        """In the order of ids; criteria that are None do not count."""
        wanted = {name: value for name, value in criteria.items() if value is not None}
        if after is not None:
            wanted["_id"] = {"$gt": after}
        found = self._collection.find(wanted).sort("_id", 1).limit(limit)
        return [from_document(self._kind, document) async for document in found]

    async def save(self, item: T, *, read_version: int, session: Session) -> None:
        """Save over `read_version`. Raises `EditConflict` and `AlreadyThere`."""
        try:
            result = await self._collection.replace_one(
                {"_id": item.id, "version": read_version}, to_document(item), session=session
            )
        except DuplicateKeyError as error:
            raise AlreadyThere from error
        if not result.matched_count:
            raise EditConflict

    async def delete(self, item_id: str, *, read_version: int, session: Session) -> None:
        """Raises `EditConflict`."""
        result = await self._collection.delete_one({"_id": item_id, "version": read_version}, session=session)
        if not result.deleted_count:
            raise EditConflict
