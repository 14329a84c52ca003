"""Cases for the staff: the work list and the steps of a clerk."""

from __future__ import annotations

from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field, StringConstraints

from backend import keys
from backend.domain.access import Actor
from backend.domain.errors import Conflict, InvalidInput
from backend.domain.procedure import CaseState
from backend.rest.operations import Routes
from backend.rest.views import Body, Id, MaterialKey, Page, PageQuery, Text, moment_cursor, page_of
from handlers.case_views import ActionBody, CaseDetail, CaseView
from handlers.desk_case_views import DeskCaseView, DeskCountsView, DeskTimelineItem, DeskTimelineView, WorkItem

routes = Routes("desk")

#: Printable, and more than blanks.
_SEARCHED = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"


class DeskQuery(PageQuery):
    state: list[CaseState] = Field(default_factory=list, max_length=20, description="只看这些状态")
    due: Literal["overdue", "today"] | None = Field(default=None, description="已超期，或今天到期")
    open: bool = Field(default=True, description="在办；false 为已办结（新的在前）；有 `q` 时不论")
    matter_id: Id | None = Field(default=None, description="只看这个事项")
    q: Annotated[str, StringConstraints(min_length=2, max_length=100, pattern=_SEARCHED)] | None = Field(
        default=None,
        description="办件编号的全部、开头或末尾，或事项名称的一部分。申请人姓名加密保存，不能搜索。",
    )


class Reasoned(ActionBody):
    reason: Text = Field(min_length=1, description="申请人会看到")


class CorrectionItemBody(Body):
    """`key` 是材料的 key，或 applicant、agent、form。"""

    key: MaterialKey
    text: Text = Field(min_length=1, description="哪里需要补正；申请人会看到")


class CorrectionBody(ActionBody):
    """补正应当一次性告知：写全所有需要补正的内容。"""

    items: Annotated[list[CorrectionItemBody], Field(min_length=1, max_length=60)]


class Approval(ActionBody):
    result: Text | None = Field(default=None, description="办理结果，如证件名称和编号；申请人会看到")


@routes.get("/desk/cases")
async def list_desk_cases(request: web.Request, query: DeskQuery, actor: Actor) -> Page[WorkItem]:
    """我的工作清单，先到期的在前。"""
    found = await request.config_dict[keys.CASE_DESK].work_list(
        actor,
        states=query.state,
        due=query.due,
        is_open=None if query.q else query.open,
        matter_id=query.matter_id,
        search=query.q,
        after=moment_cursor(query.cursor),
        limit=query.limit + 1,
    )
    overview = request.config_dict[keys.CASE_OVERVIEW]
    now = request.config_dict[keys.CLOCK].now()
    cases = [case for case, _ in found]
    rest = zip(await overview.left(cases), await overview.handling(cases), strict=True)
    beside = dict(zip([case.id for case in cases], rest, strict=True))
    return page_of(
        found,
        query.limit,
        lambda item: WorkItem.with_rest(item[0], *beside[item[0].id], now=now),
        lambda item: (item[1], item[0].id),
    )


@routes.get("/desk/case-counts")
async def count_desk_cases(request: web.Request, actor: Actor) -> DeskCountsView:
    """我的工作清单里各有多少件。"""
    return DeskCountsView.of(await request.config_dict[keys.CASE_DESK].counts(actor))


@routes.get("/desk/cases/{case_id}")
async def get_desk_case(request: web.Request, case_id: Id, actor: Actor) -> DeskCaseView:
    """一份办件的全部内容，和办理它要知道的。"""
    case, guide = await request.config_dict[keys.CASE_DESK].open(actor, case_id)
    overview = await request.config_dict[keys.CASE_OVERVIEW].of(actor, case)
    return DeskCaseView.with_overview(CaseDetail.with_guide(case, guide, actor), overview)


@routes.get("/desk/cases/{case_id}/timeline")
async def get_desk_timeline(request: web.Request, case_id: Id, actor: Actor) -> DeskTimelineView:
    """办理过程，写明是谁办的。"""
    found = await request.config_dict[keys.CASE_OVERVIEW].timeline(actor, case_id)
    return DeskTimelineView(items=[DeskTimelineItem.named(event, name, actor) for event, name in found])


@routes.post("/desk/cases/{case_id}/accept", errors=[Conflict])
async def accept_case(request: web.Request, case_id: Id, body: ActionBody, actor: Actor) -> CaseView:
    """受理。法定时限和承诺时限从此起算。"""
    return CaseView.of(await request.config_dict[keys.CASE_DESK].accept(actor, case_id, body.tap()), actor)


@routes.post("/desk/cases/{case_id}/not-accept", errors=[Conflict])
async def not_accept_case(request: web.Request, case_id: Id, body: Reasoned, actor: Actor) -> CaseView:
    """不予受理，说明理由。"""
    desk = request.config_dict[keys.CASE_DESK]
    return CaseView.of(await desk.not_accept(actor, case_id, body.reason, body.tap()), actor)


@routes.post("/desk/cases/{case_id}/request-correction", errors=[Conflict])
async def request_correction(request: web.Request, case_id: Id, body: CorrectionBody, actor: Actor) -> CaseView:
    """一次性告知需要补正的全部内容。"""
    items = {item.key: item.text for item in body.items}
    if len(items) < len(body.items):
        raise InvalidInput("同一份材料只写一条。", field="items")
    desk = request.config_dict[keys.CASE_DESK]
    return CaseView.of(await desk.request_correction(actor, case_id, items, body.tap()), actor)


@routes.post("/desk/cases/{case_id}/approve", errors=[Conflict])
async def approve_case(request: web.Request, case_id: Id, body: Approval, actor: Actor) -> CaseView:
    """准予。即办件可以从收件直接到准予。"""
    desk = request.config_dict[keys.CASE_DESK]
    return CaseView.of(await desk.approve(actor, case_id, body.result, body.tap()), actor)


@routes.post("/desk/cases/{case_id}/refuse", errors=[Conflict])
async def refuse_case(request: web.Request, case_id: Id, body: Reasoned, actor: Actor) -> CaseView:
    """不予批准，说明理由。"""
    desk = request.config_dict[keys.CASE_DESK]
    return CaseView.of(await desk.refuse(actor, case_id, body.reason, body.tap()), actor)


@routes.post("/desk/cases/{case_id}/close", errors=[Conflict])
async def close_case(request: web.Request, case_id: Id, body: ActionBody, actor: Actor) -> CaseView:
    """办结。"""
    return CaseView.of(await request.config_dict[keys.CASE_DESK].close(actor, case_id, body.tap()), actor)
