"""When something is due: a pure function of what happened and of the calendar."""

from __future__ import annotations

import calendar as months
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from backend.domain.calendar import (
    Calendar,
    WorkingDay,
    add_working_days,
    end_of_day,
    legal_day,
    working_days_between,
)
from backend.domain.limits import format_limit
from backend.domain.matters import LimitUnit, TimeLimit

#: 受理: the applicant is told within five days of receipt (行政许可法 art. 32).
ACCEPTANCE = TimeLimit(5, LimitUnit.WORKING_DAY)
#: 决定: twenty days from acceptance, and ten more with approval (art. 42).
LICENSING_DECISION = TimeLimit(20, LimitUnit.WORKING_DAY, 30)
#: 送达: ten days from the decision (art. 44).
DELIVERY = TimeLimit(10, LimitUnit.WORKING_DAY)


@dataclass(frozen=True, slots=True)
class Deadline:
    """`due_at` (UTC) is the last moment that is still in time, on the legal day `day`. `provisional` says
    that a year on the way is not published yet. `derivation` tells in Chinese how the day was reckoned, `unit`
    what was counted (None in what was stored before it was kept)."""

    due_at: datetime
    day: date
    provisional: bool
    derivation: tuple[str, ...]
    unit: LimitUnit | None = None


def due(limit: TimeLimit, start: datetime, calendar: Calendar) -> Deadline:
    """When `limit` ends that began to run at `start`; the day of `start` is not counted.

    Days and months end with the last second of a day in Asia/Shanghai, hours at the exact time, 当场 with
    the same day. Natural days and months are not moved off a holiday: the promise stays as it was made.
    A month ends on the same day of the month, or on its last day where there is none (民法典 art. 202).

    Raises `ValueError` for a naive `start`.
    """
    began = legal_day(start)
    steps = [f"{_say(began)}起算，当日不计入。"]
    provisional = False
    match limit.unit:
        case LimitUnit.INSTANT:
            return Deadline(_utc(began), began, False, (f"{_say(began)}当日办结。",), limit.unit)
        case LimitUnit.HOUR:
            at = start.astimezone(UTC) + timedelta(hours=limit.amount)
            text = f"从起算时刻起{format_limit(TimeLimit(limit.amount, limit.unit))}，不扣除节假日。"
            return Deadline(at, legal_day(at), False, (text,), limit.unit)
        case LimitUnit.WORKING_DAY:
            reckoned = add_working_days(began, limit.amount, calendar)
            end, provisional = reckoned.day, reckoned.provisional
            steps += _runs(reckoned.derivation)
            steps.append(f"第{limit.amount}个工作日是{_say(end)}。")
        case LimitUnit.NATURAL_DAY:
            end = began + timedelta(days=limit.amount)
            steps.append(f"按自然日计算，第{limit.amount}日是{_say(end)}。")
        case _:  # LimitUnit.MONTH
            end = add_months(began, limit.amount)
            steps.append(f"{limit.amount}个月后的对应日是{_say(end)}。")
    if provisional:
        steps.append("途经年份的放假安排尚未公布，此日期为暂定，公布后重新计算。")
    return Deadline(_utc(end), end, provisional, tuple(steps), limit.unit)


def days_left(deadline: Deadline, now: datetime, calendar: Calendar) -> int:
    """How many days are left after today, 0 on the last day, negative when it is over: working days where
    those are counted, else days of the calendar. What is over by less than a working day is over by one."""
    today = legal_day(now)
    if now > deadline.due_at and today == deadline.day:
        return -1  # hours end within a day
    if deadline.unit in (LimitUnit.WORKING_DAY, None):
        if today <= deadline.day:
            return working_days_between(today, deadline.day, calendar)
        return -max(1, working_days_between(deadline.day, today, calendar))
    return (deadline.day - today).days


def add_months(day: date, amount: int) -> date:
    """The corresponding day `amount` months later, or the last of that month."""
    index = day.year * 12 + day.month - 1 + amount
    year, month = divmod(index, 12)
    return date(year, month + 1, min(day.day, months.monthrange(year, month + 1)[1]))


def say_day(day: date) -> str:
    """2026年3月2日."""
    return f"{day.year}年{day.month}月{day.day}日"


def _say(day: date) -> str:
    return f"{say_day(day)}（周{'一二三四五六日'[day.weekday()]}）"


def _utc(day: date) -> datetime:
    return end_of_day(day).astimezone(UTC)


def _runs(days: tuple[WorkingDay, ...]) -> list[str]:
    """Neighbouring days of one kind and reason in one sentence, weekends taken together."""
    groups: list[tuple[WorkingDay, date, set[str]]] = []
    for what in days:
        if groups:
            first, last, reasons = groups[-1]
            weekend = {what.reason, first.reason} <= {"周六", "周日"}
            adjacent = what.day - last == timedelta(days=1) and what.is_working == first.is_working
            if adjacent and (weekend or what.reason == first.reason):
                groups[-1] = (first, what.day, reasons | {what.reason})
                continue
        groups.append((what, what.day, {what.reason}))
    sentences = []
    for first, last, reasons in groups:
        span = say_day(first.day) if first.day == last else f"{say_day(first.day)}至{last.month}月{last.day}日"
        why = "周末" if len(reasons) > 1 else first.reason
        sentences.append(f"{span}{why}，{'计入' if first.is_working else '不计入'}。")
    return sentences
