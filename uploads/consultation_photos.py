"""HTTP of photographs in consultations: upload before sending, read where they were said."""

from __future__ import annotations

from typing import Final

from aiohttp import web
from pydantic import Field

from backend import keys
from backend.domain.access import Actor
from backend.domain.consultation_photos import ConsultationPhoto
from backend.domain.errors import Conflict, RangeNotSatisfiable
from backend.rest.operations import Multipart, Routes
from backend.rest.views import Id, View
from backend.services.consultation_photos import PhotoUpload
from uploads.handlers import FILE, INTAKE, MAX_BYTES, UPLOAD_ID, UPLOADS_PER_MINUTE, upload_id_of
from uploads.intake import receive
from uploads.serving import StoredPhoto, serve, serve_thumbnail

routes = Routes("consultations")

_UPLOAD: Final = Multipart(parts={"file": (FILE, True), "upload_id": (UPLOAD_ID, True)}, max_bytes=MAX_BYTES)


class ConsultationPhotoView(View):
    """一张可以发送的照片：发消息时在 attachments 里写它的 `upload_id`。"""

    upload_id: Id
    name: str
    media_type: str
    size: int = Field(description="字节")
    width: int = Field(description="像素")
    height: int = Field(description="像素")


def _view(photo: ConsultationPhoto) -> ConsultationPhotoView:
    return ConsultationPhotoView(
        upload_id=photo.id,
        name=photo.name,
        media_type=photo.media_type,
        size=photo.size,
        width=photo.width,
        height=photo.height,
    )


def _stored(photo: ConsultationPhoto) -> StoredPhoto:
    return StoredPhoto(photo.sha256, photo.size, photo.media_type, f"photo-{photo.id}.jpg")


@routes.post("/consultation-photos", status=201, multipart=_UPLOAD, rate=UPLOADS_PER_MINUTE, errors=[Conflict])
async def add_consultation_photo(request: web.Request, actor: Actor) -> ConsultationPhotoView:
    """上传一张咨询中要发送的照片。

    照片会转正、缩小、重新编码，并去掉拍摄地点等附带信息。一天内没有发送的照片会被删除。
    """
    photos, intake = request.config_dict[keys.CONSULTATION_PHOTOS], request.config_dict[INTAKE]
    photos.check_may_upload(actor)
    async with receive(request, intake.folder, max_bytes=intake.max_bytes, fields=frozenset({"upload_id"})) as received:
        upload = PhotoUpload(upload_id_of(received.fields), received.filename, received.content_sha256)
        found = await photos.find_upload(actor, upload)
        if found is None:
            found = await photos.add(actor, upload, await intake.workers.normalise(received.path))
    return _view(found)


@routes.get(
    "/consultations/{consultation_id}/attachments/{upload_id}",
    produces=("image/jpeg",),
    statuses=(206, 304),
    headers=("If-None-Match", "Range", "If-Range"),
    errors=[RangeNotSatisfiable],
)
async def read_attachment(request: web.Request, consultation_id: Id, upload_id: Id, actor: Actor) -> web.StreamResponse:
    """读取咨询中的一张照片。能看到这条消息的人才能看到；消息撤回后不再提供。"""
    photos = request.config_dict[keys.CONSULTATION_PHOTOS]
    photo = await photos.read(actor, consultation_id, upload_id)

    async def content(start: int, end: int) -> bytes:
        return await photos.content(photo, start, end)

    return await serve(request, _stored(photo), content)


@routes.get(
    "/consultations/{consultation_id}/attachments/{upload_id}/thumbnail",
    produces=("image/jpeg",),
    statuses=(304,),
    headers=("If-None-Match",),
)
async def read_attachment_thumbnail(
    request: web.Request, consultation_id: Id, upload_id: Id, actor: Actor
) -> web.StreamResponse:
    """读取咨询中一张照片的缩略图。"""
    photos = request.config_dict[keys.CONSULTATION_PHOTOS]
    photo = await photos.read(actor, consultation_id, upload_id)

    async def thumbnail() -> bytes:
        return await photos.thumbnail(photo)

    return await serve_thumbnail(request, _stored(photo), thumbnail)
