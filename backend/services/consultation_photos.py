"""Use cases of photographs in consultations: upload, attach, read where they were said, forget what never was.

The order of an upload is: record, bytes, mark; each may be repeated. A page of a case that is attached is
recorded here too, under its own id: the talk keeps what was said in it, whatever becomes of the case's draft.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from backend.domain.access import Actor, Permission, allows, require
from backend.domain.consultation_content import Attachment
from backend.domain.consultation_operations import attachments_of, view_for
from backend.domain.consultation_photos import ConsultationPhoto, check_same, photo_name
from backend.domain.errors import IdempotencyConflict, NotFound
from backend.domain.materials import MaterialPage
from backend.domain.photos import NormalisedPhoto
from backend.ports import Clock
from backend.services.consultation_base import Readings, audience_of, may_read
from backend.storage.cases import CaseStore
from backend.storage.consultation_photos import ConsultationPhotoStore
from backend.storage.consultations import ConsultationStore
from backend.storage.documents import utc
from backend.storage.materials import MaterialStore

#: How long a photograph that was uploaded, but not sent, is kept.
UNSENT_FOR = timedelta(hours=24)
#: How long bytes without a record are kept: an upload of the same bytes may be under way.
UNUSED_FOR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class PhotoUpload:
    """What a client sends besides the photograph: its id for the upload, the file's name, the digest of the file."""

    id: str
    filename: str
    content_sha256: str


class ConsultationPhotoService:
    def __init__(
        self,
        *,
        photos: ConsultationPhotoStore,
        files: MaterialStore,
        cases: CaseStore,
        consultations: ConsultationStore,
        clock: Clock,
        readings: Readings,
    ) -> None:
        self._readings = readings
        self._photos = photos
        self._files = files
        self._cases = cases
        self._consultations = consultations
        self._clock = clock

    # --- uploading -------------------------------------------------------------------------------

    @staticmethod
    def check_may_upload(actor: Actor) -> None:
        """Whether the actor takes part in consultations at all: asked before anything is received."""
        require(actor, Permission.SPEAK)

    async def find_upload(self, actor: Actor, upload: PhotoUpload) -> ConsultationPhoto | None:
        """The finished photograph of an upload that is sent again; None when it has to be made (or finished).

        Raises `IdempotencyConflict` when the id stands for another photograph.
        """
        self.check_may_upload(actor)
        found = await self._photos.get(upload.id)
        if found is None:
            if await self._files.get(upload.id) is not None:  # a page of a case has this id: nothing may pose as it
                raise IdempotencyConflict("这个上传编号已经用于另一张照片。", field="upload_id")
            return None
        check_same(found, actor.id, upload.content_sha256)
        return found if found.stored_at is not None else None

    async def add(self, actor: Actor, upload: PhotoUpload, photo: NormalisedPhoto) -> ConsultationPhoto:
        """Keep a photograph. Once for each upload id; raises as `find_upload`."""
        if known := await self.find_upload(actor, upload):
            return known
        now = utc(self._clock.now())
        record = await self._photos.add(
            ConsultationPhoto(
                id=upload.id,
                owner_id=actor.id,
                content_sha256=upload.content_sha256,
                sha256=photo.sha256,
                name=photo_name(upload.filename, photo.media_type),
                media_type=photo.media_type,
                width=photo.width,
                height=photo.height,
                size=len(photo.page),
                created_at=now,
                used_at=now,
            )
        )
        check_same(record, actor.id, upload.content_sha256)
        if record.stored_at is not None:  # sent twice at the same time, and the other one was faster
            return record
        await self._files.put(photo, now)
        return await self._photos.mark_stored(record.id, now) or record

    # --- attaching -------------------------------------------------------------------------------

    async def check_case(self, actor: Actor, case_id: str) -> None:
        """Raises `NotFound` for a case that is not the actor's to see."""
        case = await self._cases.get(case_id)
        if case is None or not allows(actor, Permission.READ_CASE, case.target):
            raise NotFound("没有找到这个办件。", field="case_id")

    async def attachments(self, actor: Actor, wanted: Sequence[Attachment]) -> tuple[Attachment, ...]:
        """The attachments with what is known of the photographs they name: own uploads, and pages the actor
        may read. Raises `NotFound`."""
        now = self._clock.now()
        ids = [attachment.upload_id for attachment in wanted]
        photos = await self._photos.claim(ids, actor.id, now)
        pages = await self._files.get_many([photo_id for photo_id in ids if photo_id not in photos])
        found = []
        for attachment in wanted:
            photo = photos.get(attachment.upload_id)
            if photo is None and (page := pages.get(attachment.upload_id)):
                photo = await self._page(actor, page, now)
            if photo is None:
                raise NotFound("没有找到这张照片，请重新上传。", field="body.attachments")
            found.append(
                replace(
                    attachment,
                    name=photo.name,
                    media_type=photo.media_type,
                    size=photo.size,
                    width=photo.width,
                    height=photo.height,
                )
            )
        return tuple(found)

    async def _page(self, actor: Actor, page: MaterialPage, now: datetime) -> ConsultationPhoto | None:
        """A page of a case as a photograph of the talk; None when it is not the actor's to see."""
        case = await self._cases.get(page.case_id)
        if case is None or not allows(actor, Permission.READ_MATERIAL, case.target):
            return None
        moment = utc(now)
        photo = await self._photos.add(
            ConsultationPhoto(
                id=page.id,
                owner_id=page.citizen_id,
                content_sha256=page.content_sha256,
                sha256=page.sha256,
                name=photo_name("材料照片", page.media_type),
                media_type=page.media_type,
                width=page.width,
                height=page.height,
                size=page.bytes,
                created_at=moment,
                used_at=moment,
                stored_at=moment,
            )
        )
        await self._photos.claim([photo.id], photo.owner_id, now)
        return photo

    # --- reading ---------------------------------------------------------------------------------

    async def read(self, actor: Actor, consultation_id: str, upload_id: str) -> ConsultationPhoto:
        """A photograph for whoever reads the consultation and sees an operation that carries it.

        `NotFound` for strangers, for what was recalled, for citizens where a note carries it, and for a
        photograph of another talk.
        """
        require(actor, Permission.READ_CONSULTATION)
        state = await self._consultations.state(consultation_id)
        if state is None or not may_read(actor, state):
            raise NotFound
        carrying = await self._consultations.carrying(consultation_id, upload_id)
        if not any(
            upload_id in {a.upload_id for a in attachments_of(view_for(operation, audience_of(actor)))}
            for operation in carrying
        ):
            raise NotFound
        photo = await self._photos.get(upload_id)
        if photo is None:
            raise NotFound
        await self._readings.note(actor, state, "photograph")
        return photo

    async def content(self, photo: ConsultationPhoto, start: int, end: int) -> bytes:
        """Bytes `start` to `end` (exclusive) of a photograph that was got from `read`."""
        return await self._files.read(photo.sha256, start, end)

    async def thumbnail(self, photo: ConsultationPhoto) -> bytes:
        """The thumbnail of a photograph that was got from `read`."""
        return await self._files.thumbnail(photo.sha256)

    # --- keeping clean ---------------------------------------------------------------------------

    async def forget_unsent(self, *, limit: int = 500) -> tuple[int, int]:
        """Delete what was uploaded a day ago and never sent. (How many were looked at, how many deleted.)"""
        now = self._clock.now()
        found = await self._photos.uncarried(now - UNSENT_FOR, limit)
        deleted = 0
        for photo in found:
            if await self._consultations.is_carried(photo.id):
                await self._photos.mark_kept(photo.id, now)
            elif await self._photos.delete(photo):
                deleted += 1
                await self._files.drop_unused(photo.sha256, now - UNUSED_FOR)
        return len(found), deleted
