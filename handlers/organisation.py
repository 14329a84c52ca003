"""Departments, posts with holders and duty hours, responsibilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import time
from typing import Annotated, Any

from aiohttp import web
from pydantic import Field, StringConstraints

from backend import keys
from backend.domain.access import Actor
from backend.domain.errors import Conflict, EditConflict
from backend.domain.ids import new_id
from backend.domain.matters import ReceptionMode
from backend.domain.organisation import Department, DepartmentKind, DutySpan, Holder, Post, Responsibility
from backend.rest.context import CREATION_ID
from backend.rest.operations import Routes
from backend.rest.views import Body, Id, Line, Page, PageQuery, Query, id_cursor, page_of
from handlers.organisation_views import (
    Changed,
    ChangeList,
    DepartmentRow,
    DepartmentView,
    PostView,
    ResponsibilityView,
    change_view,
    department_row,
    department_view,
    people_of,
    post_view,
    responsibility_view,
)
from handlers.staff import Name, Search, Version

routes = Routes("organisation")

Code = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z]{1,32}$")]
AreaCode = Annotated[str, StringConstraints(pattern=r"^[0-9]{6,12}$")]
HourMinute = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
Phone = Annotated[str, StringConstraints(max_length=40, pattern=r"^[0-9+()（）\-— 、,，转]*$")]


class SpanModel(Body):
    """一段值班时间（当地时间），如 09:00 至 12:00。"""

    start: HourMinute
    end: HourMinute


class HolderModel(Body):
    """`rank` 1 为主办（A 岗），2 为协办（B 岗）。"""

    staff_id: Id
    rank: Annotated[int, Field(ge=1, le=9)]


Spans = Annotated[list[SpanModel], Field(max_length=6)]
Holders = Annotated[list[HolderModel], Field(max_length=9)]
Leads = Annotated[list[Id], Field(max_length=20)]


class DepartmentBody(Body):
    code: Code
    name: Name
    kind: DepartmentKind
    area_code: AreaCode
    duty_spans: Spans = Field(default_factory=list)
    address: Line | None = None
    phone: Phone | None = None


class DepartmentChanges(Body):
    """没有出现的字段保持不变。"""

    version: Version
    name: Name | None = None
    duty_lead_ids: Leads | None = None
    duty_spans: Spans | None = None
    address: Line | None = None
    phone: Phone | None = None


class PostBody(Body):
    department_id: Id
    name: Name
    holders: Holders = Field(default_factory=list)
    duty_spans: Spans = Field(default_factory=list, description="为空则沿用部门的值班时间")


class PostChanges(Body):
    """没有出现的字段保持不变。"""

    version: Version
    name: Name | None = None
    holders: Holders | None = None
    duty_spans: Spans | None = None


class ResponsibilityBody(Body):
    department_id: Id
    post_id: Id
    matter_id: Id | None = Field(default=None, description="为空则适用于部门的全部事项")
    area_code: AreaCode | None = Field(default=None, description="为空则适用于全部区域")
    reception_mode: ReceptionMode | None = Field(default=None, description="为空则适用于全部受理模式")


class ResponsibilityChanges(Body):
    """没有出现的字段保持不变。"""

    version: Version
    post_id: Id | None = None
    area_code: AreaCode | None = None
    reception_mode: ReceptionMode | None = None


class VersionQuery(Query):
    version: Version


class DepartmentQuery(PageQuery):
    kind: DepartmentKind | None = None
    search: Search | None = Field(default=None, description="名称中的文字，或机构编码的开头")


class PostQuery(PageQuery):
    department_id: Id | None = None
    unstaffed: bool | None = Field(default=None, description="只看无人岗位，或只看有人岗位")
    holder_id: Id | None = Field(default=None, description="只看这名工作人员所在的岗位")


class ChangesQuery(Query):
    of: Changed
    id: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[0-9a-zA-Z-]+$")] = Field(
        description="编号；工作日历填日期"
    )
    limit: int = Field(default=5, ge=1, le=20)


class ResponsibilityQuery(PageQuery):
    department_id: Id | None = None
    matter_id: Id | None = None
    post_id: Id | None = None


def _spans(spans: Sequence[SpanModel]) -> tuple[DutySpan, ...]:
    return tuple(DutySpan(time.fromisoformat(span.start), time.fromisoformat(span.end)) for span in spans)


def _holders(holders: Sequence[HolderModel]) -> tuple[Holder, ...]:
    return tuple(Holder(holder.staff_id, holder.rank) for holder in holders)


#: What may be cleared: null is a value there, and elsewhere the same as not sent.
_CLEARABLE = frozenset({"address", "phone", "area_code", "reception_mode"})


def _changes(body: Body, **convert: Callable[[Any], Any]) -> dict[str, Any]:
    """The fields that were sent, in the domain's types."""
    changes = {}
    for name in body.model_fields_set - {"version"}:
        value = getattr(body, name)
        if value is not None or name in _CLEARABLE:
            changes[name] = convert[name](value) if name in convert else value
    return changes


async def _department(request: web.Request, actor: Actor, item: Department) -> DepartmentView:
    return department_view(item, await request.config_dict[keys.ORGANISATION].people(actor, people_of([item])))


async def _post(request: web.Request, actor: Actor, item: Post) -> PostView:
    return post_view(item, await request.config_dict[keys.ORGANISATION].people(actor, people_of([item])))


@routes.get("/organisation/departments")
async def list_departments(request: web.Request, query: DepartmentQuery, actor: Actor) -> Page[DepartmentRow]:
    """部门列表，可按名称或机构编码查找。"""
    service = request.config_dict[keys.ORGANISATION]
    found = await service.page_departments(
        actor, after=id_cursor(query.cursor), limit=query.limit + 1, kind=query.kind, search=query.search
    )
    counts = await service.count_posts(actor, [item.id for item in found])
    names = await service.people(actor, people_of(found))
    return page_of(found, query.limit, lambda item: department_row(item, names, counts), lambda item: (item.id,))


@routes.post("/organisation/departments", status=201, idempotent=True, errors=[Conflict])
async def create_department(request: web.Request, body: DepartmentBody, actor: Actor) -> DepartmentView:
    """新增部门。"""
    department = Department(
        id=request.get(CREATION_ID) or new_id(),
        code=body.code,
        name=body.name,
        kind=body.kind,
        area_code=body.area_code,
        duty_spans=_spans(body.duty_spans),
        address=body.address,
        phone=body.phone,
    )
    return await _department(
        request, actor, await request.config_dict[keys.ORGANISATION].create_department(actor, department)
    )


@routes.get("/organisation/departments/{department_id}")
async def get_department(request: web.Request, department_id: Id, actor: Actor) -> DepartmentView:
    """一个部门。"""
    return await _department(
        request, actor, await request.config_dict[keys.ORGANISATION].department(actor, department_id)
    )


@routes.patch("/organisation/departments/{department_id}", errors=[EditConflict])
async def update_department(
    request: web.Request, department_id: Id, body: DepartmentChanges, actor: Actor
) -> DepartmentView:
    """修改部门的名称、值班负责人、值班时间、地址或电话。"""
    changes = _changes(body, duty_lead_ids=tuple, duty_spans=_spans)
    service = request.config_dict[keys.ORGANISATION]
    changed = await service.update_department(actor, department_id, changes, version=body.version)
    return await _department(request, actor, changed)


@routes.get("/organisation/posts")
async def list_posts(request: web.Request, query: PostQuery, actor: Actor) -> Page[PostView]:
    """岗位列表；`unstaffed` 标出无人岗位。"""
    service = request.config_dict[keys.ORGANISATION]
    found = await service.page_posts(
        actor,
        after=id_cursor(query.cursor),
        limit=query.limit + 1,
        department_id=query.department_id,
        unstaffed=query.unstaffed,
        holder_id=query.holder_id,
    )
    names = await service.people(actor, people_of(found))
    return page_of(found, query.limit, lambda item: post_view(item, names), lambda item: (item.id,))


@routes.post("/organisation/posts", status=201, idempotent=True, errors=[Conflict])
async def create_post(request: web.Request, body: PostBody, actor: Actor) -> PostView:
    """新增岗位。"""
    post = Post(
        id=request.get(CREATION_ID) or new_id(),
        department_id=body.department_id,
        name=body.name,
        holders=_holders(body.holders),
        duty_spans=_spans(body.duty_spans),
    )
    return await _post(request, actor, await request.config_dict[keys.ORGANISATION].create_post(actor, post))


@routes.get("/organisation/posts/{post_id}")
async def get_post(request: web.Request, post_id: Id, actor: Actor) -> PostView:
    """一个岗位。"""
    return await _post(request, actor, await request.config_dict[keys.ORGANISATION].post(actor, post_id))


@routes.patch("/organisation/posts/{post_id}", errors=[EditConflict])
async def update_post(request: web.Request, post_id: Id, body: PostChanges, actor: Actor) -> PostView:
    """修改岗位的名称、人员（A/B 岗）或值班时间。"""
    changes = _changes(body, holders=_holders, duty_spans=_spans)
    service = request.config_dict[keys.ORGANISATION]
    changed = await service.update_post(actor, post_id, changes, version=body.version)
    return await _post(request, actor, changed)


@routes.get("/organisation/responsibilities")
async def list_responsibilities(
    request: web.Request, query: ResponsibilityQuery, actor: Actor
) -> Page[ResponsibilityView]:
    """责任分工列表：哪个岗位负责哪些事项。"""
    found = await request.config_dict[keys.ORGANISATION].page_responsibilities(
        actor,
        after=id_cursor(query.cursor),
        limit=query.limit + 1,
        department_id=query.department_id,
        matter_id=query.matter_id,
        post_id=query.post_id,
    )
    return page_of(found, query.limit, responsibility_view, lambda item: (item.id,))


@routes.post("/organisation/responsibilities", status=201, idempotent=True, errors=[Conflict])
async def create_responsibility(request: web.Request, body: ResponsibilityBody, actor: Actor) -> ResponsibilityView:
    """新增责任分工。"""
    rule = Responsibility(
        id=request.get(CREATION_ID) or new_id(),
        department_id=body.department_id,
        post_id=body.post_id,
        matter_id=body.matter_id,
        area_code=body.area_code,
        reception_mode=body.reception_mode,
    )
    service = request.config_dict[keys.ORGANISATION]
    return responsibility_view(await service.create_responsibility(actor, rule))


@routes.get("/organisation/responsibilities/{responsibility_id}")
async def get_responsibility(request: web.Request, responsibility_id: Id, actor: Actor) -> ResponsibilityView:
    """一条责任分工。"""
    service = request.config_dict[keys.ORGANISATION]
    return responsibility_view(await service.responsibility(actor, responsibility_id))


@routes.patch("/organisation/responsibilities/{responsibility_id}", errors=[EditConflict])
async def update_responsibility(
    request: web.Request, responsibility_id: Id, body: ResponsibilityChanges, actor: Actor
) -> ResponsibilityView:
    """修改负责的岗位、区域或受理模式。"""
    service = request.config_dict[keys.ORGANISATION]
    return responsibility_view(
        await service.update_responsibility(actor, responsibility_id, _changes(body), version=body.version)
    )


@routes.delete("/organisation/responsibilities/{responsibility_id}", errors=[EditConflict])
async def delete_responsibility(request: web.Request, responsibility_id: Id, query: VersionQuery, actor: Actor) -> None:
    """删除责任分工。"""
    service = request.config_dict[keys.ORGANISATION]
    await service.delete_responsibility(actor, responsibility_id, version=query.version)


@routes.get("/organisation/changes")
async def list_organisation_changes(request: web.Request, query: ChangesQuery, actor: Actor) -> ChangeList:
    """谁在什么时候改过一个部门、岗位、分工、账号或日期，新的在前；没有记录则为空。"""
    service = request.config_dict[keys.ORGANISATION]
    found = await service.changes(actor, query.of, query.id, limit=query.limit)
    names = await service.people(actor, {event.actor_id for event in found})
    return ChangeList(items=[change_view(event, names) for event in found])
