"""Quick replies of the desk."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import AfterValidator, Field, StringConstraints

from backend import keys
from backend.domain.access import Actor
from backend.domain.errors import Conflict, EditConflict, NotFound
from backend.domain.ids import new_id
from backend.domain.quick_replies import MAX_REPLIES, QuickReply, ReplyScope
from backend.rest.context import CREATION_ID
from backend.rest.operations import Routes
from backend.rest.views import Body, Id, Query, View
from handlers.organisation import VersionQuery
from handlers.staff import Version

routes = Routes("quick-replies")

Title = Annotated[str, StringConstraints(min_length=1, max_length=30, pattern=r"^[^\x00-\x1f\x7f]+$")]
ReplyText = Annotated[str, StringConstraints(min_length=1, max_length=2000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]+$")]
Shortcut = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{1,12}$"), AfterValidator(str.lower)]
_DEPARTMENT = "仅用于 scope=department；不填则为自己的部门"


class QuickReplyBody(Body):
    """`own` 由可以答复咨询的人员自己维护，`department` 由部门负责人和管理员维护，`district` 由管理员维护。"""

    scope: ReplyScope
    title: Title
    text: ReplyText = Field(description="可以包含 {事项}、{称呼}、{我的姓名}，由工作台在插入时替换")
    shortcut: Shortcut | None = Field(default=None, description="拼音缩写，同一列表内不重复，不区分大小写")
    department_id: Id | None = Field(default=None, description=_DEPARTMENT)


class QuickReplyChanges(Body):
    """没有出现的字段保持不变；`shortcut` 可以用 null 清空。"""

    version: Version
    title: Title | None = None
    text: ReplyText | None = None
    shortcut: Shortcut | None = None


class QuickReplyOrder(Body):
    """`ids` 按新的次序列出这个列表的全部常用语。"""

    scope: ReplyScope
    department_id: Id | None = Field(default=None, description=_DEPARTMENT)
    ids: Annotated[list[Id], Field(max_length=MAX_REPLIES)]


class QuickReplyQuery(Query):
    department_id: Id | None = Field(default=None, description="管理员查看另一个部门的常用语")


class QuickReplyView(View):
    """一条常用语。

    `text` 里可以有占位符，由工作台在插入时替换：`{事项}` 换成咨询或办件的事项名称，`{称呼}` 换成对群众的称呼，
    `{我的姓名}` 换成当前工作人员的姓名；不知道的保留原样，由工作人员填写。`editable` 表示当前用户可以修改它。
    """

    id: Id
    scope: ReplyScope
    department_id: str | None = Field(description="scope=department 时为所属部门")
    title: str
    text: str
    shortcut: str | None
    editable: bool
    version: int


class QuickReplyList(View):
    """依次为自己的、部门的、全区的，各自按设定的次序。"""

    items: list[QuickReplyView]


def _view(request: web.Request, reply: QuickReply, actor: Actor) -> QuickReplyView:
    return QuickReplyView(
        id=reply.id,
        scope=reply.scope,
        department_id=reply.owner_id if reply.scope is ReplyScope.DEPARTMENT else None,
        title=reply.title,
        text=reply.text,
        shortcut=reply.shortcut,
        editable=request.config_dict[keys.QUICK_REPLIES].editable(actor, reply),
        version=reply.version,
    )


@routes.get("/desk/quick-replies", errors=[NotFound])
async def list_quick_replies(request: web.Request, query: QuickReplyQuery, actor: Actor) -> QuickReplyList:
    """我能用的常用语：自己的、本部门的、全区的。"""
    found = await request.config_dict[keys.QUICK_REPLIES].readable(actor, department_id=query.department_id)
    return QuickReplyList(items=[_view(request, reply, actor) for reply in found])


@routes.post("/desk/quick-replies", status=201, idempotent=True, errors=[Conflict, NotFound])
async def create_quick_reply(request: web.Request, body: QuickReplyBody, actor: Actor) -> QuickReplyView:
    """新增常用语，排在所属列表的末尾。"""
    made = await request.config_dict[keys.QUICK_REPLIES].create(
        actor,
        request.get(CREATION_ID) or new_id(),
        scope=body.scope,
        department_id=body.department_id,
        title=body.title,
        text=body.text,
        shortcut=body.shortcut,
    )
    return _view(request, made, actor)


@routes.put("/desk/quick-replies/order", errors=[EditConflict, NotFound])
async def order_quick_replies(request: web.Request, body: QuickReplyOrder, actor: Actor) -> QuickReplyList:
    """排列一个列表；列表已有增删时返回 409。被移动的常用语版本号加一。"""
    found = await request.config_dict[keys.QUICK_REPLIES].order(actor, body.scope, body.department_id, body.ids)
    return QuickReplyList(items=[_view(request, reply, actor) for reply in found])


@routes.patch("/desk/quick-replies/{quick_reply_id}", errors=[EditConflict])
async def update_quick_reply(
    request: web.Request, quick_reply_id: Id, body: QuickReplyChanges, actor: Actor
) -> QuickReplyView:
    """修改常用语的标题、内容或缩写。"""
    changes = {
        name: value
        for name in body.model_fields_set - {"version"}
        if (value := getattr(body, name)) is not None or name == "shortcut"
    }
    service = request.config_dict[keys.QUICK_REPLIES]
    return _view(request, await service.update(actor, quick_reply_id, changes, version=body.version), actor)


@routes.delete("/desk/quick-replies/{quick_reply_id}", errors=[EditConflict])
async def delete_quick_reply(request: web.Request, quick_reply_id: Id, query: VersionQuery, actor: Actor) -> None:
    """删除常用语。"""
    await request.config_dict[keys.QUICK_REPLIES].delete(actor, quick_reply_id, version=query.version)
