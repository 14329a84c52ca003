"""Pages of materials in MongoDB: their records, and their bytes in GridFS under their SHA-256.

- `material_pages`: one record per uploaded page; the same bytes may be several pages.
- `material_blobs`: one record per distinct content, with the thumbnail inside and the GridFS file's id.
- `material_writes`: what is being written to or deleted from GridFS just now, so that a crash in between
  leaves a note of what to clean up and never a file that nobody knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from gridfs.errors import NoFile
from motor.motor_asyncio import AsyncIOMotorGridFSBucket
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from backend.domain.errors import NotFound
from backend.domain.ids import new_id
from backend.domain.materials import MaterialPage
from backend.domain.photos import NormalisedPhoto
from backend.storage.consultation_photos import PHOTOS
from backend.storage.database import Database, IndexDeclaration
from backend.storage.documents import from_document, to_document, utc

INDEXES: list[IndexDeclaration] = [
    ("material_pages", [("citizen_id", 1), ("upload_id", 1)], {"unique": True, "name": "upload"}),
    ("material_pages", [("sha256", 1)], {"name": "sha256"}),
    ("material_pages", [("removed_at", 1)], {"name": "removed"}),
    (
        "material_pages",
        [("created_at", 1)],
        {"name": "unattached", "partialFilterExpression": {"attached_at": None}},
    ),
    ("material_blobs", [("file_id", 1)], {"name": "file"}),
    ("material_writes", [("at", 1)], {"name": "at"}),
]

_CHUNK_BYTES = 512 * 1024  # most pages are one or two chunks


class MaterialStore:
    """Page records and page bytes."""

    def __init__(self, database: Database) -> None:
        self._pages = database["material_pages"]
        self._photos = database[PHOTOS]
        self._blobs = database["material_blobs"]
        self._writes = database["material_writes"]
        self._bucket = AsyncIOMotorGridFSBucket(database.raw, "materials", chunk_size_bytes=_CHUNK_BYTES)

    # --- records ---

    async def add(self, page: MaterialPage) -> MaterialPage:
        """Insert the record, or return the one that this upload already has."""
        try:
            await self._pages.insert_one(to_document(page))
        except DuplicateKeyError:
            found = await self.by_upload(page.citizen_id, page.upload_id)
            if found is None:
                raise
            return found
        return page

    async def get(self, page_id: str) -> MaterialPage | None:
        document = await self._pages.find_one({"_id": page_id})
        return from_document(MaterialPage, document) if document else None

    async def get_many(self, page_ids: Sequence[str]) -> dict[str, MaterialPage]:
        """Those of the pages that exist, by id."""
        documents = await self._pages.find({"_id": {"$in": list(page_ids)}}).to_list(len(page_ids))
        return {document["_id"]: from_document(MaterialPage, document) for document in documents}

    async def by_upload(self, citizen_id: str, upload_id: str) -> MaterialPage | None:
        document = await self._pages.find_one({"citizen_id": citizen_id, "upload_id": upload_id})
        return from_document(MaterialPage, document) if document else None

    async def mark_attached(self, page_id: str, at: datetime) -> MaterialPage | None:
        """Note that the page is in its slot; None when there is no such page any more."""
        document = await self._pages.find_one_and_update(
            {"_id": page_id},
            {"$set": {"attached_at": utc(at), "removed_at": None}},
            return_document=ReturnDocument.AFTER,
        )
        return from_document(MaterialPage, document) if document else None

    async def mark_removed(self, page_ids: Sequence[str], at: datetime) -> None:
        """Note that the pages are spare from now on."""
        await self._pages.update_many({"_id": {"$in": list(page_ids)}}, {"$set": {"removed_at": utc(at)}})

    async def spare(self, before: datetime, limit: int) -> list[MaterialPage]:
        """Pages that since `before` are in no slot as far as their records know, oldest first."""
        moment = utc(before)
        rule = {
            "$or": [
                {"removed_at": {"$lt": moment}},
                {"attached_at": None, "created_at": {"$lt": moment}},
            ]
        }
        documents = await self._pages.find(rule).sort("_id", 1).limit(limit).to_list(limit)
        return [from_document(MaterialPage, document) for document in documents]

    async def delete(self, page: MaterialPage) -> None:
        """Delete the record, unless it was attached anew since it was read."""
        await self._pages.delete_one({"_id": page.id, "attached_at": page.attached_at, "removed_at": page.removed_at})

    # --- bytes ---

    async def put(self, photo: NormalisedPhoto, now: datetime) -> None:
        """Store the bytes of a page, once for any number of pages that are the same.

        The page's record must have been added before: bytes without a record may be cleaned up.
        """
        touch = {"$set": {"touched_at": utc(now)}}
        if await self._blobs.find_one_and_update({"_id": photo.sha256}, touch, {"_id": 1}) is not None:
            return
        file_id = new_id()
        await self._writes.insert_one({"_id": file_id, "at": utc(now)})
        await self._bucket.upload_from_stream_with_id(
            file_id, photo.sha256, photo.page, metadata={"media_type": photo.media_type}
        )
        try:
            await self._blobs.insert_one(
                {
                    "_id": photo.sha256,
                    "file_id": file_id,
                    "media_type": photo.media_type,
                    "bytes": len(photo.page),
                    "thumbnail": photo.thumbnail,
                    "touched_at": utc(now),
                }
            )
        except DuplicateKeyError:  # the same page was stored at the same time: theirs stays
            await self._bucket.delete(file_id)
        await self._writes.delete_one({"_id": file_id})

    async def read(self, sha256: str, start: int, end: int) -> bytes:
        """Bytes `start` to `end` (exclusive) of a stored page. Raises `NotFound`."""
        blob = await self._blobs.find_one({"_id": sha256}, {"file_id": 1})
        if blob is None:
            raise NotFound
        try:
            stream = await self._bucket.open_download_stream(blob["file_id"])
        except NoFile as error:
            raise NotFound from error
        stream.seek(start)
        content: bytes = await stream.read(end - start)
        return content

    async def thumbnail(self, sha256: str) -> bytes:
        """The thumbnail of a stored page. Raises `NotFound`."""
        blob = await self._blobs.find_one({"_id": sha256}, {"thumbnail": 1})
        if blob is None:
            raise NotFound
        return bytes(blob["thumbnail"])

    async def drop_unused(self, sha256: str, before: datetime) -> bool:
        """Delete the bytes when no page and no photograph has them and nobody stored them again since `before`."""
        for records in (self._pages, self._photos):
            if await records.find_one({"sha256": sha256}, {"_id": 1}) is not None:
                return False
        unused: dict[str, Any] = {"_id": sha256, "touched_at": {"$lt": utc(before)}}
        blob = await self._blobs.find_one(unused, {"file_id": 1})
        if blob is None:
            return False
        await self._writes.update_one({"_id": blob["file_id"]}, {"$set": {"at": utc(before)}}, upsert=True)
        deleted = await self._blobs.delete_one(unused)
        if deleted.deleted_count:
            await self._delete_file(blob["file_id"])
        await self._writes.delete_one({"_id": blob["file_id"]})
        return bool(deleted.deleted_count)

    async def finish_broken_writes(self, before: datetime) -> int:
        """Clean up after processes that died while writing or deleting bytes; how many files that were."""
        count = 0
        async for write in self._writes.find({"at": {"$lt": utc(before)}}):
            if await self._blobs.find_one({"file_id": write["_id"]}, {"_id": 1}) is None:
                await self._delete_file(write["_id"])
                count += 1
            await self._writes.delete_one({"_id": write["_id"]})
        return count

    async def _delete_file(self, file_id: str) -> None:
        with suppress(NoFile):  # chunks without a file's own record are deleted all the same
            await self._bucket.delete(file_id)
