"""The catalogue: service matters (事项) and their guides (办事指南).

The shape follows the national 实施清单 (implementation list): the names it uses in exchange stand in
the comments. Values are our own enumerations; official code values are mapped at the edge, because the
standards contradict each other (GB/T 39046 against the live exchange).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum


class TaskType(StrEnum):
    """事项类型 (task_type). The rule pack of a case follows from it."""

    LICENSING = "licensing"  # 行政许可 01
    PENALTY = "penalty"  # 行政处罚 02
    COERCION = "coercion"  # 行政强制 03
    LEVY = "levy"  # 行政征收 04
    BENEFIT = "benefit"  # 行政给付 05
    INSPECTION = "inspection"  # 行政检查 06
    CONFIRMATION = "confirmation"  # 行政确认 07
    REWARD = "reward"  # 行政奖励 08
    ADJUDICATION = "adjudication"  # 行政裁决 09
    OTHER = "other"  # 其他行政权力 10
    PUBLIC_SERVICE = "public_service"  # 公共服务 20


class Level(StrEnum):
    """行使层级 (use_level)."""

    NATIONAL = "national"
    PROVINCE = "province"
    CITY = "city"
    COUNTY = "county"
    STREET = "street"
    VILLAGE = "village"


class ProjectType(StrEnum):
    """办件类型 (project_type)."""

    INSTANT = "instant"  # 即办件
    PROMISED = "promised"  # 承诺件
    INFORMATION = "information"  # only told, nothing is filed


class Audience(StrEnum):
    """服务对象 (server_type)."""

    PERSON = "person"  # 自然人
    ENTERPRISE = "enterprise"  # 企业法人
    INSTITUTION = "institution"  # 事业法人
    SOCIAL_ORGANISATION = "social_organisation"  # 社会组织法人
    UNINCORPORATED = "unincorporated"  # 非法人企业
    GOVERNMENT = "government"  # 行政机关
    OTHER = "other"  # 其他组织


class LimitUnit(StrEnum):
    INSTANT = "instant"  # 当场
    HOUR = "hour"
    WORKING_DAY = "working_day"
    NATURAL_DAY = "natural_day"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class TimeLimit:
    """A statutory (法定) or promised (承诺) time limit.

    `amount` counts `unit`s (0 for INSTANT). `extended_amount` is the total after an extension that the
    source itself names ("15日（延长后不超过30日）" → 15 and 30). `text` is what the source wrote.
    """

    amount: int
    unit: LimitUnit
    extended_amount: int | None = None
    text: str = ""


class Necessity(StrEnum):
    """is_need."""

    REQUIRED = "required"  # 必要
    OPTIONAL = "optional"  # 非必要
    DEFERRABLE = "deferrable"  # 容缺后补


class MaterialSource(StrEnum):
    """source_type."""

    APPLICANT = "applicant"  # 申请人自备
    GOVERNMENT = "government"  # 政府部门核发
    INTERMEDIARY = "intermediary"  # 中介机构
    OTHER = "other"


class MaterialFormat(StrEnum):
    """material_format: what is handed in."""

    PAPER = "paper"
    ELECTRONIC = "electronic"
    PAPER_OR_ELECTRONIC = "paper_or_electronic"


@dataclass(frozen=True, slots=True)
class MaterialRequirement:
    """One material a guide asks for; a case has one slot for each.

    `key` is unique and stable within the matter. `blank_form` and `filled_sample` name guide files.
    `situation` (情形) says when it is asked for; None means always.
    """

    key: str
    name: str
    necessity: Necessity = Necessity.REQUIRED
    originals: int = 0
    copies: int = 0
    format: MaterialFormat = MaterialFormat.PAPER_OR_ELECTRONIC
    source: MaterialSource = MaterialSource.APPLICANT
    issuer: str | None = None  # source_explain
    blank_form: str | None = None  # form_guid
    filled_sample: str | None = None  # example_guid
    notes: str | None = None  # fill_explain
    acceptance_standard: str | None = None  # accept_stand
    situation: str | None = None
    page_format: str | None = None  # A4 …


@dataclass(frozen=True, slots=True)
class LegalBasis:
    """设定依据 (by_law). `text` only where it was checked against the official text."""

    title: str
    article: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """办理流程 (handle_flow), one step."""

    name: str
    detail: str = ""
    limit: str | None = None


@dataclass(frozen=True, slots=True)
class Fee:
    name: str
    standard: str
    basis: str | None = None
    reduction: str | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """Where it is done on the spot."""

    name: str
    address: str
    phone: str | None = None
    hours: str | None = None
    traffic: str | None = None


@dataclass(frozen=True, slots=True)
class QuestionAnswer:
    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Result:
    """What the applicant gets: result_name, result_type."""

    name: str
    kind: str | None = None
    sample: str | None = None


class ReceptionMode(StrEnum):
    """How a matter is received (两种受理模式)."""

    DEPARTMENT = "department"  # fixed expert windows of the department
    DELEGATED = "delegated"  # the one-window hall receives for the department
    STREET = "street"  # a street office receives


class HandlingArea(StrEnum):
    """通办范围 (handle_area)."""

    STREET = "street"
    DISTRICT = "district"
    CITY = "city"
    PROVINCE = "province"
    NATIONAL = "national"


class MatterState(StrEnum):
    """事项状态: provincial code 1在用 2挂起 3取消 4草稿."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    CANCELLED = "cancelled"
    DRAFT = "draft"


@dataclass(frozen=True, slots=True)
class Guide:
    """Everything a citizen is told about a matter. Immutable: a change is a new version."""

    name: str  # task_name
    task_type: TaskType
    level: Level
    project_type: ProjectType
    short_name: str | None = None
    everyday_names: tuple[str, ...] = ()  # 日常用语
    summary: str = ""  # in plain words: what it is, for whom
    parent_name: str | None = None
    themes: tuple[str, ...] = ()  # user_topic_type / corp_topic_type
    audiences: tuple[Audience, ...] = ()
    basis: tuple[LegalBasis, ...] = ()
    conditions: tuple[str, ...] = ()  # accept_condition
    materials: tuple[MaterialRequirement, ...] = ()
    steps: tuple[Step, ...] = ()
    statutory_limit: TimeLimit | None = None  # anticipate_day
    promised_limit: TimeLimit | None = None  # promise_day
    fees: tuple[Fee, ...] = ()  # empty = free of charge
    visits: int = 0  # limit_scene_num
    visit_reason: str | None = None  # limit_scene_explain, asked for when visits > 0
    result: Result | None = None
    windows: tuple[Window, ...] = ()
    questions: tuple[QuestionAnswer, ...] = ()
    online: bool = False  # may be filed here
    online_address: str | None = None
    handling_area: HandlingArea = HandlingArea.DISTRICT
    reception_mode: ReceptionMode = ReceptionMode.DEPARTMENT
    consult_phone: str | None = None  # link_way
    complaint_phone: str | None = None  # supervise_way
    special_procedures: tuple[str, ...] = ()
    co_departments: tuple[str, ...] = ()
    courier: bool = False  # is_express
    effective_from: date | None = None  # plan_effective_date
    effective_to: date | None = None  # plan_cancel_date


@dataclass(frozen=True, slots=True)
class Matter:
    """A matter with one version of its guide.

    `code` is the 31-digit 实施编码 or the 33-digit 业务办理项编码, unique; `base_code` the 12-digit
    基本编码. `version` counts from 1; cases and consultations pin the version they began on.
    `content_hash` is over the guide, so that an import can tell "changed" from "unchanged". `published_by`
    is a member of the staff or "system", empty where it was not recorded. `state_reason` tells citizens why
    a matter is not in use, `state_since` since when it is in its state (None: since its first version).
    """

    id: str
    code: str
    base_code: str | None
    department_id: str
    department_name: str
    area_code: str
    version: int
    state: MatterState
    guide: Guide
    content_hash: str
    published_at: datetime
    warnings: tuple[str, ...] = field(default=())
    published_by: str = ""
    state_reason: str | None = None
    state_since: datetime | None = None
