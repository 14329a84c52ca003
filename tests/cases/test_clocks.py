"""Deadlines, timers and what they do by themselves, with a warped clock."""

from __future__ import annotations

import asyncio
from typing import Any

#: When it is submitted, by when acceptance is to be told, whether that is provisional.
ACCEPTANCE = [
    ((2026, 2, 13, 16, 0), "2026-02-27", False),  # 调休 after the Spring Festival
    ((2026, 3, 2, 23, 59), "2026-03-09", False),
    ((2026, 3, 3, 0, 1), "2026-03-10", False),  # after midnight it is the next legal day
    ((2026, 4, 30, 16, 0), "2026-05-11", False),
    ((2026, 9, 30, 16, 0), "2026-10-13", False),
    ((2026, 12, 28, 10, 0), "2027-01-05", True),  # 2027 is not published yet
]


async def test_the_acceptance_clock(office: Any) -> None:
    for moment, day, provisional in ACCEPTANCE:
        office.at(*moment)
        case = await office.submitted(await office.citizen())
        acceptance = case["deadlines"]["acceptance"]
        assert (acceptance["day"], acceptance["provisional"]) == (day, provisional)
        assert acceptance["due_at"] == f"{day}T23:59:59.000+08:00"
        assert case["number"][-12:-4] == "{:04d}{:02d}{:02d}".format(*moment[:3])


async def test_silence_accepts_at_the_end_of_day_five(office: Any) -> None:
    case = await office.submitted(await office.citizen())
    office.at(2026, 3, 6, 9, 0, 1)
    assert await office.sweep() == 1  # the warning on the last working day but one
    office.at(2026, 3, 9, 23, 59, 58)
    assert await office.sweep() == 0
    office.at(2026, 3, 10, 0, 0, 1)
    await office.sweep()
    citizen = await office.citizen()
    _, seen = await citizen.get(f"/api/cases/{case['id']}")
    assert (seen["state"], seen["deemed_accepted"]) == ("accepted", True)
    assert seen["accepted_at"] == case["submitted_at"]
    assert seen["deadlines"]["statutory"]["day"] == "2026-03-30"
    _, timeline = await citizen.get(f"/api/cases/{case['id']}/timeline")
    assert timeline["items"][-1]["by"] == "system"
    assert "视为" in timeline["items"][-1]["text"]


async def test_a_public_service_is_only_marked_overdue(office: Any) -> None:
    case = await office.submitted(await office.citizen(), "service")
    office.at(2026, 3, 10, 0, 0, 1)
    assert await office.sweep() == 2
    clerk = await office.staff()
    _, timeline = await clerk.get(f"/api/cases/{case['id']}/timeline")
    assert [item["kind"] for item in timeline["items"]][-2:] == ["deadline_approaching", "deadline_overdue"]
    _, seen = await clerk.get(f"/api/desk/cases/{case['id']}")
    assert (seen["state"], "accept" in seen["actions"]) == ("submitted", True)
    assert await office.sweep() == 0


async def test_a_correction_that_never_comes_closes_the_case(office: Any) -> None:
    case = await office.submitted(await office.citizen())
    clerk = await office.staff()
    body = {"items": [{"key": "id-card", "text": "模糊"}]}
    await clerk.post(f"/api/desk/cases/{case['id']}/request-correction", body)
    office.at(2026, 3, 24, 0, 0, 1)
    await office.sweep()
    citizen = await office.citizen()
    _, seen = await citizen.get(f"/api/cases/{case['id']}")
    assert (seen["state"], seen["outcome"]) == ("closed", "correction_expired")


async def test_nodes_that_sweep_together_do_it_once(office: Any) -> None:
    citizen = await office.citizen()
    cases = [await office.submitted(citizen) for _ in range(5)]
    office.at(2026, 3, 10, 0, 0, 1)
    await asyncio.gather(*(office.sweep() for _ in range(4)))
    clerk = await office.staff("lead")
    for case in cases:
        _, timeline = await clerk.get(f"/api/cases/{case['id']}/timeline")
        kinds = [item["kind"] for item in timeline["items"]]
        assert kinds.count("deemed_accepted") == 1


async def test_a_case_that_moved_on_needs_no_timer(office: Any) -> None:
    citizen = await office.citizen()
    case = await office.submitted(citizen)
    await citizen.post(f"/api/cases/{case['id']}/withdraw", {})
    assert await office.services.database["timers"].count_documents({}) == 0
    office.at(2026, 3, 10, 0, 0, 1)
    assert await office.sweep() == 0
