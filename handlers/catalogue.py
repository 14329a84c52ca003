"""The catalogue for its editors: write guides, publish, suspend, import."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Any, TypeVar

from aiohttp import web
from pydantic import Field

from backend import keys
from backend.domain.access import Actor
from backend.domain.catalogue_imports import CatalogueImport
from backend.domain.errors import EditConflict, InvalidInput, InvalidTransition
from backend.domain.matters import MatterState
from backend.rest.operations import Multipart, Routes
from backend.rest.views import Id, Line, Page, PageQuery, Query, decode_cursor, encode_cursor, id_cursor, page_of
from backend.services.catalogue_imports import MAX_IMPORT, MAX_MAPPING
from backend.services.editable import Editable, NewMatter
from backend.services.matters import MAX_GUIDE_FILE
from backend.storage.catalogue_imports import NoteKind
from backend.storage.kept import AlreadyThere
from backend.storage.matter_edits import Work
from backend.storage.matters import EditorFilters
from handlers.catalogue_forms import DraftBody, EditVersion, NewMatterBody, PublishBody, StateBody
from handlers.catalogue_views import (
    CatalogueImportView,
    EditorMatterRow,
    EditorMatterView,
    GuideFileView,
    GuideProblems,
    GuideProblemView,
    ImportNoteView,
    MappingList,
    MappingView,
    MatterEventView,
    MatterVersionRow,
    people_of,
)
from handlers.received_files import receive

routes = Routes("catalogue")


class EditorQuery(PageQuery):
    """条件可以同时使用。"""

    q: Line | None = Field(default=None, description="名称中的文字，或事项编码的开头")
    department: Id | None = Field(default=None, description="部门编号")
    state: MatterState | None = Field(default=None, description="状态；draft 为从未发布的新事项")
    work: Work | None = Field(default=None, description="draft：有草稿的；scheduled：有等待生效的版本的")


class EditVersionQuery(Query):
    version: EditVersion


class NoteQuery(PageQuery):
    kind: NoteKind = Field(default=NoteKind.REJECT, description="reject：不收的行；warning：提醒")


async def _view(request: web.Request, found: Editable) -> EditorMatterView:
    names = await request.config_dict[keys.CATALOGUE_READING].names(people_of(found))
    return EditorMatterView.of(found, names)


def _before(cursor: str | None) -> int | None:
    parts = decode_cursor(cursor, int)
    if parts is None:
        return None
    number = int(str(parts[0]))
    if not 0 <= number < 2**53:
        raise InvalidInput("翻页标记无效，请从第一页重新开始。", field="cursor")
    return number


T = TypeVar("T")
V = TypeVar("V")


def _numbered(found: Sequence[T], limit: int, view: Callable[[T], V], number: Callable[[T], int]) -> Page[V]:
    """A page of a list that is sorted by a number."""
    more = len(found) > limit
    return Page(
        items=[view(item) for item in found[:limit]],
        next_cursor=encode_cursor(number(found[limit - 1])) if more else None,
    )


# --- matters -------------------------------------------------------------------------------------


@routes.get("/catalogue/matters")
async def list_catalogue_matters(request: web.Request, query: EditorQuery, actor: Actor) -> Page[EditorMatterRow]:
    """全部事项，包括草稿、暂停和取消的，按事项编码排列。"""
    found = await request.config_dict[keys.CATALOGUE_READING].page(
        actor,
        EditorFilters(text=query.q or None, department_id=query.department, state=query.state),
        work=query.work,
        after=id_cursor(query.cursor),
        limit=query.limit + 1,
    )
    return page_of(found, query.limit, EditorMatterRow.model_validate, lambda row: (row.code,))


@routes.post("/catalogue/matters", status=201, idempotent=True, errors=[AlreadyThere])
async def create_catalogue_matter(request: web.Request, body: NewMatterBody, actor: Actor) -> EditorMatterView:
    """新增事项，先作为草稿保存；发布前群众看不到。"""
    new = NewMatter(body.code, body.department_id, body.guide.to_draft(), body.area_code)
    return await _view(request, await request.config_dict[keys.CATALOGUE_EDITING].create(actor, new))


@routes.get("/catalogue/matters/{matter_id}")
async def get_catalogue_matter(request: web.Request, matter_id: Id, actor: Actor) -> EditorMatterView:
    """一个事项：现行版本、草稿及其问题、等待生效的版本。"""
    return await _view(request, await request.config_dict[keys.CATALOGUE_EDITING].get(actor, matter_id))


@routes.put("/catalogue/matters/{matter_id}/draft", errors=[EditConflict, InvalidTransition])
async def save_guide_draft(request: web.Request, matter_id: Id, body: DraftBody, actor: Actor) -> EditorMatterView:
    """保存草稿，可以不完整。有版本等待生效时不能修改，请先撤回。"""
    saved = await request.config_dict[keys.CATALOGUE_EDITING].save_draft(
        actor, matter_id, body.guide.to_draft(), version=body.version, base_version=body.base_version
    )
    return await _view(request, saved)


@routes.delete("/catalogue/matters/{matter_id}/draft", errors=[EditConflict])
async def discard_guide_draft(request: web.Request, matter_id: Id, query: EditVersionQuery, actor: Actor) -> None:
    """放弃草稿；从未发布的事项会一并消失。"""
    await request.config_dict[keys.CATALOGUE_EDITING].discard_draft(actor, matter_id, version=query.version)


@routes.get("/catalogue/matters/{matter_id}/draft/problems")
async def list_guide_problems(request: web.Request, matter_id: Id, actor: Actor) -> GuideProblems:
    """草稿还有哪些问题；没有草稿时为空。"""
    found = await request.config_dict[keys.CATALOGUE_EDITING].get(actor, matter_id)
    return GuideProblems(items=[GuideProblemView.model_validate(problem) for problem in found.problems])


@routes.post("/catalogue/matters/{matter_id}/publish", errors=[EditConflict, InvalidTransition])
async def publish_guide(request: web.Request, matter_id: Id, body: PublishBody, actor: Actor) -> EditorMatterView:
    """发布草稿：立即生效，或从指定日期零点起生效。已经开始的办件和咨询仍按原来的版本。

    已取消的事项发布新版本后恢复在用；暂停的仍然暂停。
    """
    published = await request.config_dict[keys.CATALOGUE_EDITING].publish(
        actor, matter_id, version=body.version, effective_from=body.effective_from
    )
    return await _view(request, published)


@routes.delete("/catalogue/matters/{matter_id}/scheduled", errors=[EditConflict])
async def unschedule_guide(
    request: web.Request, matter_id: Id, query: EditVersionQuery, actor: Actor
) -> EditorMatterView:
    """撤回等待生效的版本，它重新成为草稿。"""
    taken_back = await request.config_dict[keys.CATALOGUE_EDITING].unschedule(actor, matter_id, version=query.version)
    return await _view(request, taken_back)


async def _move(
    request: web.Request, actor: Actor, matter_id: str, body: StateBody, target: MatterState
) -> EditorMatterView:
    moved = await request.config_dict[keys.CATALOGUE_EDITING].move(
        actor, matter_id, target, reason=body.reason, version=body.version
    )
    return await _view(request, moved)


@routes.post("/catalogue/matters/{matter_id}/suspend", errors=[EditConflict, InvalidTransition])
async def suspend_matter(request: web.Request, matter_id: Id, body: StateBody, actor: Actor) -> EditorMatterView:
    """暂停办理：指南还能看到，不能新办，搜索不到；已经开始的办件继续。"""
    return await _move(request, actor, matter_id, body, MatterState.SUSPENDED)


@routes.post("/catalogue/matters/{matter_id}/resume", errors=[EditConflict, InvalidTransition])
async def resume_matter(request: web.Request, matter_id: Id, body: StateBody, actor: Actor) -> EditorMatterView:
    """恢复办理。"""
    return await _move(request, actor, matter_id, body, MatterState.ACTIVE)


@routes.post("/catalogue/matters/{matter_id}/cancel", errors=[EditConflict, InvalidTransition])
async def cancel_matter(request: web.Request, matter_id: Id, body: StateBody, actor: Actor) -> EditorMatterView:
    """取消事项；等待生效的版本会撤回为草稿，已经开始的办件继续。"""
    return await _move(request, actor, matter_id, body, MatterState.CANCELLED)


@routes.get("/catalogue/matters/{matter_id}/versions")
async def list_matter_versions(
    request: web.Request, matter_id: Id, query: PageQuery, actor: Actor
) -> Page[MatterVersionRow]:
    """发布过的版本，新的在前。"""
    reading = request.config_dict[keys.CATALOGUE_READING]
    found = await reading.versions(actor, matter_id, before=_before(query.cursor), limit=query.limit + 1)
    names = await reading.names({version.matter.published_by for version in found})
    return _numbered(found, query.limit, lambda v: MatterVersionRow.of(v, names), lambda v: v.matter.version)


@routes.get("/catalogue/matters/{matter_id}/history")
async def list_matter_history(
    request: web.Request, matter_id: Id, query: PageQuery, actor: Actor
) -> Page[MatterEventView]:
    """谁在什么时候改了什么，新的在前。"""
    reading = request.config_dict[keys.CATALOGUE_READING]
    found = await reading.history(actor, matter_id, before=_before(query.cursor), limit=query.limit + 1)
    names = await reading.names({event.actor_id for event in found})
    return _numbered(found, query.limit, lambda e: MatterEventView.of(e, names), lambda e: e.sequence)


# --- forms and samples ---------------------------------------------------------------------------

_FILE: dict[str, Any] = {"type": "string", "format": "binary"}


@routes.post(
    "/catalogue/guide-files",
    status=201,
    multipart=Multipart(
        parts={"file": ({**_FILE, "description": "PDF、docx、xlsx、JPEG、PNG 或 HTML，按内容识别"}, True)},
        max_bytes=MAX_GUIDE_FILE,
    ),
)
async def upload_guide_file(request: web.Request, actor: Actor) -> GuideFileView:
    """上传空白表格或填写样例（不超过 8 MB）；把返回的 `name` 写进指南。"""
    service = request.config_dict[keys.GUIDE_FILES]
    service.check(actor)
    async with receive(request, files={"file": MAX_GUIDE_FILE}) as received:
        if "file" not in received.files:
            raise InvalidInput("没有收到文件。", field="file")
        sent = received.files["file"]
        file = await service.put(actor, sent.name, await asyncio.to_thread(sent.content.read))
    return GuideFileView(
        name=file.name, media_type=file.media_type, bytes=len(file.content), url=f"/api/guide-files/{file.name}"
    )


# --- imports -------------------------------------------------------------------------------------


@routes.get("/catalogue/mappings")
async def list_import_mappings(request: web.Request, actor: Actor) -> MappingList:
    """自带的字段映射，导入时按 `id` 选用。"""
    return MappingList(items=[MappingView.of(m) for m in request.config_dict[keys.CATALOGUE_IMPORTS].mappings(actor)])


_IMPORT = Multipart(
    parts={
        "file": ({**_FILE, "description": "事项清单，JSONL 或 CSV，不超过 50 MB"}, True),
        "mapping": ({"type": "string", "maxLength": 100, "description": "自带映射的 id"}, False),
        "mapping_file": ({**_FILE, "description": "自己的映射（TOML），与 mapping 二选一"}, False),
    },
    max_bytes=MAX_IMPORT,
)


@routes.post("/catalogue/imports", status=202, multipart=_IMPORT)
async def create_catalogue_import(request: web.Request, actor: Actor) -> CatalogueImportView:
    """上传事项清单。先在后台试运行，不写入；看过结果再执行。"""
    imports = request.config_dict[keys.CATALOGUE_IMPORTS]
    imports.mappings(actor)  # who may not is told before anything is received
    async with receive(
        request, files={"file": MAX_IMPORT, "mapping_file": MAX_MAPPING}, fields=("mapping",)
    ) as received:
        if "file" not in received.files:
            raise InvalidInput("没有收到文件。", field="file")
        sent, mapping = received.files["file"], received.files.get("mapping_file")
        try:
            text = mapping.content.read().decode("utf-8-sig") if mapping is not None else None
        except UnicodeDecodeError as error:
            raise InvalidInput("映射文件应当是 UTF-8 编码的 TOML。", field="mapping_file") from error
        item = await imports.create(
            actor,
            sent.content,
            file_name=_plain_name(sent.name),
            size=sent.size,
            mapping=received.fields.get("mapping") or None,
            mapping_text=text,
        )
    return await _import(request, item)


def _plain_name(sent: str) -> str:
    """A file's name without folders and control characters, as it is shown."""
    name = PurePath(sent.replace("\\", "/")).name
    return "".join(c for c in name if c.isprintable())[-200:]


async def _import(request: web.Request, item: CatalogueImport) -> CatalogueImportView:
    people = {item.created_by, item.applied_by or ""}
    return CatalogueImportView.of(item, await request.config_dict[keys.CATALOGUE_READING].names(people))


@routes.get("/catalogue/imports")
async def list_catalogue_imports(request: web.Request, query: PageQuery, actor: Actor) -> Page[CatalogueImportView]:
    """导入记录，新的在前。"""
    found = await request.config_dict[keys.CATALOGUE_IMPORTS].page(
        actor, before=id_cursor(query.cursor), limit=query.limit + 1
    )
    people = {person for item in found for person in (item.created_by, item.applied_by or "")}
    names = await request.config_dict[keys.CATALOGUE_READING].names(people)
    return page_of(found, query.limit, lambda item: CatalogueImportView.of(item, names), lambda item: (item.id,))


@routes.get("/catalogue/imports/{import_id}")
async def get_catalogue_import(request: web.Request, import_id: Id, actor: Actor) -> CatalogueImportView:
    """一次导入的状态、进度和结果。"""
    return await _import(request, await request.config_dict[keys.CATALOGUE_IMPORTS].get(actor, import_id))


@routes.get("/catalogue/imports/{import_id}/notes")
async def list_import_notes(
    request: web.Request, import_id: Id, query: NoteQuery, actor: Actor
) -> Page[ImportNoteView]:
    """不收的行或提醒，按文件中的次序。"""
    found = await request.config_dict[keys.CATALOGUE_IMPORTS].notes(
        actor, import_id, query.kind, after=_before(query.cursor), limit=query.limit + 1
    )
    return _numbered(found, query.limit, ImportNoteView.model_validate, lambda note: note.place)


@routes.get("/catalogue/imports/{import_id}/rejects.csv", produces=("text/csv",))
async def download_import_rejects(request: web.Request, import_id: Id, actor: Actor) -> web.StreamResponse:
    """下载全部不收的行（CSV）。"""
    lines = await request.config_dict[keys.CATALOGUE_IMPORTS].rejects_csv(actor, import_id)
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/csv; charset=utf-8",
            "Content-Disposition": f'attachment; filename="rejects-{import_id}.csv"',
            "Cache-Control": "no-store",
        }
    )
    await response.prepare(request)
    async for line in lines:
        await response.write(line)
    await response.write_eof()
    return response


@routes.post("/catalogue/imports/{import_id}/apply", status=202, errors=[InvalidTransition, EditConflict])
async def apply_catalogue_import(request: web.Request, import_id: Id, actor: Actor) -> CatalogueImportView:
    """执行导入：试运行结束后才可以。在后台进行，逐批发布。"""
    return await _import(request, await request.config_dict[keys.CATALOGUE_IMPORTS].apply(actor, import_id))


@routes.delete("/catalogue/imports/{import_id}", errors=[InvalidTransition, EditConflict])
async def cancel_catalogue_import(request: web.Request, import_id: Id, actor: Actor) -> CatalogueImportView:
    """取消导入；正在执行的停在当前的地方，已经发布的保留。"""
    return await _import(request, await request.config_dict[keys.CATALOGUE_IMPORTS].cancel(actor, import_id))
