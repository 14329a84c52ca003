"""Due times as pure functions of a start and the calendar."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.calendar import NATIONAL, SHANGHAI
from backend.domain.deadlines import ACCEPTANCE, LICENSING_DECISION, add_months, days_left, due
from backend.domain.matters import LimitUnit, TimeLimit


def local(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=SHANGHAI)  # type: ignore[misc, arg-type]


def test_five_working_days_over_the_spring_festival() -> None:
    deadline = due(ACCEPTANCE, local(2026, 2, 13, 9, 30), NATIONAL)
    assert deadline.due_at == local(2026, 2, 27, 23, 59, 59)
    assert deadline.derivation == (
        "2026年2月13日（周五）起算，当日不计入。",
        "2026年2月14日调休上班，计入。",
        "2026年2月15日至2月23日春节放假，不计入。",
        "第5个工作日是2026年2月27日（周五）。",
    )


def test_what_comes_after_midnight_belongs_to_the_next_day() -> None:
    before = due(ACCEPTANCE, local(2026, 3, 2, 23, 59, 59), NATIONAL)
    after = due(ACCEPTANCE, local(2026, 3, 3, 0, 0, 0), NATIONAL)
    assert (before.day, after.day) == (date(2026, 3, 9), date(2026, 3, 10))


def test_a_weekend_is_one_sentence() -> None:
    deadline = due(ACCEPTANCE, local(2026, 3, 4, 9), NATIONAL)
    assert deadline.derivation[1] == "2026年3月7日至3月8日周末，不计入。"


def test_instant_is_the_same_day() -> None:
    deadline = due(TimeLimit(0, LimitUnit.INSTANT), local(2026, 3, 2, 10), NATIONAL)
    assert deadline.due_at == local(2026, 3, 2, 23, 59, 59)


def test_hours_are_exact() -> None:
    deadline = due(TimeLimit(2, LimitUnit.HOUR), local(2026, 3, 2, 23), NATIONAL)
    assert deadline.due_at == local(2026, 3, 3, 1)
    assert deadline.day == date(2026, 3, 3)


def test_natural_days_run_through_holidays() -> None:
    deadline = due(TimeLimit(7, LimitUnit.NATURAL_DAY), local(2026, 9, 30, 9), NATIONAL)
    assert deadline.due_at == local(2026, 10, 7, 23, 59, 59)


@pytest.mark.parametrize(
    ("start", "amount", "end"),
    [
        (date(2026, 1, 31), 1, date(2026, 2, 28)),
        (date(2028, 1, 31), 1, date(2028, 2, 29)),
        (date(2026, 11, 30), 3, date(2027, 2, 28)),
        (date(2026, 12, 5), 1, date(2027, 1, 5)),
        (date(2026, 3, 15), 12, date(2027, 3, 15)),
    ],
)
def test_months(start: date, amount: int, end: date) -> None:
    assert add_months(start, amount) == end
    moment = datetime.combine(start, datetime.min.time(), SHANGHAI)
    assert due(TimeLimit(amount, LimitUnit.MONTH), moment, NATIONAL).day == end


def test_a_date_in_an_unpublished_year_says_so() -> None:
    deadline = due(LICENSING_DECISION, local(2026, 12, 20, 9), NATIONAL)
    assert deadline.provisional
    assert "尚未公布" in deadline.derivation[-1]


moments = st.datetimes(datetime(2015, 1, 1), datetime(2028, 12, 31)).map(lambda naive: naive.replace(tzinfo=SHANGHAI))
limits = st.builds(TimeLimit, st.integers(1, 90), st.sampled_from(LimitUnit))


@given(limits, moments)
def test_a_deadline_lies_ahead_and_on_its_day(limit: TimeLimit, start: datetime) -> None:
    deadline = due(limit, start, NATIONAL)
    assert deadline.due_at > start - timedelta(seconds=1)
    assert deadline.due_at.astimezone(SHANGHAI).date() == deadline.day
    assert deadline.derivation


@given(limits, moments, moments)
def test_a_later_start_is_never_due_earlier(limit: TimeLimit, a: datetime, b: datetime) -> None:
    low, high = sorted((a, b))
    assert due(limit, low, NATIONAL).due_at <= due(limit, high, NATIONAL).due_at


def test_a_naive_moment_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        due(ACCEPTANCE, datetime(2026, 3, 1), NATIONAL)


@pytest.mark.parametrize(
    ("limit", "today", "left"),
    [
        (TimeLimit(5, LimitUnit.WORKING_DAY), (2026, 3, 2), 5),
        (TimeLimit(5, LimitUnit.WORKING_DAY), (2026, 3, 7), 1),
        (TimeLimit(5, LimitUnit.WORKING_DAY), (2026, 3, 9), 0),
        (TimeLimit(5, LimitUnit.WORKING_DAY), (2026, 3, 11), -2),
        (TimeLimit(4, LimitUnit.WORKING_DAY), (2026, 3, 7), -1),
        (TimeLimit(5, LimitUnit.NATURAL_DAY), (2026, 3, 5), 2),
        (TimeLimit(5, LimitUnit.NATURAL_DAY), (2026, 3, 8), -1),
        (TimeLimit(2, LimitUnit.HOUR), (2026, 3, 2), -1),
    ],
)
def test_days_left_are_counted_as_the_limit_is(limit: TimeLimit, today: tuple[int, int, int], left: int) -> None:
    start = datetime(2026, 3, 2, 10, tzinfo=SHANGHAI)
    now = datetime(*today, 14, tzinfo=SHANGHAI)
    assert days_left(due(limit, start, NATIONAL), now, NATIONAL) == left
