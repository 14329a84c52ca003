"""Working days in China: the State Council's calendar with 调休, in Asia/Shanghai.

Published years come from `chinesecalendar`. For a year that is not published there is an explicit
provisional path: Monday to Friday, minus the holidays that the law fixes to solar dates (全国年节及纪念日
放假办法 as revised in 2024: 1 January, 1–2 May, 1–3 October). It assumes nothing else: neither 春节, 清明,
端午 and 中秋, nor any exchange of rest days (调休). A provisional date can therefore only be refined once the
year is published; whatever is computed with such a day carries `provisional=True`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from chinese_calendar import constants

SHANGHAI = ZoneInfo("Asia/Shanghai")

FIRST_PUBLISHED_YEAR = min(constants.holidays).year
#: The last year whose arrangement the installed table knows.
LAST_PUBLISHED_YEAR = max(constants.holidays).year

#: Room for local changes below one published year in a calendar's stamp.
_REVISIONS = 1_000_000_000

_WEEKDAYS = ("周一", "周二", "周三", "周四", "周五", "周六", "周日")
_HOLIDAYS = {
    "New Year's Day": "元旦",
    "Spring Festival": "春节",
    "Tomb-sweeping Day": "清明节",
    "Labour Day": "劳动节",
    "Dragon Boat Festival": "端午节",
    "National Day": "国庆节",
    "Mid-autumn Festival": "中秋节",
    "Anti-Fascist 70th Day": "抗战胜利纪念日",
}
_FIXED = {(1, 1): "元旦", (5, 1): "劳动节", (5, 2): "劳动节"} | {(10, d): "国庆节" for d in (1, 2, 3)}


@dataclass(frozen=True, slots=True)
class Calendar:
    """The calendar of a district: the State Council's, with local exceptions.

    `closed` and `opened` map days to the Chinese reason ("台风停工", "周六便民服务"); closed wins.
    `last_published_year` may be lowered to reckon as one had to before a year was published.
    `revision` counts the changes of the exceptions, `changed` says with which of them a day was last changed
    (also a day whose exception was taken back).
    """

    closed: Mapping[date, str] = field(default_factory=dict)
    opened: Mapping[date, str] = field(default_factory=dict)
    last_published_year: int = LAST_PUBLISHED_YEAR
    revision: int = 0
    changed: Mapping[date, int] = field(default_factory=dict)

    @property
    def stamp(self) -> int:
        """A number that grows with what is known of working days: what was reckoned under a lower one may be
        different now. A year that is published weighs more than any number of local changes, so that a process
        that knows fewer years reckons nothing back."""
        return self.last_published_year * _REVISIONS + self.revision

    @staticmethod
    def read_stamp(stamp: int) -> tuple[int, int]:
        """The last published year and the revision in a stamp; (0, 0) before there were any."""
        return divmod(stamp, _REVISIONS)


#: The State Council's calendar without local exceptions.
NATIONAL = Calendar()


@dataclass(frozen=True, slots=True)
class WorkingDay:
    """What a day is. `reason` is empty for an ordinary working day, else Chinese ("周六", "春节放假", "调休上班")."""

    day: date
    is_working: bool
    provisional: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class DueDay:
    """The n-th working day after a start. `derivation` holds every day on the way that was skipped, and
    every weekend day that counted, with its reason; ordinary working days are left out."""

    day: date
    provisional: bool
    derivation: tuple[WorkingDay, ...] = ()


def is_working_day(day: date, calendar: Calendar = NATIONAL) -> WorkingDay:
    """Whether offices work on this day, and why."""
    provisional = not is_published(day.year, calendar)
    if (closed := calendar.closed.get(day)) is not None:
        return WorkingDay(day, False, reason=closed)
    if (opened := calendar.opened.get(day)) is not None:
        return WorkingDay(day, True, reason=opened)
    return _national(day, provisional)


def _national(day: date, provisional: bool) -> WorkingDay:
    weekday = day.weekday()
    if provisional:
        holiday = _FIXED.get((day.month, day.day))
        if holiday:  # fixed by law, whatever the arrangement will be
            return WorkingDay(day, False, reason=f"{holiday}放假")
        return WorkingDay(day, weekday < 5, True, _WEEKDAYS[weekday] if weekday >= 5 else "")
    if day in constants.workdays:
        return WorkingDay(day, True, reason="调休上班")
    if (name := constants.holidays.get(day)) is not None:
        return WorkingDay(day, False, reason=f"{_HOLIDAYS[name]}放假")
    return WorkingDay(day, weekday < 5, reason=_WEEKDAYS[weekday] if weekday >= 5 else "")


def is_published(year: int, calendar: Calendar = NATIONAL) -> bool:
    """Whether the State Council's arrangement of the year is known."""
    return bool(FIRST_PUBLISHED_YEAR <= year <= calendar.last_published_year)


def add_working_days(start: date, n: int, calendar: Calendar = NATIONAL) -> DueDay:
    """The `n`-th working day after `start`, which itself never counts; with n = 0, `start`.

    Raises `ValueError` for a negative n.
    """
    if n < 0:
        raise ValueError("working days are counted forwards")
    day, left, provisional = start, n, False
    notes: list[WorkingDay] = []
    while left:
        day += timedelta(days=1)
        what = is_working_day(day, calendar)
        provisional |= what.provisional
        left -= what.is_working
        if what.reason:
            notes.append(what)
    return DueDay(day, provisional, tuple(notes))


def working_days_between(start: date, end: date, calendar: Calendar = NATIONAL) -> int:
    """How many working days lie after `start` up to and with `end`; 0 when `end` is not later."""
    days = (start + timedelta(days=i) for i in range(1, (end - start).days + 1))
    return sum(is_working_day(day, calendar).is_working for day in days)


def previous_working_day(day: date, calendar: Calendar = NATIONAL) -> date:
    """The last working day before `day`."""
    day -= timedelta(days=1)
    while not is_working_day(day, calendar).is_working:
        day -= timedelta(days=1)
    return day


def legal_day(moment: datetime) -> date:
    """The day in Asia/Shanghai on which a moment falls. Raises `ValueError` for a naive datetime."""
    if moment.tzinfo is None:
        raise ValueError("a moment needs its time zone")
    return moment.astimezone(SHANGHAI).date()


def end_of_day(day: date) -> datetime:
    """The last second of a legal day: what is due on that day is late after it."""
    return datetime.combine(day, time(23, 59, 59), SHANGHAI)
