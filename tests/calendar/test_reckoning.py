"""What a change of the calendar does to cases under way, with the worker as it runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from backend.domain.access import Role
from backend.domain.cases import Case, apply
from backend.domain.ids import new_id
from backend.storage.cases import CaseStore
from backend.storage.schema import upgrade
from backend.worker import work
from tests.callers import Caller
from tests.cases.conftest import Office, local

DAYS = "/api/organisation/calendar/days"


@pytest.fixture
async def admin(office: Office, login_staff: Callable[..., Awaitable[Caller]]) -> Caller:
    return await login_staff(Role.ADMIN)


@pytest.fixture
async def worker(office: Office) -> AsyncIterator[None]:
    """A worker of this test's system."""
    stop = asyncio.Event()
    running = asyncio.create_task(work(office.services, stop))
    yield
    stop.set()
    await asyncio.wait_for(running, 10)


async def close(admin: Caller, day: str, kind: str = "closed", reason: str = "台风停工") -> None:
    status, answer = await admin.put(f"{DAYS}/{day}", {"kind": kind, "reason": reason})
    assert status == 200, answer


async def until_due(caller: Caller, case_id: str, clock: str, day: str) -> dict[str, Any]:
    """Wait until a deadline of the case lies on this day; the case then."""
    async with asyncio.timeout(20):
        while True:
            _, case = await caller.get(f"/api/cases/{case_id}")
            if case["deadlines"][clock]["day"] == day:
                return dict(case)
            await asyncio.sleep(0.05)


async def timeline(caller: Caller, case_id: str) -> list[dict[str, Any]]:
    _, answer = await caller.get(f"/api/cases/{case_id}/timeline")
    return list(answer["items"])


async def timers(office: Office, case_id: str) -> dict[str, Any]:
    found = office.services.database["timers"].find({"case_id": case_id})
    return {document["kind"]: document["due_at"] async for document in found}


@pytest.mark.usefixtures("worker")
async def test_a_closed_day_moves_the_deadline_its_timers_and_says_why(office: Office, admin: Caller) -> None:
    citizen = await office.citizen()
    case = await office.submitted(citizen)
    assert case["deadlines"]["acceptance"]["day"] == "2026-03-09"
    await close(admin, "2026-03-05")
    moved = await until_due(citizen, case["id"], "acceptance", "2026-03-10")
    assert "2026年3月5日台风停工，不计入。" in moved["deadlines"]["acceptance"]["derivation"]
    last = (await timeline(citizen, case["id"]))[-1]
    assert (last["kind"], last["by"]) == ("deadlines_moved", "system")
    assert last["text"] == (
        "因工作日安排有变化（2026年3月5日台风停工，不计入工作日），受理期限由2026年3月9日调整为2026年3月10日。"
    )
    assert await timers(office, case["id"]) == {
        "acceptance_soon": local(2026, 3, 9, 9),
        "acceptance_over": local(2026, 3, 10, 23, 59, 59),
    }
    async with asyncio.timeout(20):  # the citizen is told, once
        while (await citizen.get("/api/notices"))[1]["items"][0]["kind"] != "deadlines_moved":
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("worker")
async def test_given_back_the_day_counts_again(office: Office, admin: Caller) -> None:
    citizen = await office.citizen()
    case = await office.submitted(citizen)
    await close(admin, "2026-03-05")
    await until_due(citizen, case["id"], "acceptance", "2026-03-10")
    assert (await admin.delete(f"{DAYS}/2026-03-05", params={"version": 1}))[0] == 204
    await until_due(citizen, case["id"], "acceptance", "2026-03-09")
    assert "2026年3月5日的临时安排取消，计入工作日" in (await timeline(citizen, case["id"]))[-1]["text"]


@pytest.mark.usefixtures("worker")
async def test_every_clock_that_runs_is_reckoned(office: Office, admin: Caller) -> None:
    citizen, clerk = await office.citizen(), await office.staff()
    accepted = await office.submitted(citizen)
    await clerk.post(f"/api/desk/cases/{accepted['id']}/accept", {})
    correcting = await office.submitted(citizen)
    body = {"items": [{"key": "id-card", "text": "模糊"}]}
    await clerk.post(f"/api/desk/cases/{correcting['id']}/request-correction", body)
    approved = await office.submitted(citizen)
    await clerk.post(f"/api/desk/cases/{approved['id']}/accept", {})
    await clerk.post(f"/api/desk/cases/{approved['id']}/approve", {})
    await close(admin, "2026-03-05")
    seen = await until_due(citizen, accepted["id"], "promised", "2026-03-10")
    assert seen["deadlines"]["statutory"]["day"] == "2026-03-31"
    await until_due(citizen, correcting["id"], "correction", "2026-03-24")
    seen = await until_due(citizen, approved["id"], "delivery", "2026-03-17")
    assert seen["deadlines"]["promised"]["day"] == "2026-03-09", "a clock that was kept stays as it was"
    told = (await timeline(citizen, accepted["id"]))[-1]["text"]
    assert "法定办结期限由2026年3月30日调整为2026年3月31日" in told
    assert "承诺办结期限由2026年3月9日调整为2026年3月10日" in told


@pytest.mark.usefixtures("worker")
async def test_an_opened_saturday_counts(office: Office, admin: Caller) -> None:
    citizen = await office.citizen()
    case = await office.submitted(citizen)
    await close(admin, "2026-03-07", "opened", "周六便民服务")
    moved = await until_due(citizen, case["id"], "acceptance", "2026-03-07")
    assert moved["deadlines"]["acceptance"]["due_at"] == "2026-03-07T23:59:59.000+08:00"
    assert "2026年3月7日周六便民服务，计入工作日" in (await timeline(citizen, case["id"]))[-1]["text"]


@pytest.mark.usefixtures("worker")
async def test_an_applicant_keeps_the_days_that_were_told(office: Office, admin: Caller) -> None:
    citizen, clerk = await office.citizen(), await office.staff()
    asked = await office.submitted(citizen)
    body = {"items": [{"key": "id-card", "text": "模糊"}]}
    await clerk.post(f"/api/desk/cases/{asked['id']}/request-correction", body)
    _, told = await citizen.get(f"/api/cases/{asked['id']}")
    waiting = await office.submitted(citizen)
    await close(admin, "2026-03-07", "opened", "周六便民服务")
    await until_due(citizen, waiting["id"], "acceptance", "2026-03-07")

    _, after = await citizen.get(f"/api/cases/{asked['id']}")

    assert after["deadlines"]["correction"] == told["deadlines"]["correction"]


async def test_what_a_change_does_not_touch_has_no_event(office: Office, admin: Caller) -> None:
    citizen, clerk = await office.citizen(), await office.staff()
    open_case, ended = await office.submitted(citizen), await office.submitted(citizen)
    draft = await office.draft(citizen)
    await clerk.post(f"/api/desk/cases/{ended['id']}/not-accept", {"reason": "不属于本机关职权"})
    before = [await timeline(citizen, case["id"]) for case in (open_case, ended, draft)]
    await close(admin, "2026-04-20")
    assert await office.services.case_reckoning.sweep() == 1
    assert await office.services.case_reckoning.sweep() == 0
    assert [await timeline(citizen, case["id"]) for case in (open_case, ended, draft)] == before


async def test_workers_that_reckon_together_do_it_once(office: Office, admin: Caller) -> None:
    citizen = await office.citizen()
    cases = [await office.submitted(citizen) for _ in range(6)]
    await close(admin, "2026-03-05")
    await asyncio.gather(*(office.services.case_reckoning.sweep() for _ in range(4)))
    for case in cases:
        kinds = [item["kind"] for item in await timeline(citizen, case["id"])]
        assert kinds == ["submitted", "deadlines_moved"]


async def test_a_sweep_that_was_cut_off_is_taken_up(office: Office, admin: Caller) -> None:
    citizen = await office.citizen()
    cases = [await office.submitted(citizen) for _ in range(5)]
    await close(admin, "2026-03-05")
    for _ in range(3):  # a worker that dies again and again
        cut = asyncio.create_task(office.services.case_reckoning.sweep())
        await asyncio.wait({cut}, timeout=0.02)
        cut.cancel()
        await asyncio.gather(cut, return_exceptions=True)
    await office.services.case_reckoning.sweep()
    for case in cases:
        kinds = [item["kind"] for item in await timeline(citizen, case["id"])]
        assert kinds == ["submitted", "deadlines_moved"]


async def test_a_timer_that_fires_late_looks_at_the_calendar_first(office: Office, admin: Caller) -> None:
    """The worker was away: silence does not accept on a day that had become one more to act on."""
    case = await office.submitted(await office.citizen())
    await close(admin, "2026-03-05")
    office.at(2026, 3, 10, 0, 1)
    await office.sweep()
    citizen = await office.citizen()
    _, seen = await citizen.get(f"/api/cases/{case['id']}")
    assert (seen["state"], seen["deadlines"]["acceptance"]["day"]) == ("submitted", "2026-03-10")
    office.at(2026, 3, 11, 0, 1)
    await office.sweep()
    _, seen = await (await office.citizen()).get(f"/api/cases/{case['id']}")
    assert (seen["state"], seen["deemed_accepted"]) == ("accepted", True)


async def test_the_events_alone_give_the_case(office: Office, admin: Caller) -> None:
    case = await office.submitted(await office.citizen())
    await close(admin, "2026-03-05")
    services = office.services
    await services.case_reckoning.sweep()
    store = CaseStore(services.database, services.events, services.timers, services.personal_data)
    replayed: Case | None = None
    for event in await store.history(case["id"]):
        replayed = apply(replayed, event)
    assert replayed == await store.get(case["id"])
    assert replayed is not None
    assert replayed.deadlines.acceptance is not None
    assert replayed.deadlines.acceptance.day.isoformat() == "2026-03-10"


async def test_an_answer_is_promised_for_the_next_day_that_is_worked(office: Office, admin: Caller) -> None:
    await close(admin, "2026-03-03")
    office.at(2026, 3, 2, 20)
    citizen = await office.citizen()
    status, opened = await citizen.post("/api/consultations", {"cid": new_id(), "subject": "怎么办"})
    assert status == 201, opened
    assert opened["consultation"]["promised_at"].startswith("2026-03-04T")


async def test_cases_of_an_earlier_version_are_reckoned_after_the_migration(office: Office, admin: Caller) -> None:
    citizen, database = await office.citizen(), office.services.database
    case = await office.submitted(citizen)
    await database["cases"].update_one({"_id": case["id"]}, {"$unset": {"reckoned": ""}})
    await database["meta"].update_one({"_id": "schema"}, {"$set": {"version": 2}})
    await close(admin, "2026-03-05")
    assert await office.services.case_reckoning.sweep() == 0
    await upgrade(database)
    assert await office.services.case_reckoning.sweep() == 1
    await until_due(citizen, case["id"], "acceptance", "2026-03-10")
