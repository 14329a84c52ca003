"""Who answers a question now, and if nobody can: by when somebody will.

Pure: the caller brings what it read (the rule, the post, who is online, who has how much to do). The order
of asking is that of `organisation.candidates`: holders A, B; the department's duty leads; the district's
triage. A person is asked when on duty (the post's hours on a working day), online, and not full.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from itertools import groupby

from backend.domain.calendar import NATIONAL, SHANGHAI, Calendar, is_working_day
from backend.domain.organisation import (
    Candidate,
    Department,
    DutySpan,
    DutyTier,
    Post,
    candidates,
    spans_of,
    within,
)

#: Where nothing is said: usual office hours.
DEFAULT_DUTY_SPANS = (DutySpan(time(9), time(12)), DutySpan(time(14), time(17)))
#: Working hours after the next duty start within which an answer is promised.
PROMISE = timedelta(hours=4)
#: Consultations one person answers at a time; further ones go to the next candidate.
CAPACITY = 8
_WEEKDAYS = "一二三四五六日"
_TOO_FAR = 366  # days: a roster without any working day within a year is a mistake in the roster


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known when a question arrives.

    `loads` counts open consultations by staff id; `names` are display names by staff id; `excluded` are
    people who declined. `triage_department` is the hall, whose duty leads are `triage`.
    """

    post: Post | None
    department: Department | None
    triage: Sequence[str] = ()
    triage_department: Department | None = None
    online: frozenset[str] = frozenset()
    loads: Mapping[str, int] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    excluded: frozenset[str] = frozenset()
    calendar: Calendar = NATIONAL


@dataclass(frozen=True, slots=True)
class Assign:
    """To this person, now."""

    staff_id: str
    tier: DutyTier
    post_id: str | None
    department_id: str | None
    explanation: str


@dataclass(frozen=True, slots=True)
class LeaveMessage:
    """To nobody now; whoever holds the post (or leads the department, or sits at triage) answers by
    `promised_at`. `provisional` says that the calendar of that year is not published yet."""

    post_id: str | None
    department_id: str | None
    promised_at: datetime
    explanation: str
    provisional: bool = False


Decision = Assign | LeaveMessage


def decide(situation: Situation, now: datetime, *, promise: timedelta = PROMISE) -> Decision:
    """Whom a question goes to at the moment `now`."""
    asked = candidates(situation.post, situation.department, situation.triage)
    ready = [c for c in asked if _is_ready(c, situation, now)]
    for tier, group in groupby(ready, key=lambda c: c.tier):
        chosen = _pick(tier, list(group), situation)
        return Assign(
            staff_id=chosen.staff_id,
            tier=tier,
            post_id=situation.post.id if situation.post else None,
            department_id=_department_id(situation),
            explanation=_assigned_text(chosen, situation),
        )
    return _leave_message(asked, situation, now, promise)


def _is_ready(candidate: Candidate, situation: Situation, now: datetime) -> bool:
    return (
        candidate.staff_id not in situation.excluded
        and candidate.staff_id in situation.online
        and situation.loads.get(candidate.staff_id, 0) < CAPACITY
        and on_duty(duty_spans(candidate.tier, situation), now, situation.calendar)
    )


def _pick(tier: DutyTier, group: Sequence[Candidate], situation: Situation) -> Candidate:
    """Holders in their order, since A answers before B; among leads and at triage the least loaded."""
    if tier is DutyTier.HOLDER:
        return group[0]
    return min(group, key=lambda c: situation.loads.get(c.staff_id, 0))


def duty_spans(tier: DutyTier, situation: Situation) -> tuple[DutySpan, ...]:
    """The duty hours that hold for a tier."""
    if tier is DutyTier.HOLDER:
        spans = spans_of(situation.post, situation.department)
    elif tier is DutyTier.DEPARTMENT_LEAD:
        spans = spans_of(None, situation.department)
    else:
        spans = spans_of(None, situation.triage_department)
    return spans or DEFAULT_DUTY_SPANS


def on_duty(spans: Iterable[DutySpan], now: datetime, calendar: Calendar = NATIONAL) -> bool:
    """Whether `now` lies in the duty hours of a working day, in the district's time."""
    local = now.astimezone(SHANGHAI)
    return is_working_day(local.date(), calendar).is_working and within(spans, local)


def promised_time(
    spans: Sequence[DutySpan], now: datetime, promise: timedelta, calendar: Calendar = NATIONAL
) -> tuple[datetime, bool]:
    """The moment when `promise` of duty time has passed since `now`, and whether the way there used an
    unpublished calendar. Outside duty the count begins with the next duty start.

    Raises `ValueError` when there is no duty time within a year.
    """
    local, left = now.astimezone(SHANGHAI), promise
    provisional = False
    for days in range(_TOO_FAR):
        day = local.date() + timedelta(days=days)
        what = is_working_day(day, calendar)
        provisional |= what.provisional
        if not what.is_working:
            continue
        for start, end in _moments(spans, day):
            begin = max(start, local)
            if begin >= end:
                continue
            if left <= end - begin:
                return begin + left, provisional
            left -= end - begin
    raise ValueError("no duty time within a year")


def _moments(spans: Iterable[DutySpan], day: date) -> list[tuple[datetime, datetime]]:
    """The duty spans of a day as moments, in order, overlaps counted once."""
    merged: list[tuple[datetime, datetime]] = []
    for span in sorted(spans, key=lambda s: (s.start, s.end)):
        start = datetime.combine(day, span.start, SHANGHAI)
        end = datetime.combine(day, span.end, SHANGHAI)
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _leave_message(asked: Sequence[Candidate], situation: Situation, now: datetime, promise: timedelta) -> LeaveMessage:
    tier = asked[0].tier if asked else DutyTier.TRIAGE
    spans = duty_spans(tier, situation)
    promised_at, provisional = promised_time(spans, now, promise, situation.calendar)
    serving = on_duty(spans, now, situation.calendar)
    why = "负责您问题的工作人员暂时不在线" if serving else "现在不是工作时间"
    return LeaveMessage(
        post_id=situation.post.id if situation.post else None,
        department_id=_department_id(situation),
        promised_at=promised_at,
        explanation=(
            f"{why}，您的问题已作为留言转给{_office(tier, situation)}，"
            f"将在{spoken_time(promised_at)}前答复您，答复后会通知您。"
        ),
        provisional=provisional,
    )


def _department_id(situation: Situation) -> str | None:
    department = situation.department or situation.triage_department
    return department.id if department else None


def _office(tier: DutyTier, situation: Situation) -> str:
    department = situation.triage_department if tier is DutyTier.TRIAGE else situation.department
    name = department.name if department else "政务服务总台"
    if tier is DutyTier.HOLDER and situation.post:
        return f"{name}{situation.post.name}"
    return f"{name}值班负责人" if tier is DutyTier.DEPARTMENT_LEAD else name


def _assigned_text(chosen: Candidate, situation: Situation) -> str:
    name = situation.names.get(chosen.staff_id, "")
    return f"已为您接通{_office(chosen.tier, situation)}{f'的{name}' if name else ''}。"


def spoken_time(moment: datetime) -> str:
    """A moment as people say it: 11月24日（星期一）上午11:00."""
    local = moment.astimezone(SHANGHAI)
    half = "上午" if local.hour < 12 else "中午" if local.hour == 12 else "下午"
    hour = local.hour if local.hour <= 12 else local.hour - 12
    weekday = _WEEKDAYS[local.weekday()]
    return f"{local.month}月{local.day}日（星期{weekday}）{half}{hour}:{local.minute:02d}"
