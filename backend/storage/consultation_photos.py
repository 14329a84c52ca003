"""Photographs of consultations in MongoDB. Their bytes lie beside those of materials, under their SHA-256."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from backend.domain.consultation_photos import ConsultationPhoto
from backend.storage.database import Database, IndexDeclaration
from backend.storage.documents import from_document, to_document, utc

PHOTOS = "consultation_photos"

INDEXES: list[IndexDeclaration] = [
    (PHOTOS, [("sha256", 1)], {"name": "sha256"}),
    (PHOTOS, [("used_at", 1)], {"name": "uncarried", "partialFilterExpression": {"kept_at": None}}),
]


class ConsultationPhotoStore:
    """The records; `backend.storage.materials` has the bytes."""

    def __init__(self, database: Database) -> None:
        self._photos = database[PHOTOS]

    async def add(self, photo: ConsultationPhoto) -> ConsultationPhoto:
        """Insert the record, or return the one that has this id."""
        try:
            await self._photos.insert_one(to_document(photo))
        except DuplicateKeyError:
            found = await self.get(photo.id)
            if found is None:
                raise
            return found
        return photo

    async def get(self, photo_id: str) -> ConsultationPhoto | None:
        document = await self._photos.find_one({"_id": photo_id})
        return from_document(ConsultationPhoto, document) if document else None

    async def digests(self, photo_ids: Sequence[str]) -> dict[str, str]:
        """The SHA-256 of those whose bytes are there, by id."""
        found = self._photos.find({"_id": {"$in": list(photo_ids)}, "stored_at": {"$ne": None}}, {"sha256": 1})
        return {document["_id"]: document["sha256"] async for document in found}

    async def mark_stored(self, photo_id: str, at: datetime) -> ConsultationPhoto | None:
        """Note that the bytes are there; None when there is no such record any more."""
        document = await self._photos.find_one_and_update(
            {"_id": photo_id}, {"$set": {"stored_at": utc(at)}}, return_document=ReturnDocument.AFTER
        )
        return from_document(ConsultationPhoto, document) if document else None

    async def claim(self, photo_ids: Sequence[str], owner_id: str, at: datetime) -> dict[str, ConsultationPhoto]:
        """Those of the owner's finished photographs, by id; no clean-up that has not begun deletes them now."""
        mine = {"_id": {"$in": list(photo_ids)}, "owner_id": owner_id, "stored_at": {"$ne": None}}
        if not (await self._photos.update_many(mine, {"$max": {"used_at": utc(at)}})).matched_count:
            return {}
        return {d["_id"]: from_document(ConsultationPhoto, d) async for d in self._photos.find(mine)}

    async def uncarried(self, before: datetime, limit: int) -> list[ConsultationPhoto]:
        """Photographs that nobody named since `before` and that are not known to be carried, oldest first."""
        found = self._photos.find({"kept_at": None, "used_at": {"$lt": utc(before)}}).sort("used_at", 1).limit(limit)
        return [from_document(ConsultationPhoto, document) async for document in found]

    async def mark_kept(self, photo_id: str, at: datetime) -> None:
        """An operation carries it: it stays."""
        await self._photos.update_one({"_id": photo_id}, {"$set": {"kept_at": utc(at)}})

    async def delete(self, photo: ConsultationPhoto) -> bool:
        """Delete the record, unless somebody named it since it was read."""
        result = await self._photos.delete_one({"_id": photo.id, "used_at": photo.used_at, "kept_at": None})
        return result.deleted_count == 1
