"""What the catalogue's resources answer."""

from __future__ import annotations

from datetime import date

from pydantic import Field

from backend.domain.limits import format_limit
from backend.domain.matters import (
    Audience,
    Fee,
    Guide,
    HandlingArea,
    LegalBasis,
    Level,
    LimitUnit,
    MaterialRequirement,
    Matter,
    MatterState,
    ProjectType,
    QuestionAnswer,
    ReceptionMode,
    Result,
    Step,
    TaskType,
    TimeLimit,
    Window,
)
from backend.domain.organisation import DepartmentKind
from backend.rest.views import Id, Moment, View
from backend.services.matters import DepartmentEntry


class LimitView(View):
    """办理时限。`text` 是统一写法，`source_text` 是来源原文；`extended_amount` 是延长后的总时限。"""

    amount: int
    unit: LimitUnit
    extended_amount: int | None
    text: str
    source_text: str

    @classmethod
    def of(cls, limit: TimeLimit | None) -> LimitView | None:
        """None for no limit."""
        if limit is None:
            return None
        return cls(
            amount=limit.amount,
            unit=limit.unit,
            extended_amount=limit.extended_amount,
            text=format_limit(limit),
            source_text=limit.text,
        )


class MatterSummary(View):
    """列表和搜索结果中的一个事项。"""

    id: Id
    code: str
    version: int
    name: str
    short_name: str | None
    summary: str
    department_id: Id
    department_name: str
    area_code: str
    level: Level
    task_type: TaskType
    project_type: ProjectType
    themes: tuple[str, ...]
    audiences: tuple[Audience, ...]
    promised_limit: LimitView | None
    visits: int
    online: bool

    @classmethod
    def of(cls, matter: Matter) -> MatterSummary:
        """The short form of `matter`."""
        guide = matter.guide
        return cls(
            id=matter.id,
            code=matter.code,
            version=matter.version,
            name=guide.name,
            short_name=guide.short_name,
            summary=guide.summary,
            department_id=matter.department_id,
            department_name=matter.department_name,
            area_code=matter.area_code,
            level=guide.level,
            task_type=guide.task_type,
            project_type=guide.project_type,
            themes=guide.themes,
            audiences=guide.audiences,
            promised_limit=LimitView.of(guide.promised_limit),
            visits=guide.visits,
            online=guide.online,
        )


class GuideView(View):
    """办事指南全文。`fees` 为空表示不收费。"""

    name: str
    short_name: str | None
    everyday_names: tuple[str, ...]
    parent_name: str | None
    summary: str
    task_type: TaskType
    level: Level
    project_type: ProjectType
    themes: tuple[str, ...]
    audiences: tuple[Audience, ...]
    basis: tuple[LegalBasis, ...]
    conditions: tuple[str, ...]
    materials: tuple[MaterialRequirement, ...]
    steps: tuple[Step, ...]
    statutory_limit: LimitView | None
    promised_limit: LimitView | None
    fees: tuple[Fee, ...]
    visits: int
    visit_reason: str | None
    result: Result | None
    windows: tuple[Window, ...]
    questions: tuple[QuestionAnswer, ...]
    online: bool
    online_address: str | None
    handling_area: HandlingArea
    reception_mode: ReceptionMode
    consult_phone: str | None
    complaint_phone: str | None
    special_procedures: tuple[str, ...]
    co_departments: tuple[str, ...]
    courier: bool
    effective_from: date | None
    effective_to: date | None

    @classmethod
    def of(cls, guide: Guide) -> GuideView:
        """The whole of `guide`."""
        plain = {name: getattr(guide, name) for name in cls.model_fields if not name.endswith("_limit")}
        return cls(
            **plain,
            statutory_limit=LimitView.of(guide.statutory_limit),
            promised_limit=LimitView.of(guide.promised_limit),
        )


class MatterView(View):
    """一个事项的一个版本。办件和咨询固定在开始时的版本上。

    不在用时，`state_reason` 说明原因，`state_since` 是从什么时候起。
    """

    id: Id
    code: str
    base_code: str | None
    version: int
    state: MatterState
    state_reason: str | None
    state_since: Moment | None
    department_id: Id
    department_name: str
    area_code: str
    published_at: Moment
    guide: GuideView

    @classmethod
    def of(cls, matter: Matter) -> MatterView:
        """The whole of `matter`."""
        return cls(
            id=matter.id,
            code=matter.code,
            base_code=matter.base_code,
            version=matter.version,
            state=matter.state,
            state_reason=matter.state_reason,
            state_since=matter.state_since,
            department_id=matter.department_id,
            department_name=matter.department_name,
            area_code=matter.area_code,
            published_at=matter.published_at,
            guide=GuideView.of(matter.guide),
        )


class MatterHit(View):
    """一条搜索结果；`score` 只在同一次搜索中可比。"""

    matter: MatterSummary
    score: float


class SearchResult(View):
    """搜索结果，最相关的在前。`total` 是值得一看的结果总数（最多 100）。"""

    items: list[MatterHit]
    total: int


class DepartmentCard(View):
    """一个部门和它在用的事项数。"""

    id: Id
    code: str
    name: str
    kind: DepartmentKind
    area_code: str
    address: str | None
    phone: str | None
    matters: int

    @classmethod
    def of(cls, entry: DepartmentEntry) -> DepartmentCard:
        """The public part of a department."""
        department = entry.department
        return cls(
            id=department.id,
            code=department.code,
            name=department.name,
            kind=department.kind,
            area_code=department.area_code,
            address=department.address,
            phone=department.phone,
            matters=entry.matters,
        )


class ThemeView(View):
    """一个主题和它在用的事项数。"""

    name: str
    matters: int = Field(ge=0)


class ThemeList(View):
    """全部主题，事项多的在前。"""

    items: list[ThemeView]
