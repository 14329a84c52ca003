"""A case (办件): one citizen's application for one matter, pinned to the version of the guide it began on.

Steps are in `backend.domain.case_steps`, the table of steps in `backend.domain.procedure`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, time
from enum import StrEnum
from typing import Any

from backend.domain.access import Target
from backend.domain.calendar import SHANGHAI, Calendar, legal_day, previous_working_day
from backend.domain.codes import check_id_number, check_phone, check_uscc
from backend.domain.deadlines import Deadline
from backend.domain.errors import InvalidInput
from backend.domain.events import Event
from backend.domain.matters import Guide, MaterialRequirement, Necessity, ReceptionMode
from backend.domain.procedure import CaseState, RulePack

#: One slot takes this many pages at most.
MAX_PAGES = 50
#: What can be asked to be corrected besides materials.
PARTS = {"applicant": "申请人信息", "agent": "代办人信息", "form": "申请表内容"}


class PartyKind(StrEnum):
    PERSON = "person"
    ORGANISATION = "organisation"


class Channel(StrEnum):
    """Where a case was filed."""

    WECHAT = "wechat"
    WEB = "web"
    COUNTER = "counter"
    KIOSK = "kiosk"


class Outcome(StrEnum):
    """How a case ended (办结)."""

    APPROVED = "approved"
    REFUSED = "refused"
    NOT_ACCEPTED = "not_accepted"
    WITHDRAWN = "withdrawn"
    CORRECTION_EXPIRED = "correction_expired"  # 补交不来
    FORWARDED = "forwarded"
    VOID = "void"


@dataclass(frozen=True, slots=True)
class Party:
    """The applicant, or the agent who files. Incomplete while a draft.

    `id_number` is a person's 身份证 number or an organisation's 统一社会信用代码.
    """

    kind: PartyKind = PartyKind.PERSON
    name: str | None = None
    id_number: str | None = None
    phone: str | None = None


@dataclass(frozen=True, slots=True)
class MaterialSlot:
    """The pages handed in for one material requirement, in their order."""

    key: str
    page_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CorrectionItem:
    """What is wrong with one thing: `key` is a material's key, "applicant", "agent" or "form".
    `page_ids` are the pages that were found wanting, `answer` is what the applicant says to it."""

    key: str
    name: str
    text: str
    page_ids: tuple[str, ...] = ()
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class Correction:
    """One round of 补正. `touched` names the parts ("applicant", "agent", "form") changed since it was asked."""

    items: tuple[CorrectionItem, ...]
    requested_at: datetime
    resubmitted_at: datetime | None = None
    touched: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Deadlines:
    """The clocks of a case; None is a clock that does not run."""

    acceptance: Deadline | None = None
    correction: Deadline | None = None
    statutory: Deadline | None = None
    promised: Deadline | None = None
    delivery: Deadline | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """A case as it is after its last event; `version` is that event's sequence.

    `received_at` is when the acceptance clock began: submission, or resubmission after a correction.
    `post_id` and `handling_department_id` are who answers for it, found when it was submitted (a delegated
    matter is handled by the hall); None before.
    `warned` names the warnings already recorded, so that a timer that fires twice records one.
    """

    id: str
    citizen_id: str
    matter_id: str
    matter_version: int
    matter_code: str
    matter_name: str
    department_id: str
    department_name: str
    area_code: str
    reception_mode: ReceptionMode
    rule_pack: RulePack
    instant: bool
    state: CaseState
    version: int
    created_at: datetime
    updated_at: datetime
    channel: Channel = Channel.WECHAT
    applicant: Party = Party()
    agent: Party | None = None
    form: Mapping[str, str] = field(default_factory=dict)
    situations: tuple[str, ...] = ()
    materials: tuple[MaterialSlot, ...] = ()
    number: str | None = None
    post_id: str | None = None
    handling_department_id: str | None = None
    submitted_at: datetime | None = None
    received_at: datetime | None = None
    accepted_at: datetime | None = None
    deemed_accepted: bool = False
    decided_at: datetime | None = None
    closed_at: datetime | None = None
    outcome: Outcome | None = None
    reason: str | None = None
    appeal: str | None = None
    result: str | None = None
    corrections: tuple[Correction, ...] = ()
    deadlines: Deadlines = Deadlines()
    warned: tuple[str, ...] = ()

    @property
    def target(self) -> Target:
        """What access decisions need to know of it. A draft is nobody's but the citizen's."""
        if self.state is CaseState.DRAFT:
            return Target(citizen_id=self.citizen_id)
        return Target(
            citizen_id=self.citizen_id,
            post_id=self.post_id,
            department_id=self.handling_department_id or self.department_id,
        )

    @property
    def due(self) -> Deadline | None:
        """The clock that the office has to keep now; None while the citizen is to act, and at the end."""
        if self.state in (CaseState.SUBMITTED, CaseState.RESUBMITTED):
            return self.deadlines.acceptance
        if self.state is CaseState.ACCEPTED:
            return self.deadlines.promised or self.deadlines.statutory
        return None

    def pages(self, key: str) -> tuple[str, ...]:
        """The page ids in the slot of a material."""
        return next((slot.page_ids for slot in self.materials if slot.key == key), ())


def apply(case: Case | None, event: Event) -> Case:
    """The case after `event`: replaying all events of a case in order gives the case."""
    changes: dict[str, Any] = dict(event.changes)
    if case is None:
        return Case(id=event.aggregate_id, version=event.sequence, **changes)
    return replace(case, version=event.sequence, **changes)


# --- what has to be there -----------------------------------------------------


class IncompleteCase(InvalidInput):
    """Things are missing or wrong; `errors` in the problem names every one with its field."""

    code = "incomplete-case"
    title = "申请还不完整"


def requirements(guide: Guide, situations: tuple[str, ...]) -> tuple[MaterialRequirement, ...]:
    """The materials asked for in the situations that were chosen."""
    return tuple(m for m in guide.materials if m.situation is None or m.situation in situations)


def check_complete(case: Case, guide: Guide, *, now: datetime) -> tuple[Party, Party | None]:
    """The parties in normal form.

    Raises `IncompleteCase` with everything that is missing or wrong at once, so that nobody is sent
    back twice.
    """
    found: list[dict[str, str]] = []
    applicant = _check_party(case.applicant, "applicant", "申请人", now, found)
    agent = _check_party(case.agent, "agent", "代办人", now, found) if case.agent else None
    for requirement in requirements(guide, case.situations):
        if requirement.necessity is Necessity.REQUIRED and not case.pages(requirement.key):
            found.append(_missing(f"materials.{requirement.key}", f"请上传“{requirement.name}”。"))
    if case.corrections:
        for item in case.corrections[-1].items:
            if is_met(case, case.corrections[-1], item):
                continue
            if item.key in PARTS:
                found.append(_missing(item.key, f"请按补正要求修改“{item.name}”，或者说明情况。"))
            else:
                found.append(_missing(f"materials.{item.key}", f"请按补正要求重新上传“{item.name}”，或者说明情况。"))
    if found:
        raise IncompleteCase(f"还有 {len(found)} 处需要补充或修改。", field=found[0]["field"], errors=_unique(found))
    return applicant, agent


def is_met(case: Case, correction: Correction, item: CorrectionItem) -> bool:
    """Whether the applicant did something about one item: a new page, a change of what was filled in, an answer."""
    new_pages = set(case.pages(item.key)) - set(item.page_ids)
    return bool(new_pages) or bool(item.answer) or item.key in correction.touched


def _check_party(party: Party, where: str, who: str, now: datetime, found: list[dict[str, str]]) -> Party:
    name = (party.name or "").strip()
    if not name:
        found.append(_missing(f"{where}.name", f"请填写{who}的姓名或名称。"))
    number, phone = party.id_number or "", party.phone or ""
    is_person = party.kind is PartyKind.PERSON
    if not number.strip():
        found.append(
            _missing(
                f"{where}.id_number",
                f"请填写{who}的{'身份证号码' if is_person else '统一社会信用代码'}。",
            )
        )
    else:
        try:
            number = check_id_number(number, today=legal_day(now)) if is_person else check_uscc(number)
        except InvalidInput as error:
            found.append({"field": f"{where}.id_number", "code": "invalid", "detail": error.detail})
    if not phone.strip():
        found.append(_missing(f"{where}.phone", f"请填写{who}的联系电话。"))
    else:
        try:
            phone = check_phone(phone)
        except InvalidInput as error:
            found.append({"field": f"{where}.phone", "code": "invalid", "detail": error.detail})
    return Party(party.kind, name, number, phone)


def _missing(where: str, detail: str) -> dict[str, str]:
    return {"field": where, "code": "missing", "detail": detail}


def _unique(found: list[dict[str, str]]) -> list[dict[str, str]]:
    return list({item["field"]: item for item in reversed(found)}.values())[::-1]


# --- timers -------------------------------------------------------------------


class TimerKind(StrEnum):
    ACCEPTANCE_SOON = "acceptance_soon"
    ACCEPTANCE_OVER = "acceptance_over"
    CORRECTION_SOON = "correction_soon"
    CORRECTION_OVER = "correction_over"
    DECISION_SOON = "decision_soon"
    DECISION_OVER = "decision_over"


@dataclass(frozen=True, slots=True)
class Timer:
    """Something to look at when `due_at` has come. `key` names it among the timers of one case."""

    kind: TimerKind
    due_at: datetime
    key: str


def timers_of(case: Case, calendar: Calendar) -> tuple[Timer, ...]:
    """The timers a case needs in its present state. Pure: every save puts exactly these in place."""
    return tuple(timer for timer in _timers(case, calendar) if timer.key not in case.warned)


def _timers(case: Case, calendar: Calendar) -> Iterator[Timer]:
    d, kind = case.deadlines, TimerKind
    if case.state in (CaseState.SUBMITTED, CaseState.RESUBMITTED):
        yield from _pair(kind.ACCEPTANCE_SOON, kind.ACCEPTANCE_OVER, d.acceptance, case.received_at, calendar)
    elif case.state is CaseState.CORRECTION_REQUESTED:
        asked = case.corrections[-1].requested_at if case.corrections else None
        yield from _pair(kind.CORRECTION_SOON, kind.CORRECTION_OVER, d.correction, asked, calendar)
    elif case.state is CaseState.ACCEPTED:
        yield from _pair(kind.DECISION_SOON, kind.DECISION_OVER, case.due, case.accepted_at, calendar)


def _pair(
    soon: TimerKind, over: TimerKind, deadline: Deadline | None, start: datetime | None, calendar: Calendar
) -> Iterator[Timer]:
    """A warning at nine on the last working day before the due day, and the moment it is over."""
    if deadline is None or start is None:
        return
    day = previous_working_day(deadline.day, calendar)
    warn_at = datetime.combine(day, time(9), SHANGHAI)
    if warn_at > start:
        yield Timer(soon, warn_at, f"{soon.value}:{deadline.day.isoformat()}")
    yield Timer(over, deadline.due_at, f"{over.value}:{deadline.due_at.isoformat()}")
