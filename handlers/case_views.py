"""What a case looks like from outside."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Self

from pydantic import Field, StringConstraints

from backend.domain.access import Actor
from backend.domain.cases import Case, Channel, Correction, Outcome, Party, PartyKind, is_met, requirements
from backend.domain.codes import mask_name
from backend.domain.deadlines import Deadline
from backend.domain.events import Event
from backend.domain.matters import Guide, LimitUnit, Necessity
from backend.domain.procedure import STATE_NAMES, CaseAction, CaseState, allowed
from backend.rest.views import Body, Id, Line, Moment, View
from backend.services.case_steps import Tap

FieldName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Version = Annotated[int, Field(ge=1, le=2**53)]


class PartyModel(Body):
    """申请人或代办人。草稿中可以不完整，提交时检查。"""

    kind: PartyKind = PartyKind.PERSON
    name: Line | None = None
    id_number: Line | None = Field(default=None, description="个人填身份证号码，单位填统一社会信用代码")
    phone: Line | None = None

    def party(self) -> Party:
        return Party(self.kind, self.name, self.id_number, self.phone)


class ActionBody(Body):
    """一个操作。`action_id` 相同的重复请求只算一次；`expected_version` 与当前不符时返回 409。"""

    expected_version: Version | None = Field(default=None, description="操作时看到的版本号")
    action_id: Id | None = Field(default=None, description="客户端为这次操作生成的 UUID")

    def tap(self) -> Tap:
        return Tap(self.expected_version, self.action_id)


class PartyView(View):
    kind: PartyKind
    name: str | None
    id_number: str | None
    phone: str | None


class SlotView(View):
    key: str
    page_ids: tuple[str, ...]


class DeadlineView(View):
    """`derivation` 逐步说明这个日期是怎么算出来的；`provisional` 表示途经年份的放假安排尚未公布。"""

    due_at: Moment
    day: date
    provisional: bool
    derivation: tuple[str, ...]
    unit: LimitUnit | None = Field(default=None, description="按什么计算；早先算出的可能没有")


class DeadlinesView(View):
    acceptance: DeadlineView | None
    correction: DeadlineView | None
    statutory: DeadlineView | None
    promised: DeadlineView | None
    delivery: DeadlineView | None


class CorrectionItemView(View):
    key: str
    name: str
    text: str
    answer: str | None = Field(description="申请人对这一项的说明")
    met: bool = Field(description="是否已有回应：新的一页、修改了内容，或有说明")


class CorrectionView(View):
    items: tuple[CorrectionItemView, ...]
    requested_at: Moment
    resubmitted_at: Moment | None


class CaseView(View):
    """一份办件。`actions` 是当前用户这一方现在可以进行的操作。"""

    id: Id
    version: int
    state: CaseState
    state_name: str
    number: str | None
    matter_id: str
    matter_version: int
    matter_code: str
    matter_name: str
    department_id: str
    department_name: str
    post_id: str | None
    channel: Channel
    applicant: PartyView
    agent: PartyView | None
    form: dict[str, str]
    situations: tuple[str, ...]
    materials: tuple[SlotView, ...]
    corrections: tuple[CorrectionView, ...]
    deadlines: DeadlinesView
    due: DeadlineView | None
    outcome: Outcome | None
    reason: str | None
    appeal: str | None
    result: str | None
    deemed_accepted: bool
    created_at: Moment
    updated_at: Moment
    submitted_at: Moment | None
    accepted_at: Moment | None
    decided_at: Moment | None
    closed_at: Moment | None
    actions: tuple[CaseAction, ...]

    @classmethod
    def of(cls, case: Case, actor: Actor) -> Self:
        return cls.model_validate({**_fields(case), **_derived(case, actor)})


class ChecklistView(View):
    """办事指南要求的一份材料，和这份办件里已有的页数。`asked` 表示按所选情形需要提交。"""

    key: str
    name: str
    necessity: Necessity
    situation: str | None
    asked: bool
    pages: int


class CaseDetail(CaseView):
    checklist: tuple[ChecklistView, ...]

    @classmethod
    def with_guide(cls, case: Case, guide: Guide, actor: Actor) -> Self:
        asked = {requirement.key for requirement in requirements(guide, case.situations)}
        checklist = [
            ChecklistView(
                key=requirement.key,
                name=requirement.name,
                necessity=requirement.necessity,
                situation=requirement.situation,
                asked=requirement.key in asked,
                pages=len(case.pages(requirement.key)),
            )
            for requirement in guide.materials
        ]
        return cls.model_validate({**_fields(case), **_derived(case, actor), "checklist": checklist})


class CaseBrief(View):
    """列表中的一份办件。"""

    id: Id
    version: int
    state: CaseState
    state_name: str
    number: str | None
    matter_id: str
    matter_name: str
    department_name: str
    created_at: Moment
    updated_at: Moment
    submitted_at: Moment | None
    due_at: Moment | None
    provisional: bool

    @classmethod
    def of(cls, case: Case) -> Self:
        return cls.model_validate({**_fields(case), **_due(case), "state_name": STATE_NAMES[case.state]})


class DeskBrief(CaseBrief):
    """工作清单中的一份办件；申请人姓名已遮盖。"""

    applicant_name: str
    post_id: str | None
    overdue: bool

    @classmethod
    def at(cls, case: Case, *, overdue: bool) -> Self:
        return cls.model_validate(
            {
                **_fields(case),
                **_due(case),
                "state_name": STATE_NAMES[case.state],
                "applicant_name": mask_name(case.applicant.name or ""),
                "overdue": overdue,
            }
        )


class TimelineItem(View):
    """`by`：citizen 申请人，staff 工作人员，system 系统。工作人员可以看到 `actor_id`。"""

    sequence: int
    kind: str
    at: Moment
    by: str
    actor_id: str | None
    state: CaseState | None
    text: str

    @classmethod
    def of(cls, event: Event, actor: Actor) -> Self:
        return cls(
            sequence=event.sequence,
            kind=event.kind,
            at=event.at,
            by=event.actor_kind,
            actor_id=event.actor_id if actor.kind == "staff" else None,
            state=event.data.get("state"),
            text=event.text,
        )


def _fields(case: Case) -> dict[str, object]:
    return {name: getattr(case, name) for name in case.__slots__}


def _derived(case: Case, actor: Actor) -> dict[str, object]:
    rows = allowed(case.rule_pack, case.state, instant=case.instant, corrections=len(case.corrections))
    return {
        "state_name": STATE_NAMES[case.state],
        "due": case.due,
        "corrections": [_correction(case, correction) for correction in case.corrections],
        "actions": [row.action for row in rows if actor.kind in row.by],
    }


def _correction(case: Case, correction: Correction) -> CorrectionView:
    items = [
        CorrectionItemView(
            key=item.key,
            name=item.name,
            text=item.text,
            answer=item.answer,
            met=correction.resubmitted_at is not None or is_met(case, correction, item),
        )
        for item in correction.items
    ]
    return CorrectionView(
        items=tuple(items), requested_at=correction.requested_at, resubmitted_at=correction.resubmitted_at
    )


def _due(case: Case) -> dict[str, object]:
    due: Deadline | None = case.due
    return {"due_at": due.due_at if due else None, "provisional": due.provisional if due else False}
