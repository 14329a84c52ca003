"""Announcements: read by everybody, kept at the desk."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from aiohttp import web
from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints

from backend import keys
from backend.domain.access import Actor
from backend.domain.announcements import Announcement, AnnouncementLevel, AnnouncementState
from backend.domain.errors import EditConflict, InvalidInput
from backend.domain.ids import new_id
from backend.domain.organisation import Department
from backend.rest.context import CREATION_ID
from backend.rest.operations import Routes
from backend.rest.views import Body, Id, Moment, Page, PageQuery, View, decode_cursor, moment_cursor, page_of
from handlers.organisation import VersionQuery
from handlers.staff import Version

routes = Routes("announcements")


def _sensible(moment: datetime) -> datetime:
    """A year in which the calendar's arithmetic holds, whatever the time zone."""
    if not 2000 <= moment.year <= 2100:
        raise ValueError("日期应当在 2000 年至 2100 年之间。")
    return moment


SentMoment = Annotated[AwareDatetime, AfterValidator(_sensible)]
Title = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
Paragraphs = Annotated[str, StringConstraints(min_length=1, max_length=8000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]+$")]


class AnnouncementBody(Body):
    """`publish_from` 为空则存为草稿；`publish_until` 为空则长期有效；`department_id` 为空则以全区名义发布。"""

    title: Title
    text: Paragraphs = Field(description="纯文本，用换行分段")
    level: AnnouncementLevel = AnnouncementLevel.NOTICE
    publish_from: SentMoment | None = None
    publish_until: SentMoment | None = None
    department_id: Id | None = None


class AnnouncementChanges(Body):
    """没有出现的字段保持不变；`publish_from`、`publish_until`、`department_id` 可以用 null 清空。"""

    version: Version
    title: Title | None = None
    text: Paragraphs | None = None
    level: AnnouncementLevel | None = None
    publish_from: SentMoment | None = None
    publish_until: SentMoment | None = None
    department_id: Id | None = None


class DeskAnnouncementQuery(PageQuery):
    state: AnnouncementState | None = Field(default=None, description="只看草稿、待发布、发布中或已结束的")


class AnnouncementSummary(View):
    """列表里的一条；`summary` 是正文的开头。"""

    id: Id
    title: str
    summary: str
    level: AnnouncementLevel
    publish_from: Moment
    publish_until: Moment | None
    department_id: str | None
    department_name: str | None = Field(description="发布部门；null 表示全区公告")


class AnnouncementView(AnnouncementSummary):
    """`text` 是纯文本，用换行分段。"""

    text: str


class DeskAnnouncementView(View):
    """`state`：draft 草稿、scheduled 待发布、published 发布中、ended 已结束。"""

    id: Id
    title: str
    text: str
    level: AnnouncementLevel
    state: AnnouncementState
    publish_from: Moment | None
    publish_until: Moment | None
    department_id: str | None
    department_name: str | None
    created_at: Moment
    updated_at: Moment
    version: int


#: What may be cleared: null is a value there, and elsewhere the same as not sent.
_CLEARABLE = frozenset({"publish_from", "publish_until", "department_id"})


def _fields(item: Announcement, departments: Mapping[str, Department]) -> dict[str, Any]:
    announcer = departments.get(item.department_id) if item.department_id else None
    return {
        "id": item.id,
        "title": item.title,
        "level": item.level,
        "publish_from": item.publish_from,
        "publish_until": item.publish_until,
        "department_id": item.department_id,
        "department_name": announcer.name if announcer else None,
    }


@routes.get("/announcements", public=True)
async def list_announcements(request: web.Request, query: PageQuery) -> Page[AnnouncementSummary]:
    """正在发布的公告，重要的在前，其次新的在前。"""
    service = request.config_dict[keys.ANNOUNCEMENTS]
    found = await service.in_force(after=_place(query.cursor), limit=query.limit + 1)
    departments = await service.announcers(found)
    return page_of(
        found,
        query.limit,
        lambda item: AnnouncementSummary(**_fields(item, departments), summary=item.summary),
        lambda item: (item.level.value, item.publish_from or item.created_at, item.id),
    )


def _place(cursor: str | None) -> tuple[AnnouncementLevel, datetime, str] | None:
    parts = decode_cursor(cursor, str, str, str)
    if parts is None:
        return None
    try:
        moment = datetime.fromisoformat(str(parts[1])).astimezone(UTC)
        return AnnouncementLevel(str(parts[0])), moment, str(parts[2])
    except (ValueError, OverflowError) as error:
        raise InvalidInput("翻页标记无效，请从第一页重新开始。", field="cursor") from error


@routes.get("/announcements/{announcement_id}", public=True)
async def get_announcement(request: web.Request, announcement_id: Id) -> AnnouncementView:
    """一条正在发布的公告。"""
    service = request.config_dict[keys.ANNOUNCEMENTS]
    item = await service.read(announcement_id)
    return AnnouncementView(**_fields(item, await service.announcers([item])), summary=item.summary, text=item.text)


async def _desk(request: web.Request, item: Announcement) -> DeskAnnouncementView:
    departments = await request.config_dict[keys.ANNOUNCEMENTS].announcers([item])
    return _desk_view(request, item, departments)


def _desk_view(request: web.Request, item: Announcement, departments: Mapping[str, Department]) -> DeskAnnouncementView:
    return DeskAnnouncementView(
        **_fields(item, departments),
        text=item.text,
        state=request.config_dict[keys.ANNOUNCEMENTS].state(item),
        created_at=item.created_at,
        updated_at=item.updated_at,
        version=item.version,
    )


@routes.get("/desk/announcements")
async def list_desk_announcements(
    request: web.Request, query: DeskAnnouncementQuery, actor: Actor
) -> Page[DeskAnnouncementView]:
    """全部公告，新建的在前。"""
    service = request.config_dict[keys.ANNOUNCEMENTS]
    found = await service.page(actor, state=query.state, before=moment_cursor(query.cursor), limit=query.limit + 1)
    departments = await service.announcers(found)
    return page_of(
        found,
        query.limit,
        lambda item: _desk_view(request, item, departments),
        lambda item: (item.created_at, item.id),
    )


@routes.post("/desk/announcements", status=201, idempotent=True)
async def create_announcement(request: web.Request, body: AnnouncementBody, actor: Actor) -> DeskAnnouncementView:
    """新建公告：存为草稿、立即发布或定时发布。"""
    made = await request.config_dict[keys.ANNOUNCEMENTS].create(
        actor,
        request.get(CREATION_ID) or new_id(),
        title=body.title,
        text=body.text,
        level=body.level,
        publish_from=body.publish_from,
        publish_until=body.publish_until,
        department_id=body.department_id,
    )
    return await _desk(request, made)


@routes.get("/desk/announcements/{announcement_id}")
async def get_desk_announcement(request: web.Request, announcement_id: Id, actor: Actor) -> DeskAnnouncementView:
    """一条公告，不论是否发布。"""
    return await _desk(request, await request.config_dict[keys.ANNOUNCEMENTS].get(actor, announcement_id))


@routes.patch("/desk/announcements/{announcement_id}", errors=[EditConflict])
async def update_announcement(
    request: web.Request, announcement_id: Id, body: AnnouncementChanges, actor: Actor
) -> DeskAnnouncementView:
    """修改公告；`version` 为读到的版本，已被他人修改时返回 409。"""
    changes = {
        name: value
        for name in body.model_fields_set - {"version"}
        if (value := getattr(body, name)) is not None or name in _CLEARABLE
    }
    service = request.config_dict[keys.ANNOUNCEMENTS]
    return await _desk(request, await service.update(actor, announcement_id, changes, version=body.version))


@routes.delete("/desk/announcements/{announcement_id}", errors=[EditConflict])
async def withdraw_announcement(request: web.Request, announcement_id: Id, query: VersionQuery, actor: Actor) -> None:
    """撤下公告；内容保留在修改记录中。"""
    await request.config_dict[keys.ANNOUNCEMENTS].withdraw(actor, announcement_id, version=query.version)
