"""What a case looks like on the desk."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import Field

from backend.domain.access import Actor
from backend.domain.cases import Case
from backend.domain.events import Event
from backend.domain.matters import LimitUnit
from backend.domain.procedure import CaseState
from backend.rest.views import Id, Moment, View
from backend.services.case_overview import Handling, Overview
from backend.storage.cases import DeskCounts
from handlers.case_views import CaseDetail, DeskBrief, TimelineItem

_DAYS_LEFT = "今天之后还剩几天，0 为今天到期，负数为已超期；按 `due_unit` 计：工作日算工作日，其他算自然日"


class HandlingView(View):
    """由谁办理。`unstaffed` 表示岗位没有人，`people` 是代为负责的人。"""

    post_name: str | None
    people: tuple[str, ...]
    unstaffed: bool


class WorkItem(DeskBrief):
    """工作清单中的一份办件。"""

    days_left: int | None = Field(description=_DAYS_LEFT)
    due_unit: LimitUnit | None
    handling: HandlingView

    @classmethod
    def with_rest(cls, case: Case, left: int | None, handling: Handling, *, now: datetime) -> Self:
        brief = DeskBrief.at(case, overdue=case.due is not None and case.due.due_at < now)
        return cls(
            **brief.model_dump(),
            days_left=left,
            due_unit=case.due.unit if case.due else None,
            handling=HandlingView.model_validate(handling),
        )


class MatterCount(View):
    id: Id
    name: str
    open: int


class DeskCountsView(View):
    """`received` 待受理，`handling` 在办（已受理或已决定），`correction` 补正中；今天到期和已超期的也在其中。"""

    received: int
    handling: int
    correction: int
    today: int
    overdue: int
    closed: int
    matters: list[MatterCount] = Field(description="有未办结办件的事项，件数多的在前，最多一百个")

    @classmethod
    def of(cls, counts: DeskCounts) -> Self:
        states = dict(counts.states)
        received = states.pop(CaseState.SUBMITTED, 0) + states.pop(CaseState.RESUBMITTED, 0)
        correction = states.pop(CaseState.CORRECTION_REQUESTED, 0)
        return cls(
            received=received,
            handling=sum(states.values()),
            correction=correction,
            today=counts.today,
            overdue=counts.overdue,
            closed=counts.closed,
            matters=[MatterCount(id=key, name=name, open=n) for key, name, n in counts.matters],
        )


class CaseConsultation(View):
    """关于这份办件的一次咨询。"""

    id: Id
    subject: str
    state: str
    opened_at: Moment
    updated_at: Moment


class DeskCaseView(CaseDetail):
    """一份办件，和办理它要知道的。`actions` 是您现在可以进行的操作。"""

    handling: HandlingView
    days_left: int | None = Field(description=_DAYS_LEFT)
    overdue: bool
    next_step: str | None
    not_accepted_appeal: str = Field(description="不予受理时告知申请人的救济途径")
    refusal_appeal: str = Field(description="不予批准时告知申请人的救济途径")
    correction_limit: str = Field(description="申请人补正的期限", examples=["15个工作日"])
    consultations: tuple[CaseConsultation, ...] = Field(description="关于这份办件、您有权查看的咨询，新的在前")

    @classmethod
    def with_overview(cls, detail: CaseDetail, overview: Overview) -> Self:
        beside = {name: getattr(overview, name) for name in overview.__slots__}
        return cls.model_validate({**detail.model_dump(), **beside})


class DeskTimelineItem(TimelineItem):
    actor_name: str | None = Field(description="工作人员的姓名")

    @classmethod
    def named(cls, event: Event, name: str | None, actor: Actor) -> Self:
        return cls(**TimelineItem.of(event, actor).model_dump(), actor_name=name)


class DeskTimelineView(View):
    items: list[DeskTimelineItem]
