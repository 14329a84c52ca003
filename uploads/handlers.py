"""HTTP of materials: upload, order, replace, delete, read back."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from pydantic import Field

from backend import keys
from backend.domain.access import Actor
from backend.domain.cases import MAX_PAGES
from backend.domain.errors import Conflict, EditConflict, InvalidInput, RangeNotSatisfiable
from backend.domain.ids import is_uuid
from backend.domain.materials import MaterialPage
from backend.rest.operations import Multipart, Routes
from backend.rest.views import Body, Id, MaterialKey, Moment, View
from backend.services.materials import PlacedPage, Upload
from uploads.intake import receive, sweep
from uploads.serving import StoredPhoto, serve, serve_thumbnail
from uploads.workers import PhotoWorkers, WorkerLimits

routes = Routes("materials")

#: Uploads a minute and caller: a thick file of forty pages and some retries.
UPLOADS_PER_MINUTE: Final = 90


@dataclass(frozen=True, slots=True)
class PhotoIntake:
    """Where photographs arrive: the folder of temporary files, the cap in bytes, the decoding processes."""

    folder: Path
    max_bytes: int
    workers: PhotoWorkers


INTAKE = web.AppKey("photo_intake", PhotoIntake)


def photo_intake(
    folder: Path, *, max_bytes: int, processes: int, wait_seconds: float
) -> Callable[[web.Application], AsyncIterator[None]]:
    """A `cleanup_ctx` that owns the intake; what a killed process left in `folder` is deleted at start."""

    async def run(app: web.Application) -> AsyncIterator[None]:
        sweep(folder)
        limits = WorkerLimits(processes=processes, max_bytes=max_bytes, wait_seconds=wait_seconds)
        async with PhotoWorkers(limits) as workers:
            app[INTAKE] = PhotoIntake(folder, max_bytes, workers)
            yield

    return run


class MaterialPageView(View):
    id: Id
    key: str = Field(description="材料要求的 key")
    position: int | None = Field(description="在这份材料中的次序，从 0 开始；已不在其中时为 null")
    width: int = Field(description="像素")
    height: int = Field(description="像素")
    bytes: int
    sha256: str
    media_type: str
    created_at: Moment
    url: str
    thumbnail_url: str


class MaterialSlotView(View):
    key: str = Field(description="材料要求的 key")
    pages: list[MaterialPageView]


class MaterialSlotsView(View):
    items: list[MaterialSlotView]


class PageOrder(Body):
    page_ids: list[Id] = Field(max_length=MAX_PAGES, description="这份材料的全部页面，按新的次序")


def _view(placed: PlacedPage) -> MaterialPageView:
    page = placed.page
    return MaterialPageView(
        id=page.id,
        key=page.key,
        position=placed.position,
        width=page.width,
        height=page.height,
        bytes=page.bytes,
        sha256=page.sha256,
        media_type=page.media_type,
        created_at=page.created_at,
        url=f"/api/materials/{page.id}",
        thumbnail_url=f"/api/materials/{page.id}/thumbnail",
    )


FILE: dict[str, Any] = {
    "type": "string",
    "format": "binary",
    "description": "JPEG、PNG 或 WebP 照片，默认不超过 12 MB。按内容识别，与文件名无关",
}
UPLOAD_ID: dict[str, Any] = {
    "type": "string",
    "format": "uuid",
    "description": "客户端生成的 UUID：同一编号重复上传同一张照片只产生一页，并得到同样的回答",
}
_POSITION: dict[str, Any] = {
    "type": "integer",
    "minimum": 0,
    "maximum": MAX_PAGES,
    "description": "放在第几页，从 0 开始；不填为最后",
}
MAX_BYTES: Final = 12 * 1024 * 1024
_ADD = Multipart(
    parts={"file": (FILE, True), "upload_id": (UPLOAD_ID, True), "position": (_POSITION, False)},
    max_bytes=MAX_BYTES,
)
_REPLACE = Multipart(parts={"file": (FILE, True), "upload_id": (UPLOAD_ID, True)}, max_bytes=MAX_BYTES)


@routes.post(
    "/cases/{case_id}/materials/{key}/pages",
    status=201,
    multipart=_ADD,
    rate=UPLOADS_PER_MINUTE,
    errors=[Conflict],
)
async def add_material_page(request: web.Request, case_id: Id, key: MaterialKey, actor: Actor) -> MaterialPageView:
    """上传一页材料照片。

    只有草稿和补正中的办件可以上传。照片会转正、缩小、重新编码，并去掉拍摄地点等附带信息。
    """
    return await _receive_page(request, actor, case_id, key, fields=frozenset({"upload_id", "position"}))


@routes.put(
    "/cases/{case_id}/materials/{key}/pages/{page_id}",
    multipart=_REPLACE,
    rate=UPLOADS_PER_MINUTE,
    errors=[Conflict],
)
async def replace_material_page(
    request: web.Request, case_id: Id, key: MaterialKey, page_id: Id, actor: Actor
) -> MaterialPageView:
    """用新照片替换一页，次序不变；新的一页有新的编号。"""
    return await _receive_page(request, actor, case_id, key, fields=frozenset({"upload_id"}), replaces=page_id)


async def _receive_page(
    request: web.Request,
    actor: Actor,
    case_id: str,
    key: str,
    *,
    fields: frozenset[str],
    replaces: str | None = None,
) -> MaterialPageView:
    materials, intake = request.config_dict[keys.MATERIALS], request.config_dict[INTAKE]
    await materials.check_own(actor, case_id)
    async with receive(request, intake.folder, max_bytes=intake.max_bytes, fields=fields) as received:
        upload = Upload(upload_id_of(received.fields), received.content_sha256)
        position = _position(received.fields)
        placed = await materials.find_upload(actor, case_id, key, upload)
        if placed is None:
            await materials.check_open(actor, case_id, key, replaces=replaces)
            photo = await intake.workers.normalise(received.path)
            placed = await materials.add(
                actor, case_id, key, upload=upload, photo=photo, position=position, replaces=replaces
            )
    return _view(placed)


def upload_id_of(fields: dict[str, str]) -> str:
    sent = fields.get("upload_id", "").lower()
    if not is_uuid(sent):
        raise InvalidInput("upload_id 应当是一个 UUID。", field="upload_id")
    return sent


def _position(fields: dict[str, str]) -> int | None:
    sent = fields.get("position")
    if sent is None:
        return None
    if not re.fullmatch(r"[0-9]{1,3}", sent) or int(sent) > MAX_PAGES:
        raise InvalidInput(f"position 应当是 0 到 {MAX_PAGES} 的整数。", field="position")
    return int(sent)


@routes.get("/cases/{case_id}/materials")
async def list_materials(request: web.Request, case_id: Id, actor: Actor) -> MaterialSlotsView:
    """一份办件已上传的全部材料页面，按材料和次序。"""
    slots = await request.config_dict[keys.MATERIALS].slots(actor, case_id)
    return MaterialSlotsView(
        items=[MaterialSlotView(key=key, pages=[_view(placed) for placed in pages]) for key, pages in slots.items()]
    )


@routes.put("/cases/{case_id}/materials/{key}/order", errors=[EditConflict])
async def order_material_pages(
    request: web.Request, case_id: Id, key: MaterialKey, body: PageOrder, actor: Actor
) -> MaterialSlotView:
    """调整一份材料各页的次序。"""
    pages = await request.config_dict[keys.MATERIALS].reorder(actor, case_id, key, tuple(body.page_ids))
    return MaterialSlotView(key=key, pages=[_view(placed) for placed in pages])


@routes.delete("/cases/{case_id}/materials/{key}/pages/{page_id}", errors=[Conflict, InvalidInput])
async def remove_material_page(request: web.Request, case_id: Id, key: MaterialKey, page_id: Id, actor: Actor) -> None:
    """删除一页；重复删除没有影响。"""
    await request.config_dict[keys.MATERIALS].remove(actor, case_id, key, page_id)


@routes.get(
    "/materials/{page_id}",
    produces=("image/jpeg",),
    statuses=(206, 304),
    headers=("If-None-Match", "Range", "If-Range"),
    errors=[RangeNotSatisfiable],
)
async def read_material_page(request: web.Request, page_id: Id, actor: Actor) -> web.StreamResponse:
    """读取一页材料。只有申请人本人和经办这份办件的工作人员可以看到。"""
    materials = request.config_dict[keys.MATERIALS]
    page = await materials.page(actor, page_id)

    async def content(start: int, end: int) -> bytes:
        return await materials.content(page, start, end)

    return await serve(request, _stored(page), content)


@routes.get("/materials/{page_id}/thumbnail", produces=("image/jpeg",), statuses=(304,), headers=("If-None-Match",))
async def read_material_thumbnail(request: web.Request, page_id: Id, actor: Actor) -> web.StreamResponse:
    """读取一页材料的缩略图。"""
    materials = request.config_dict[keys.MATERIALS]
    page = await materials.page(actor, page_id)

    async def thumbnail() -> bytes:
        return await materials.thumbnail(page)

    return await serve_thumbnail(request, _stored(page), thumbnail)


def _stored(page: MaterialPage) -> StoredPhoto:
    return StoredPhoto(page.sha256, page.bytes, page.media_type, f"material-{page.id}.jpg")
