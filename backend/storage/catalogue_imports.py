"""Imports of the catalogue in MongoDB: what is owed, its file in GridFS, and what was found in its rows.

A worker claims an import by one atomic update with a lease and an owner; what it did counts only while it is
still the owner, so a worker that was thought dead cannot write behind its successor's back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import IO, Any

from gridfs.errors import NoFile
from motor.motor_asyncio import AsyncIOMotorGridFSBucket
from pymongo import ASCENDING, ReplaceOne, ReturnDocument

from backend.domain.catalogue_imports import ENDED, OPEN, CatalogueImport, ImportState
from backend.domain.errors import EditConflict
from backend.storage.database import Database, Document, IndexDeclaration, Session
from backend.storage.documents import from_document, to_document, to_value, utc

INDEXES: list[IndexDeclaration] = [
    ("catalogue_imports", [("state", 1), ("lease_until", 1)], {"name": "owed"}),
    ("catalogue_imports", [("file_kept", 1), ("state", 1)], {"name": "files"}),
    ("catalogue_import_notes", [("import_id", 1), ("kind", 1), ("place", 1)], {"name": "place"}),
]

_LEASE = timedelta(seconds=30)
_CHUNK_BYTES = 512 * 1024


class NoteKind(StrEnum):
    WARNING = "warning"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class ImportNote:
    """What is to be said about a row. `place` orders the notes of one kind in the file."""

    place: int
    row: int
    code: str | None
    field: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class ClaimedImport:
    """An import that this worker works on; `tries` counts how often it was taken up without coming on."""

    item: CatalogueImport
    owner: str
    tries: int


class ImportLost(Exception):
    """The import is somebody else's now, or was cancelled."""


class CatalogueImportStore:
    """Imports, their files and notes."""

    def __init__(self, database: Database) -> None:
        self._imports = database["catalogue_imports"]
        self._notes = database["catalogue_import_notes"]
        self._writes = database["catalogue_import_writes"]
        self._bucket = AsyncIOMotorGridFSBucket(database.raw, "catalogue_imports", chunk_size_bytes=_CHUNK_BYTES)

    # --- records ---

    async def get(self, import_id: str) -> CatalogueImport | None:
        document = await self._imports.find_one({"_id": import_id})
        return from_document(CatalogueImport, document) if document else None

    async def page(self, *, before: str | None, limit: int) -> list[CatalogueImport]:
        """The newest first: ids sort by the time of their making."""
        criteria = {"_id": {"$lt": before}} if before is not None else {}
        found = self._imports.find(criteria).sort("_id", -1).limit(limit)
        return [from_document(CatalogueImport, document) async for document in found]

    async def add(self, item: CatalogueImport, session: Session) -> None:
        """A new import whose file is kept already."""
        owed: Document = {"lease_until": item.created_at, "owner": None, "tries": 0}
        owed |= {"file_kept": True, "departments": []}
        await self._imports.insert_one({**to_document(item), **owed}, session=session)
        await self._writes.delete_one({"_id": item.id}, session=session)

    async def save(self, item: CatalogueImport, now: datetime, session: Session) -> None:
        """What somebody decided about an import: whoever works on it loses it. Raises `EditConflict`.

        The counts that a worker wrote meanwhile stay as they are.
        """
        decided = to_value(
            {"version": item.version, "state": item.state, "applied_by": item.applied_by, "ended_at": item.ended_at}
        )
        freed: Document = {"lease_until": utc(now), "owner": None, "tries": 0}
        if item.state is ImportState.ACCEPTED:
            freed["rows_done"] = 0
        result = await self._imports.update_one(
            {"_id": item.id, "version": item.version - 1, "state": {"$nin": [state.value for state in ENDED]}},
            {"$set": {**decided, **freed}},
            session=session,
        )
        if not result.matched_count:
            raise EditConflict

    # --- files ---

    async def put_file(self, import_id: str, name: str, content: IO[bytes], now: datetime) -> None:
        """Keep the file of an import that is about to be added."""
        await self._writes.insert_one({"_id": import_id, "at": utc(now)})
        await self._bucket.upload_from_stream_with_id(import_id, name, content)

    async def read_file(self, import_id: str, into: IO[bytes]) -> None:
        """Write the file of an import into a local one."""
        await self._bucket.download_to_stream(import_id, into)

    async def forget_files(self, before: datetime) -> int:
        """Delete the files of imports that have ended, and what was left over from uploads begun `before`;
        how many those were."""
        count = 0
        ended = {"file_kept": True, "state": {"$in": [state.value for state in ENDED]}}
        async for found in self._imports.find(ended, {"_id": 1}):
            await self._delete_file(found["_id"])
            await self._imports.update_one({"_id": found["_id"]}, {"$set": {"file_kept": False}})
            count += 1
        async for write in self._writes.find({"at": {"$lt": utc(before)}}):
            if await self._imports.find_one({"_id": write["_id"]}, {"_id": 1}) is None:
                await self._delete_file(write["_id"])
                count += 1
            await self._writes.delete_one({"_id": write["_id"]})
        return count

    async def _delete_file(self, import_id: str) -> None:
        with suppress(NoFile):  # chunks without a file's own record are deleted all the same
            await self._bucket.delete(import_id)

    # --- a worker's side ---

    async def claim(self, now: datetime, owner: str) -> ClaimedImport | None:
        """The next import that wants a worker, leased; None when there is none."""
        found = await self._imports.find_one_and_update(
            {"state": {"$in": [state.value for state in OPEN]}, "lease_until": {"$lte": now}},
            {"$set": {"lease_until": now + _LEASE, "owner": owner}, "$inc": {"tries": 1}},
            sort=[("lease_until", ASCENDING)],
            return_document=ReturnDocument.AFTER,
        )
        if found is None:
            return None
        return ClaimedImport(from_document(CatalogueImport, found), owner, int(found["tries"]))

    async def progress(
        self,
        claimed: ClaimedImport,
        now: datetime,
        changes: Mapping[str, Any],
        *,
        departments: Iterable[str] = (),
        came_on: bool = True,
        session: Session | None = None,
    ) -> CatalogueImport:
        """Write how far the owner came, and hold the lease on. Raises `ImportLost` for one who is it no more.

        `departments` are ids of departments that the file brings; `came_on` says that rows were done.
        """
        update: Document = {"$set": {**to_value(changes), "lease_until": now + _LEASE}}
        if came_on:
            update["$set"]["tries"] = 0
        if new := sorted(departments):
            update["$addToSet"] = {"departments": {"$each": new}}
        found = await self._imports.find_one_and_update(
            {"_id": claimed.item.id, "owner": claimed.owner, "state": {"$in": [state.value for state in OPEN]}},
            update,
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        if found is None:
            raise ImportLost
        return from_document(CatalogueImport, found)

    async def departments(self, import_id: str) -> set[str]:
        """Ids of the new departments that the file was found to bring so far."""
        found = await self._imports.find_one({"_id": import_id}, {"departments": 1})
        return set(found["departments"]) if found else set()

    # --- notes ---

    async def add_notes(self, import_id: str, kind: NoteKind, notes: Sequence[ImportNote]) -> None:
        """Keep notes under their places: writing them twice is the same."""
        operations = [
            ReplaceOne(
                {"_id": f"{import_id}:{kind.value}:{note.place}"},
                {"import_id": import_id, "kind": kind.value, **to_document(note)},
                upsert=True,
            )
            for note in notes
        ]
        if operations:
            await self._notes.bulk_write(operations, ordered=False)

    async def notes(self, import_id: str, kind: NoteKind, *, after: int | None, limit: int) -> list[ImportNote]:
        """Notes in the order of the file, after the place `after`."""
        criteria: Document = {
            "import_id": import_id,
            "kind": kind.value,
            "place": {"$gt": -1 if after is None else after},
        }
        found = self._notes.find(criteria).sort("place", 1).limit(limit)
        return [from_document(ImportNote, document) async for document in found]
