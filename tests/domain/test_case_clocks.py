"""A year that is published meanwhile: provisional deadlines become final."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from backend.domain.access import SYSTEM
from backend.domain.calendar import NATIONAL, Calendar
from backend.domain.case_clocks import reckon, running
from backend.domain.cases import Deadlines
from backend.domain.deadlines import ACCEPTANCE, due
from tests.domain.conftest import MatterMaker
from tests.domain.test_cases import drafted, local, submitted

#: What was known before the arrangement of 2026 was published.
OLD = replace(NATIONAL, last_published_year=2025)


def test_a_stamp_grows_with_years_and_with_changes() -> None:
    assert OLD.stamp < replace(OLD, revision=7).stamp < NATIONAL.stamp < replace(NATIONAL, revision=1).stamp
    assert Calendar.read_stamp(replace(OLD, revision=7).stamp) == (2025, 7)


def test_publication_makes_a_provisional_deadline_final(make_matter: MatterMaker) -> None:
    matter, start = make_matter(), local(2026, 2, 10, 10)
    before = due(ACCEPTANCE, start, OLD)
    case = replace(submitted(matter, start), deadlines=Deadlines(acceptance=before))
    after, event = reckon(case, guide=matter.guide, by=SYSTEM, now=start, calendar=NATIONAL, known_before=OLD.stamp)
    final = after.deadlines.acceptance
    assert final is not None
    assert (before.provisional, final.provisional) == (True, False)
    assert (before.day, final.day) == (date(2026, 2, 17), date(2026, 2, 24))  # 春节 with its 调休
    assert "2026年放假安排已经公布" in event.text


def test_no_clock_runs_on_a_draft(make_matter: MatterMaker) -> None:
    assert running(drafted(make_matter())) == {}
    assert set(running(submitted(make_matter()))) == {"acceptance"}
