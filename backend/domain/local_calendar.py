"""The district's own exceptions from the State Council's calendar: days it closes or opens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from backend.domain.calendar import NATIONAL, Calendar, WorkingDay, is_working_day
from backend.domain.errors import Conflict, InvalidInput

#: How many years ahead of the present one exceptions may be entered.
YEARS_AHEAD = 2

_ORDINARY = frozenset({"", "周六", "周日"})


class DayKind(StrEnum):
    CLOSED = "closed"  # a working day on which offices stay closed
    OPENED = "opened"  # a free day on which they work


class DaySource(StrEnum):
    """Who says what a day is."""

    NATIONAL = "national"
    DISTRICT = "district"


class PastDay(Conflict):
    """Deadlines were reckoned with this day: it stays what it was."""

    code = "past-day"
    title = "过去的日期不能修改"


@dataclass(frozen=True, slots=True)
class LocalDay:
    """One day's exception; `kind` None: it was taken back. `revision` is the calendar's with its last change."""

    day: date
    kind: DayKind | None
    reason: str
    version: int
    revision: int

    @property
    def id(self) -> str:
        return self.day.isoformat()


@dataclass(frozen=True, slots=True)
class NotableDay:
    """A day of a year that is neither an ordinary working day nor an ordinary weekend. `local` is the
    district's word about it."""

    what: WorkingDay
    local: LocalDay | None

    @property
    def source(self) -> DaySource:
        return DaySource.NATIONAL if self.local is None else DaySource.DISTRICT


def calendar_of(days: Iterable[LocalDay], revision: int) -> Calendar:
    """The calendar with these exceptions."""
    known = list(days)
    return Calendar(
        closed={item.day: item.reason for item in known if item.kind is DayKind.CLOSED},
        opened={item.day: item.reason for item in known if item.kind is DayKind.OPENED},
        revision=revision,
        changed={item.day: item.revision for item in known},
    )


def notable_days(year: int, days: Iterable[LocalDay]) -> list[NotableDay]:
    """Every notable day of a year, in order."""
    known = {item.day: item for item in days if item.kind is not None}
    calendar = calendar_of(known.values(), 0)
    found = []
    day = date(year, 1, 1)
    while day.year == year:
        what = is_working_day(day, calendar)
        if day in known or what.reason not in _ORDINARY:
            found.append(NotableDay(what, known.get(day)))
        day += timedelta(days=1)
    return found


def check_local_day(day: date, kind: DayKind, reason: str, *, today: date) -> None:
    """Raises `PastDay` and `InvalidInput`."""
    check_not_past(day, today=today)
    if day.year > today.year + YEARS_AHEAD:
        raise InvalidInput(f"最多可以设置到{today.year + YEARS_AHEAD}年底。", field="day")
    if not reason.strip():
        raise InvalidInput("请填写原因，办事群众会看到。", field="reason")
    usual = is_working_day(day, NATIONAL)
    if not usual.provisional and usual.is_working is (kind is DayKind.OPENED):
        what = "工作日" if usual.is_working else "休息日"
        raise InvalidInput(f"这一天本来就是{what}，不需要设置。", field="kind")


def check_not_past(day: date, *, today: date) -> None:
    """Raises `PastDay`: a day that is over counted as it was, and what was reckoned with it stays."""
    if day < today:
        raise PastDay("过去的日期不能修改：已经按当天的安排计算过期限。", field="day")
