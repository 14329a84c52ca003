"""The clocks that run on a case, reckoned anew when more is known of working days.

A due time is a function of a limit, a start and a calendar. The start stands in the case and the limit in the
rules and the guide it is pinned to: with another calendar the same function gives the time that holds now.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime

from backend.domain.access import Actor
from backend.domain.calendar import Calendar, is_working_day, legal_day
from backend.domain.case_steps import Step, row_for, take
from backend.domain.cases import Case, Deadlines
from backend.domain.deadlines import Deadline, due, say_day
from backend.domain.matters import Guide, LimitUnit, TimeLimit
from backend.domain.procedure import CaseAction, CaseState, rules_of

_NAMES: Mapping[str, str] = {
    "acceptance": "受理期限",
    "correction": "补正期限",
    "statutory": "法定办结期限",
    "promised": "承诺办结期限",
    "delivery": "送达期限",
}


def decision_limits(case: Case, guide: Guide) -> tuple[TimeLimit | None, TimeLimit | None]:
    """Within what time the law and the office's promise ask for a decision; None where nothing is said."""
    statutory = guide.statutory_limit or rules_of(case.rule_pack).default_decision
    promised = guide.promised_limit or (TimeLimit(0, LimitUnit.INSTANT) if case.instant else None)
    return statutory, promised


def running(case: Case) -> dict[str, datetime]:
    """The clocks that somebody has to keep now, by their names in `Deadlines`, with the moment each began."""
    starts: dict[str, datetime | None] = {}
    match case.state:
        case CaseState.SUBMITTED | CaseState.RESUBMITTED:
            starts = {"acceptance": case.received_at}
        case CaseState.CORRECTION_REQUESTED:
            starts = {"correction": case.corrections[-1].requested_at if case.corrections else None}
        case CaseState.ACCEPTED:
            starts = {"statutory": case.accepted_at, "promised": case.accepted_at}
        case CaseState.APPROVED:
            starts = {"delivery": case.decided_at}
    return {
        name: start for name, start in starts.items() if start is not None and getattr(case.deadlines, name) is not None
    }


def reckoned(case: Case, guide: Guide, calendar: Calendar) -> Deadlines:
    """The deadlines of a case as `calendar` gives them; clocks that do not run stay as they are."""
    rules = rules_of(case.rule_pack)
    statutory, promised = decision_limits(case, guide)
    limits = {
        "acceptance": rules.acceptance_limit,
        "correction": rules.correction_limit,
        "statutory": statutory,
        "promised": promised,
        "delivery": rules.delivery_limit,
    }
    anew = {
        name: due(limit, start, calendar)
        for name, start in running(case).items()
        if (limit := limits[name]) is not None
    }
    told = case.deadlines.correction
    if told is not None and "correction" in anew and anew["correction"].due_at < told.due_at:
        anew["correction"] = told  # an applicant has at least the time that was told
    return replace(case.deadlines, **anew)


def reckon(case: Case, *, guide: Guide, by: Actor, now: datetime, calendar: Calendar, known_before: int) -> Step:
    """Put the deadlines where `calendar` has them. `known_before` is the stamp of the calendar they came from.

    The event tells the applicant which days changed and where each deadline was and is; where only the
    explanation of a date became another, there is nothing to tell. Raises `InvalidTransition` where no clock runs.
    """
    row = row_for(case, CaseAction.RECKON)
    after = reckoned(case, guide, calendar)
    starts = running(case)
    moved = [_moved(name, getattr(case.deadlines, name), getattr(after, name)) for name in starts]
    told = "，".join(filter(None, moved))
    days = [getattr(found, name).day for found in (case.deadlines, after) for name in starts]
    text = ""
    if told:
        first = min(legal_day(start) for start in starts.values())
        text = f"因工作日安排有变化（{_reasons(first, max(days), calendar, known_before)}），{told}。"
    return take(
        case,
        row,
        by=by,
        now=now,
        changes={"deadlines": after},
        data={"calendar_revision": calendar.revision},
        text=text,
    )


def _moved(name: str, before: Deadline, after: Deadline) -> str:
    if before.day != after.day:
        return (
            f"{_NAMES[name]}由{say_day(before.day)}调整为{say_day(after.day)}{'（暂定）' if after.provisional else ''}"
        )
    if before.provisional and not after.provisional:
        return f"{_NAMES[name]}确定为{say_day(after.day)}"
    return ""


def _reasons(first: date, last: date, calendar: Calendar, known_before: int) -> str:
    """Which days on the way have changed since the calendar with the stamp `known_before`."""
    year, revision = Calendar.read_stamp(known_before)
    published = range(max(year + 1, first.year), calendar.last_published_year + 1) if year else ()
    found = [f"{number}年放假安排已经公布" for number in published]
    for day in sorted(day for day, number in calendar.changed.items() if number > revision and first < day <= last):
        what = is_working_day(day, calendar)
        counted = "计入工作日" if what.is_working else "不计入工作日"
        said = what.reason if day in calendar.closed or day in calendar.opened else "的临时安排取消"
        found.append(f"{say_day(day)}{said}，{counted}")
    return "；".join(found) or "以最新公布的为准"
