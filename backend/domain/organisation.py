"""Departments, posts, holders and who is responsible for a matter.

Responsibility is keyed by (matter, handling area, reception mode) → post, never by matter alone: the
same matter is answered by a street office, a district bureau or a delegated window. The person is found
through the post: holders in the order A, B; else the department's duty lead; else the district's triage.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from enum import StrEnum

from backend.domain.matters import ReceptionMode


class DepartmentKind(StrEnum):
    BUREAU = "bureau"  # a district department
    STREET = "street"  # 街道办事处
    HALL = "hall"  # the government service hall; its duty leads are the district's triage


@dataclass(frozen=True, slots=True)
class DutySpan:
    """A span of one working day, local time, `start` inclusive and `end` exclusive."""

    start: time
    end: time


@dataclass(frozen=True, slots=True)
class Department:
    """`code` is the organisation code of its source; `duty_lead_ids` are staff."""

    id: str
    code: str
    name: str
    kind: DepartmentKind
    area_code: str
    duty_lead_ids: tuple[str, ...] = ()
    duty_spans: tuple[DutySpan, ...] = ()
    address: str | None = None
    phone: str | None = None
    version: int = 1


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a post: rank 1 is the A holder (主办), 2 the B holder (协办), and so on."""

    staff_id: str
    rank: int


@dataclass(frozen=True, slots=True)
class Post:
    """A post (岗位) of a department. Without holders it is unstaffed, and boards show it so."""

    id: str
    department_id: str
    name: str
    holders: tuple[Holder, ...] = ()
    duty_spans: tuple[DutySpan, ...] = ()  # empty = the department's
    version: int = 1


@dataclass(frozen=True, slots=True)
class Responsibility:
    """Which post answers for a matter. `matter_id` None covers all of the department's matters;
    `area_code` None covers every area; `reception_mode` None covers every mode."""

    id: str
    department_id: str
    post_id: str
    matter_id: str | None = None
    area_code: str | None = None
    reception_mode: ReceptionMode | None = None
    version: int = 1


class DutyTier(StrEnum):
    """How far a question had to travel to find somebody."""

    HOLDER = "holder"
    DEPARTMENT_LEAD = "department_lead"
    TRIAGE = "triage"


@dataclass(frozen=True, slots=True)
class Candidate:
    staff_id: str
    tier: DutyTier


def most_specific(
    rules: Iterable[Responsibility],
    *,
    matter_id: str | None,
    department_id: str | None,
    area_code: str | None,
    reception_mode: ReceptionMode | None,
) -> Responsibility | None:
    """The rule that answers for a question: a named matter beats a whole department, a named area beats
    every area, a named reception mode beats every mode, in this order."""

    def fits(rule: Responsibility) -> bool:
        return (
            (rule.matter_id == matter_id if rule.matter_id is not None else rule.department_id == department_id)
            and rule.area_code in (None, area_code)
            and rule.reception_mode in (None, reception_mode)
        )

    def weight(rule: Responsibility) -> tuple[bool, bool, bool, str]:
        return (
            rule.matter_id is not None,
            rule.area_code is not None,
            rule.reception_mode is not None,
            rule.id,
        )

    return max(filter(fits, rules), key=weight, default=None)


def candidates(post: Post | None, department: Department | None, triage: Sequence[str]) -> tuple[Candidate, ...]:
    """Everyone who may be asked, in the order of asking, each person once."""
    seen: dict[str, DutyTier] = {}
    for holder in sorted(post.holders if post else (), key=lambda h: (h.rank, h.staff_id)):
        seen.setdefault(holder.staff_id, DutyTier.HOLDER)
    for staff_id in department.duty_lead_ids if department else ():
        seen.setdefault(staff_id, DutyTier.DEPARTMENT_LEAD)
    for staff_id in triage:
        seen.setdefault(staff_id, DutyTier.TRIAGE)
    return tuple(Candidate(staff_id, tier) for staff_id, tier in seen.items())


def triage_of(halls: Iterable[Department]) -> tuple[str, ...]:
    """Who stands at the district's triage desk: the duty leads of its halls, each person once."""
    return tuple(dict.fromkeys(staff_id for hall in halls for staff_id in hall.duty_lead_ids))


def spans_of(post: Post | None, department: Department | None) -> tuple[DutySpan, ...]:
    """The duty hours that hold for a post: its own, else its department's."""
    if post and post.duty_spans:
        return post.duty_spans
    return department.duty_spans if department else ()


def within(spans: Iterable[DutySpan], local: datetime) -> bool:
    """Whether the local time of day lies in one of the spans; the day itself is the calendar's matter."""
    clock_time = local.time().replace(tzinfo=None)
    return any(span.start <= clock_time < span.end for span in spans)
