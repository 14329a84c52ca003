"""The catalogue in MongoDB: matters, all their versions, guide files, and the catalogue's revision.

`matters` holds the newest version of each matter, `matter_versions` every version ever published. Each
publication takes the next number of the catalogue's revision in the same transaction and stamps it on what
it wrote: a node that knows revision N asks for everything after N and misses nothing.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from pymongo import InsertOne, ReplaceOne, ReturnDocument
from pymongo.errors import BulkWriteError, DuplicateKeyError

from backend.domain.matters import Audience, Matter, MatterState, TaskType
from backend.storage.database import Database, Document, IndexDeclaration, Session, retry_transient
from backend.storage.documents import from_document, to_document, utc
from backend.storage.kept import AlreadyThere

INDEXES: list[IndexDeclaration] = [
    ("matters", [("code", 1)], {"unique": True, "name": "code"}),
    ("matters", [("revision", 1)], {"name": "revision"}),
    ("matters", [("state", 1), ("code", 1)], {"name": "browse"}),
    ("matters", [("state", 1), ("department_id", 1), ("code", 1)], {"name": "department"}),
    ("matters", [("state", 1), ("guide.themes", 1), ("code", 1)], {"name": "theme"}),
    ("matters", [("state", 1), ("guide.task_type", 1), ("code", 1)], {"name": "task_type"}),
    (
        "matters",
        [("guide.effective_to", 1)],
        {"name": "end", "partialFilterExpression": {"guide.effective_to": {"$type": "string"}}},
    ),
    ("matter_versions", [("matter_id", 1), ("version", 1)], {"unique": True, "name": "version"}),
    ("guide_files", [("digest", 1)], {"name": "digest"}),
    ("catalogue", [("revision", 1)], {"name": "revision"}),
]

_REVISION = "revision"

Decide = Callable[[Mapping[str, Matter]], list[Matter]]


@dataclass(frozen=True, slots=True)
class BrowseFilters:
    """Every field that is given must hold; None means any. `area_code` is a prefix."""

    department_id: str | None = None
    theme: str | None = None
    audience: Audience | None = None
    task_type: TaskType | None = None
    area_code: str | None = None


@dataclass(frozen=True, slots=True)
class EditorFilters:
    """Every field that is given must hold. `text` is in the name, or the beginning of the code."""

    text: str | None = None
    department_id: str | None = None
    state: MatterState | None = None


def text_criteria(text: str | None, fields: Iterable[str]) -> list[Document]:
    """The conditions under which a document has `text` in one of `fields`, or at the beginning of its code."""
    if not text:
        return []
    pattern = {"$regex": re.escape(text), "$options": "i"}
    return [{"$or": [{"code": {"$regex": "^" + re.escape(text.upper())}}, *({name: pattern} for name in fields)]}]


@dataclass(frozen=True, slots=True)
class GuideFile:
    """A form or a filled sample. `digest` is the SHA-256 of `content`."""

    name: str
    media_type: str
    digest: str
    content: bytes


class MatterStore:
    """Matters and their versions."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._matters = database["matters"]
        self._versions = database["matter_versions"]
        self._catalogue = database["catalogue"]
        self._files = database["guide_files"]

    async def get(self, matter_id: str) -> Matter | None:
        """The newest version."""
        return _matter(await self._matters.find_one({"_id": matter_id}))

    async def by_code(self, code: str) -> Matter | None:
        """The newest version of the matter with this code."""
        return _matter(await self._matters.find_one({"code": code}))

    async def version(self, matter_id: str, version: int) -> Matter | None:
        """One version, also an old one: cases and consultations stay on theirs."""
        return _version(await self._versions.find_one({"matter_id": matter_id, "version": version}))

    async def page(self, filters: BrowseFilters, *, after: str | None, limit: int) -> list[Matter]:
        """Matters in use, in the order of their codes, after the code `after`."""
        criteria: Document = {"state": MatterState.ACTIVE.value}
        for name, value in (
            ("department_id", filters.department_id),
            ("guide.themes", filters.theme),
            ("guide.audiences", filters.audience),
            ("guide.task_type", filters.task_type),
        ):
            if value is not None:
                criteria[name] = str(value)
        if filters.area_code is not None:
            criteria["area_code"] = {"$regex": "^" + re.escape(filters.area_code)}
        if after is not None:
            criteria["code"] = {"$gt": after}
        found = self._matters.find(criteria).sort("code", 1).limit(limit)
        return [from_document(Matter, document) async for document in found]

    async def known(self, ids: Iterable[str]) -> dict[str, Matter]:
        """The newest versions of those of `ids` that exist."""
        found = self._matters.find({"_id": {"$in": list(ids)}})
        return {document["_id"]: from_document(Matter, document) async for document in found}

    async def publish(self, ids: Iterable[str], decide: Decide) -> list[Matter]:
        """Publish what `decide` makes of the newest versions of `ids`, in one transaction.

        `decide` is pure: it may be called again when somebody else published meanwhile. Returns the new
        versions as they are stored.
        """
        wanted = list(ids)

        async def work() -> list[Matter]:
            async with self._database.transaction() as session:
                return await self.publish_within(session, wanted, decide)

        try:
            return await retry_transient(work)
        except BulkWriteError as error:
            # two first publications of one matter: the other is there for the second look
            if any(failure["code"] != 11000 for failure in error.details["writeErrors"]):
                raise
            return await retry_transient(work)

    async def publish_within(self, session: Session, ids: Iterable[str], decide: Decide) -> list[Matter]:
        """`publish` inside a transaction that is under way: with it, or not at all."""
        found = self._matters.find({"_id": {"$in": list(ids)}}, session=session)
        current = {document["_id"]: from_document(Matter, document) async for document in found}
        fresh = [_as_kept(matter) for matter in decide(current)]
        if not fresh:
            return []
        counter = await self._catalogue.find_one_and_update(
            {"_id": _REVISION},
            {"$inc": {"revision": 1}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        documents = [{**to_document(m), "revision": counter["revision"]} for m in fresh]
        await self._matters.bulk_write(
            [ReplaceOne({"_id": document["_id"]}, document, upsert=True) for document in documents],
            ordered=False,
            session=session,
        )
        await self._versions.bulk_write(
            [InsertOne(_as_version(document)) for document in documents], ordered=False, session=session
        )
        return fresh

    async def revision(self) -> int:
        """The number of the last publication; 0 for an empty catalogue."""
        document = await self._catalogue.find_one({"_id": _REVISION})
        return int(document["revision"]) if document else 0

    async def changed_since(self, revision: int) -> AsyncIterator[Matter]:
        """The newest versions of all matters that were published after `revision`."""
        async for document in self._matters.find({"revision": {"$gt": revision}}).batch_size(500):
            yield from_document(Matter, document)

    async def versions(self, matter_id: str, *, before: int | None, limit: int) -> list[Matter]:
        """Published versions, the newest first, those before the version `before`."""
        criteria: Document = {"matter_id": matter_id}
        if before is not None:
            criteria["version"] = {"$lt": before}
        found = self._versions.find(criteria).sort("version", -1).limit(limit)
        return [from_document(Matter, {**document, "_id": document["matter_id"]}) async for document in found]

    async def all_states(self, filters: EditorFilters, *, after: str | None, limit: int) -> list[Matter]:
        """Matters that were ever published, in any state, in the order of their codes, after the code `after`."""
        criteria: Document = {}
        if filters.state is not None:
            criteria["state"] = filters.state.value
        if filters.department_id is not None:
            criteria["department_id"] = filters.department_id
        criteria["$and"] = [
            {"code": {"$gt": after or ""}},
            *text_criteria(filters.text, ("guide.name", "guide.short_name")),
        ]
        found = self._matters.find(criteria).sort("code", 1).limit(limit)
        return [from_document(Matter, document) async for document in found]

    async def ended(self, day: date, *, limit: int) -> list[str]:
        """Ids of matters not cancelled yet whose guide's last day was before `day`, the longest ago first."""
        criteria = {
            "guide.effective_to": {"$type": "string", "$lt": day.isoformat()},
            "state": {"$ne": MatterState.CANCELLED.value},
        }
        found = self._matters.find(criteria, {"_id": 1}).sort("guide.effective_to", 1).limit(limit)
        return [str(document["_id"]) async for document in found]

    async def known_files(self, names: Iterable[str]) -> set[str]:
        """Those of `names` under which a guide file is kept."""
        found = self._files.find({"_id": {"$in": list(names)}}, {"_id": 1})
        return {str(document["_id"]) async for document in found}

    async def put_file(self, file: GuideFile) -> bool:
        """Keep a guide file under its name; whether that changed anything."""
        document = {"_id": file.name, **{k: v for k, v in to_document(file).items() if k != "name"}}
        result = await self._files.update_one({"_id": file.name, "digest": {"$ne": file.digest}}, {"$set": document})
        if result.matched_count:
            return True
        result = await self._files.update_one({"_id": file.name}, {"$setOnInsert": document}, upsert=True)
        return result.upserted_id is not None

    async def add_file(self, file: GuideFile, session: Session) -> None:
        """Keep a new guide file. Raises `AlreadyThere` when one has this name, which ends the transaction."""
        document = {"_id": file.name, **{k: v for k, v in to_document(file).items() if k != "name"}}
        try:
            await self._files.insert_one(document, session=session)
        except DuplicateKeyError as error:
            raise AlreadyThere from error

    async def get_file(self, name: str) -> GuideFile | None:
        """A form or a filled sample by its name."""
        document = await self._files.find_one({"_id": name})
        return from_document(GuideFile, {**document, "name": name}) if document else None


def _matter(document: Mapping[str, Any] | None) -> Matter | None:
    return from_document(Matter, document) if document else None


def _as_kept(matter: Matter) -> Matter:
    since = utc(matter.state_since) if matter.state_since is not None else None
    return replace(matter, published_at=utc(matter.published_at), state_since=since)


def _as_version(document: Document) -> Document:
    return {
        **document,
        "_id": f"{document['_id']}:{document['version']}",
        "matter_id": document["_id"],
    }


def _version(document: Mapping[str, Any] | None) -> Matter | None:
    return from_document(Matter, {**document, "_id": document["matter_id"]}) if document else None
