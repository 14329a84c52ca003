"""A citizen's notices."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import Field

from backend import keys
from backend.domain.access import Actor
from backend.rest.operations import Routes
from backend.rest.views import Body, Id, Moment, Page, PageQuery, View, moment_cursor, page_of

routes = Routes("notices")


class NoticeQuery(PageQuery):
    unread: bool = Field(default=False, description="只看未读")


class NoticeView(View):
    """`subject` 与 `subject_id` 说明通知关于什么，例如 case 与办件的 id。"""

    id: Id
    subject: str
    subject_id: str
    kind: str
    title: str
    text: str
    at: Moment
    read_at: Moment | None


class MarkRead(Body):
    """`ids` 为 null 表示全部标为已读。"""

    ids: Annotated[list[Id], Field(max_length=200)] | None = None


class UnreadView(View):
    unread: int


@routes.get("/notices")
async def list_notices(request: web.Request, query: NoticeQuery, actor: Actor) -> Page[NoticeView]:
    """我的通知，新的在前。"""
    found = await request.config_dict[keys.NOTICES].list(
        actor, unread=query.unread, before=moment_cursor(query.cursor), limit=query.limit + 1
    )
    return page_of(found, query.limit, NoticeView.model_validate, lambda notice: (notice.at, notice.id))


@routes.get("/notices/unread")
async def count_unread(request: web.Request, actor: Actor) -> UnreadView:
    """未读通知的数量。"""
    return UnreadView(unread=await request.config_dict[keys.NOTICES].unread(actor))


@routes.post("/notices/read")
async def mark_notices_read(request: web.Request, body: MarkRead, actor: Actor) -> UnreadView:
    """标为已读。"""
    notices = request.config_dict[keys.NOTICES]
    await notices.mark_read(actor, body.ids)
    return UnreadView(unread=await notices.unread(actor))
