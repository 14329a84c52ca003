"""Cases for citizens: draft, fill in, hand in, correct, take back, follow."""

from __future__ import annotations

from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field

from backend import keys
from backend.domain.access import Actor
from backend.domain.calendar import legal_day
from backend.domain.case_steps import Edit
from backend.domain.cases import Channel
from backend.domain.errors import Conflict, InvalidInput, InvalidTransition, NotFound
from backend.domain.procedure import STATE_NAMES, CaseState
from backend.rest.context import CREATION_ID
from backend.rest.operations import Reply, Routes
from backend.rest.views import (
    Body,
    Id,
    Line,
    MaterialKey,
    Moment,
    Page,
    PageQuery,
    Text,
    View,
    moment_cursor,
    page_of,
)
from backend.services.case_steps import Tap
from handlers.case_views import (
    ActionBody,
    CaseBrief,
    CaseDetail,
    CaseView,
    DeadlineView,
    FieldName,
    PartyModel,
    TimelineItem,
    Version,
)

routes = Routes("cases")


class NewCase(Body):
    matter_id: Id
    channel: Literal[Channel.WECHAT, Channel.WEB] = Channel.WECHAT


class CaseEdit(Body):
    """没有出现的字段保持不变；`agent` 为 null 表示不再由他人代办。"""

    expected_version: Version = Field(description="填写时看到的版本号；已在别处修改时返回 409")
    action_id: Id | None = None
    applicant: PartyModel | None = None
    agent: PartyModel | None = None
    form: Annotated[dict[FieldName, Text], Field(max_length=60)] | None = None
    situations: Annotated[list[Line], Field(max_length=20)] | None = None


class CorrectionAnswer(Body):
    """对一项补正要求的说明：`key` 是补正要求里的 key。"""

    key: MaterialKey
    text: Text = Field(min_length=1)


class Resubmission(ActionBody):
    """每一项补正要求都要有回应：那份材料有新的一页、填写的内容有修改，或者在 `answers` 里说明情况。"""

    answers: list[CorrectionAnswer] = Field(default_factory=list, max_length=60)


class Withdrawal(ActionBody):
    reason: Text | None = None


class MineQuery(PageQuery):
    state: list[CaseState] = Field(default_factory=list, max_length=20, description="只看这些状态")
    phase: Literal["draft", "open", "closed"] | None = Field(
        default=None, description="draft 草稿，open 已提交、在办（含待补正），closed 已结束"
    )


class ProgressView(View):
    """一份办件走到了哪一步。"""

    id: Id
    version: int
    state: CaseState
    state_name: str
    number: str | None
    matter_name: str
    department_name: str
    updated_at: Moment
    due_at: Moment | None


class ReceivedMaterial(View):
    name: str
    pages: int


class ReceiptView(View):
    """收件回执：收到了什么、什么时候到期、日期是怎么算出来的。"""

    number: str
    matter_name: str
    matter_code: str
    department_name: str
    submitted_at: Moment
    accepted_at: Moment | None
    deemed_accepted: bool
    state: CaseState
    state_name: str
    materials: list[ReceivedMaterial]
    acceptance: DeadlineView | None
    promised: DeadlineView | None
    statutory: DeadlineView | None
    issued_on: str = Field(description="出具日期（北京时间）", examples=["2026-03-02"])


class TimelineView(View):
    items: list[TimelineItem]


@routes.post("/cases", status=201, idempotent=True, errors=[NotFound, Conflict])
async def create_case(request: web.Request, body: NewCase, actor: Actor) -> Reply[CaseView]:
    """开始填写一份申请。"""
    case = await request.config_dict[keys.CASES].create(
        actor, body.matter_id, case_id=request.get(CREATION_ID), channel=Channel(body.channel)
    )
    return Reply(CaseView.of(case, actor), headers={"Location": f"/api/cases/{case.id}"})


@routes.get("/cases")
async def list_cases(request: web.Request, query: MineQuery, actor: Actor) -> Page[CaseBrief]:
    """我的办件，新的在前。"""
    found = await request.config_dict[keys.CASES].mine(
        actor, states=query.state, phase=query.phase, before=moment_cursor(query.cursor), limit=query.limit + 1
    )
    return page_of(found, query.limit, CaseBrief.of, lambda case: (case.created_at, case.id))


@routes.get("/cases/{case_id}")
async def get_case(request: web.Request, case_id: Id, actor: Actor) -> CaseDetail:
    """一份办件的全部内容。"""
    case, guide = await request.config_dict[keys.CASES].guide(actor, case_id)
    return CaseDetail.with_guide(case, guide, actor)


@routes.patch("/cases/{case_id}", errors=[Conflict])
async def edit_case(request: web.Request, case_id: Id, body: CaseEdit, actor: Actor) -> CaseView:
    """修改草稿，或修改退回补正的申请。"""
    change = Edit(
        applicant=body.applicant.party() if body.applicant else None,
        agent=body.agent.party() if body.agent else None,
        drop_agent="agent" in body.model_fields_set and body.agent is None,
        form=dict(body.form) if body.form is not None else None,
        situations=tuple(body.situations) if body.situations is not None else None,
    )
    tap = Tap(body.expected_version, body.action_id)
    return CaseView.of(await request.config_dict[keys.CASES].edit(actor, case_id, change, tap), actor)


@routes.delete("/cases/{case_id}", errors=[Conflict])
async def discard_case(request: web.Request, case_id: Id, actor: Actor) -> None:
    """删除草稿；已经提交的申请不能删除，可以撤回。"""
    await request.config_dict[keys.CASES].discard(actor, case_id)


@routes.post("/cases/{case_id}/submit", errors=[Conflict])
async def submit_case(request: web.Request, case_id: Id, body: ActionBody, actor: Actor) -> CaseView:
    """提交申请。缺什么会一次列全。"""
    return CaseView.of(await request.config_dict[keys.CASES].submit(actor, case_id, body.tap()), actor)


@routes.post("/cases/{case_id}/corrections", errors=[Conflict])
async def resubmit_case(request: web.Request, case_id: Id, body: Resubmission, actor: Actor) -> CaseView:
    """提交补正材料。还有哪一项没有回应会一次列全。"""
    answers = {answer.key: answer.text for answer in body.answers}
    if len(answers) < len(body.answers):
        raise InvalidInput("同一项只写一条说明。", field="answers")
    return CaseView.of(await request.config_dict[keys.CASES].resubmit(actor, case_id, body.tap(), answers), actor)


@routes.post("/cases/{case_id}/withdraw", errors=[Conflict])
async def withdraw_case(request: web.Request, case_id: Id, body: Withdrawal, actor: Actor) -> CaseView:
    """在作出决定之前撤回申请。"""
    cases = request.config_dict[keys.CASES]
    return CaseView.of(await cases.withdraw(actor, case_id, body.reason, body.tap()), actor)


@routes.get("/cases/{case_id}/timeline")
async def get_timeline(request: web.Request, case_id: Id, actor: Actor) -> TimelineView:
    """办理过程。"""
    events = await request.config_dict[keys.CASES].timeline(actor, case_id)
    return TimelineView(items=[TimelineItem.of(event, actor) for event in events])


@routes.get("/cases/{case_id}/progress")
async def get_progress(request: web.Request, case_id: Id, actor: Actor) -> ProgressView:
    """办理进度。"""
    found = await request.config_dict[keys.CASES].progress(actor, case_id)
    return ProgressView(
        id=found.id,
        version=found.version,
        state=found.state,
        state_name=STATE_NAMES[found.state],
        number=found.number,
        matter_name=found.matter_name,
        department_name=found.department_name,
        updated_at=found.updated_at,
        due_at=found.due_at,
    )


@routes.get("/cases/{case_id}/receipt", errors=[Conflict])
async def get_receipt(request: web.Request, case_id: Id, actor: Actor) -> ReceiptView:
    """收件回执。"""
    case, guide = await request.config_dict[keys.CASES].guide(actor, case_id)
    if case.number is None or case.submitted_at is None:
        raise InvalidTransition("申请还没有提交，没有回执。", state=case.state.value)
    names = {requirement.key: requirement.name for requirement in guide.materials}
    return ReceiptView(
        number=case.number,
        matter_name=case.matter_name,
        matter_code=case.matter_code,
        department_name=case.department_name,
        submitted_at=case.submitted_at,
        accepted_at=case.accepted_at,
        deemed_accepted=case.deemed_accepted,
        state=case.state,
        state_name=STATE_NAMES[case.state],
        materials=[
            ReceivedMaterial(name=names.get(slot.key, slot.key), pages=len(slot.page_ids)) for slot in case.materials
        ],
        acceptance=_deadline(case.deadlines.acceptance),
        promised=_deadline(case.deadlines.promised),
        statutory=_deadline(case.deadlines.statutory),
        issued_on=legal_day(request.config_dict[keys.CLOCK].now()).isoformat(),
    )


def _deadline(deadline: object) -> DeadlineView | None:
    return DeadlineView.model_validate(deadline) if deadline is not None else None
