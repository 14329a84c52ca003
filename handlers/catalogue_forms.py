"""What editors of the catalogue send: a guide being written, and what is to be done with it."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import Field, StringConstraints, TypeAdapter

from backend.domain.guide_drafts import GuideDraft
from backend.domain.matters import (
    Audience,
    HandlingArea,
    Level,
    LimitUnit,
    MaterialFormat,
    MaterialSource,
    Necessity,
    ProjectType,
    ReceptionMode,
    TaskType,
)
from backend.rest.views import Body, Id

#: As wide as what imports take in, so that everything published can be edited.
_NO_CONTROL = r"^[^\x00-\x08\x0b-\x1f\x7f]*$"
Short = Annotated[str, StringConstraints(max_length=500, pattern=_NO_CONTROL)]
Long = Annotated[str, StringConstraints(max_length=20_000, pattern=_NO_CONTROL)]
Count = Annotated[int, Field(ge=0, le=999_999)]
EditVersion = Annotated[int, Field(ge=0, le=2**53, description="读到的编辑版本号；已被他人修改时返回 409")]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=_NO_CONTROL)]
AreaCode = Annotated[str, StringConstraints(pattern=r"^([0-9]{2}|[0-9]{4}|[0-9]{6}|[0-9]{9}|[0-9]{12})$")]
_MAX_ITEMS = 500


class LimitForm(Body):
    """时限；当场办结时 `amount` 为 0。"""

    amount: Count = 0
    unit: LimitUnit
    extended_amount: Count | None = None
    text: Short = ""


class MaterialForm(Body):
    """一份材料。`key` 在事项内唯一且不再改变；名称可以暂时为空。"""

    key: Annotated[str, StringConstraints(max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""
    name: Short = ""
    necessity: Necessity = Necessity.REQUIRED
    originals: Count = 0
    copies: Count = 0
    format: MaterialFormat = MaterialFormat.PAPER_OR_ELECTRONIC
    source: MaterialSource = MaterialSource.APPLICANT
    issuer: Long | None = None
    blank_form: Short | None = None
    filled_sample: Short | None = None
    notes: Long | None = None
    acceptance_standard: Long | None = None
    situation: Long | None = None
    page_format: Short | None = None


class BasisForm(Body):
    """一条设定依据。"""

    title: Long = ""
    article: Long | None = None
    text: Long | None = None


class StepForm(Body):
    """一个办理步骤。"""

    name: Short = ""
    detail: Long = ""
    limit: Long | None = None


class FeeForm(Body):
    """一个收费项目。"""

    name: Short = ""
    standard: Long = ""
    basis: Long | None = None
    reduction: Long | None = None


class WindowForm(Body):
    """一个办理窗口。"""

    name: Short = ""
    address: Long = ""
    phone: Long | None = None
    hours: Long | None = None
    traffic: Long | None = None


class QuestionForm(Body):
    """一个常见问题。"""

    question: Long = ""
    answer: Long = ""


class ResultForm(Body):
    """办理结果。"""

    name: Short = ""
    kind: Long | None = None
    sample: Short | None = None


class GuideForm(Body):
    """正在编写的办事指南：每一项都可以暂时不填。"""

    name: Short = ""
    task_type: TaskType | None = None
    level: Level | None = None
    project_type: ProjectType | None = None
    short_name: Short | None = None
    everyday_names: list[Long] = Field(default=[], max_length=_MAX_ITEMS)
    summary: Long = ""
    parent_name: Short | None = None
    themes: list[Long] = Field(default=[], max_length=_MAX_ITEMS)
    audiences: list[Audience] = Field(default=[], max_length=_MAX_ITEMS)
    basis: list[BasisForm] = Field(default=[], max_length=_MAX_ITEMS)
    conditions: list[Long] = Field(default=[], max_length=_MAX_ITEMS)
    materials: list[MaterialForm] = Field(default=[], max_length=_MAX_ITEMS)
    steps: list[StepForm] = Field(default=[], max_length=_MAX_ITEMS)
    statutory_limit: LimitForm | None = None
    promised_limit: LimitForm | None = None
    fees: list[FeeForm] = Field(default=[], max_length=_MAX_ITEMS, description="为空表示不收费")
    visits: Count = 0
    visit_reason: Long | None = None
    result: ResultForm | None = None
    windows: list[WindowForm] = Field(default=[], max_length=_MAX_ITEMS)
    questions: list[QuestionForm] = Field(default=[], max_length=_MAX_ITEMS)
    online: bool = False
    online_address: Long | None = None
    handling_area: HandlingArea = HandlingArea.DISTRICT
    reception_mode: ReceptionMode = ReceptionMode.DEPARTMENT
    consult_phone: Long | None = None
    complaint_phone: Long | None = None
    special_procedures: list[Long] = Field(default=[], max_length=_MAX_ITEMS)
    co_departments: list[Long] = Field(default=[], max_length=_MAX_ITEMS)
    courier: bool = False
    effective_from: date | None = None
    effective_to: date | None = Field(default=None, description="办理到这一天为止")

    def to_draft(self) -> GuideDraft:
        """What was filled in."""
        return _DRAFT.validate_python(self.model_dump())


_DRAFT = TypeAdapter(GuideDraft)


class NewMatterBody(Body):
    """一个新事项。基本编码取自事项编码，区划不填则与部门相同。"""

    code: Annotated[str, StringConstraints(min_length=1, max_length=60)] = Field(
        description="31 位实施编码或 33 位业务办理项编码"
    )
    department_id: Id
    area_code: AreaCode | None = None
    guide: GuideForm


class DraftBody(Body):
    """`base_version` 是草稿所依据的已发布版本，核对过新版本后改写它；不填则不变。"""

    version: EditVersion
    guide: GuideForm
    base_version: Annotated[int, Field(ge=0, le=1_000_000)] | None = None


class PublishBody(Body):
    """`effective_from` 不填或为今天：立即生效；之后的日期：从那一天零点起生效。"""

    version: EditVersion
    effective_from: date | None = None


class StateBody(Body):
    """`reason` 会显示给群众。"""

    version: EditVersion
    reason: Reason
