"""Working days with 调休, provisional years, local exceptions."""

from __future__ import annotations

import csv
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.calendar import (
    LAST_PUBLISHED_YEAR,
    NATIONAL,
    Calendar,
    add_working_days,
    end_of_day,
    is_working_day,
    legal_day,
    previous_working_day,
    working_days_between,
)

#: start, working days, due day (the start day does not count)
GOLDEN = [
    (date(2026, 2, 13), 5, date(2026, 2, 27)),
    (date(2026, 2, 13), 20, date(2026, 3, 19)),
    (date(2026, 4, 30), 5, date(2026, 5, 11)),
    (date(2026, 9, 30), 5, date(2026, 10, 13)),
    (date(2026, 9, 30), 10, date(2026, 10, 20)),
    (date(2025, 9, 30), 5, date(2025, 10, 14)),
    (date(2025, 1, 24), 5, date(2025, 2, 7)),
]


@pytest.mark.parametrize(("start", "n", "expected"), GOLDEN)
def test_golden_vectors(start: date, n: int, expected: date) -> None:
    due = add_working_days(start, n)
    assert (due.day, due.provisional) == (expected, False)


@pytest.mark.parametrize(
    "day",
    [
        date(2026, 1, 4),
        date(2026, 2, 14),
        date(2026, 2, 28),
        date(2026, 5, 9),
        date(2026, 9, 20),
        date(2026, 10, 10),
    ],
)
def test_make_up_days_are_working_days(day: date) -> None:
    what = is_working_day(day)
    assert (what.is_working, what.reason) == (True, "调休上班")


def test_every_day_off_has_its_reason() -> None:
    assert is_working_day(date(2026, 2, 17)).reason == "春节放假"
    assert is_working_day(date(2026, 3, 7)).reason == "周六"
    assert is_working_day(date(2015, 9, 3)).reason == "抗战胜利纪念日放假"


def test_a_year_that_is_not_published_is_provisional() -> None:
    year = LAST_PUBLISHED_YEAR + 1
    holidays = [date(year, 1, 1), *(date(year, 5, d) for d in (1, 2)), *(date(year, 10, d) for d in (1, 2, 3))]
    assert not any(is_working_day(day).is_working for day in holidays)
    days = [date(year, 3, 1) + timedelta(days=i) for i in range(14)]
    assert all(is_working_day(day).provisional for day in days)
    assert [is_working_day(day).is_working for day in days] == [day.weekday() < 5 for day in days]


def test_a_date_that_passes_into_such_a_year_says_so() -> None:
    due = add_working_days(date(LAST_PUBLISHED_YEAR, 12, 30), 5)
    assert due.provisional
    assert due.day.year == LAST_PUBLISHED_YEAR + 1
    assert not add_working_days(date(LAST_PUBLISHED_YEAR, 12, 1), 5).provisional


def test_publication_refines_a_provisional_date() -> None:
    before = Calendar(last_published_year=2025)
    early = add_working_days(date(2026, 2, 13), 5, before)
    assert (early.day, early.provisional) == (date(2026, 2, 20), True)
    assert add_working_days(date(2026, 2, 13), 5, NATIONAL).day == date(2026, 2, 27)


def test_a_district_can_close_and_open_days() -> None:
    typhoon = Calendar(closed={date(2026, 7, 8): "台风停工"}, opened={date(2026, 7, 11): "周六便民服务"})
    due = add_working_days(date(2026, 7, 6), 5, typhoon)
    assert due.day == date(2026, 7, 13)
    assert [(w.day.day, w.reason, w.is_working) for w in due.derivation] == [
        (8, "台风停工", False),
        (11, "周六便民服务", True),
        (12, "周日", False),
    ]


def test_the_derivation_names_what_was_skipped() -> None:
    derivation = add_working_days(date(2026, 9, 30), 5).derivation
    assert [w.day for w in derivation if not w.is_working] == [
        *(date(2026, 10, d) for d in range(1, 8)),
        date(2026, 10, 11),
    ]
    assert [w.day for w in derivation if w.is_working] == [date(2026, 10, 10)]


days = st.dates(date(2015, 1, 1), date(2029, 12, 31))
amounts = st.integers(0, 120)


@given(days, amounts)
def test_counting_back_gives_the_number(start: date, n: int) -> None:
    due = add_working_days(start, n)
    assert working_days_between(start, due.day) == n
    assert n == 0 or is_working_day(due.day).is_working


@given(days, amounts, amounts)
def test_more_days_end_later(start: date, a: int, b: int) -> None:
    low, high = sorted((a, b))
    assert add_working_days(start, low).day <= add_working_days(start, high).day


@given(days, days, st.integers(1, 60))
def test_a_later_start_never_ends_earlier(a: date, b: date, n: int) -> None:
    low, high = sorted((a, b))
    assert add_working_days(low, n).day <= add_working_days(high, n).day


@given(days, st.integers(0, 60), st.integers(0, 60))
def test_days_add_up(start: date, a: int, b: int) -> None:
    there = add_working_days(start, a).day
    assert add_working_days(there, b).day == add_working_days(start, a + b).day


@given(days)
def test_the_previous_working_day_is_one_step_back(day: date) -> None:
    before = previous_working_day(day)
    assert is_working_day(before).is_working
    assert before < day <= add_working_days(before, 1).day


def test_only_forwards() -> None:
    with pytest.raises(ValueError, match="forwards"):
        add_working_days(date(2026, 1, 1), -1)


def test_legal_days_are_those_of_shanghai() -> None:
    assert legal_day(datetime(2026, 3, 1, 16, 0, tzinfo=UTC)) == date(2026, 3, 2)
    assert legal_day(datetime(2026, 3, 1, 15, 59, 59, tzinfo=UTC)) == date(2026, 3, 1)
    assert end_of_day(date(2026, 3, 2)).isoformat() == "2026-03-02T23:59:59+08:00"
    with pytest.raises(ValueError, match="time zone"):
        legal_day(datetime(2026, 3, 1))


def test_every_day_of_twelve_years_agrees_with_an_independent_export(shared_data: Path) -> None:
    with (shared_data / "cn_holidays" / "days_2015_2026.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4383
    wrong = [
        row["date"]
        for row in rows
        if is_working_day(date.fromisoformat(row["date"])).is_working is not (row["is_workday"] == "1")
    ]
    assert wrong == []
