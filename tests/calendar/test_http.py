"""The calendar over HTTP: what a year looks like, who changes it, and what stays as it was."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest

from backend.composition import Services, open_services
from backend.domain.access import Role
from backend.domain.calendar import SHANGHAI
from backend.integrations.clock import WarpedClock
from config.settings import Settings
from tests.callers import Caller
from tests.conftest import LoginCitizen, LoginStaff, set_clock

YEAR = "/api/organisation/calendar"
DAYS = f"{YEAR}/days"


@pytest.fixture
async def admin(clock: WarpedClock, login_staff: LoginStaff) -> Caller:
    """An administrator, on Monday 2 March 2026, ten o'clock."""
    set_clock(clock, datetime(2026, 3, 2, 10, tzinfo=SHANGHAI))
    return await login_staff(Role.ADMIN)


async def days(caller: Caller, year: int) -> dict[str, dict[str, Any]]:
    status, answer = await caller.get(YEAR, params={"year": year})
    assert status == 200, answer
    return {item["date"]: item for item in answer["days"]}


async def test_a_published_year_shows_holidays_and_make_up_days(admin: Caller) -> None:
    _, answer = await admin.get(YEAR)
    assert (answer["year"], answer["published"], answer["today"]) == (2026, True, "2026-03-02")
    found = await days(admin, 2026)
    assert found["2026-10-01"] == {
        "date": "2026-10-01",
        "is_working": False,
        "reason": "国庆节放假",
        "source": "national",
        "provisional": False,
        "kind": None,
        "version": None,
    }
    assert (found["2026-02-14"]["is_working"], found["2026-02-14"]["reason"]) == (True, "调休上班")
    assert not {"2026-03-02", "2026-03-07", "2026-03-08"} & set(found), "ordinary days are left out"
    assert list(found) == sorted(found)


async def test_a_year_that_is_not_published_says_so(admin: Caller) -> None:
    _, answer = await admin.get(YEAR, params={"year": 2027})
    assert not answer["published"]
    assert [item["date"][5:] for item in answer["days"]] == ["01-01", "05-01", "05-02", "10-01", "10-02", "10-03"]


async def test_a_day_is_closed_changed_and_given_back(admin: Caller, services: Services) -> None:
    status, made = await admin.put(f"{DAYS}/2026-03-05", {"kind": "closed", "reason": "台风停工"})
    assert status == 200
    assert (made["is_working"], made["source"], made["kind"], made["version"]) == (False, "district", "closed", 1)
    assert (await days(admin, 2026))["2026-03-05"] == made
    status, problem = await admin.put(f"{DAYS}/2026-03-05", {"kind": "closed", "reason": "别的"})
    assert (status, problem["code"]) == (409, "edit-conflict")
    again = await admin.put(f"{DAYS}/2026-03-05", {"kind": "closed", "reason": "台风停工"})
    assert again == (200, made), "a repeated request changes nothing"
    body = {"kind": "closed", "reason": "台风“海棠”停工", "version": 1}
    status, changed = await admin.put(f"{DAYS}/2026-03-05", body)
    assert (status, changed["reason"], changed["version"]) == (200, "台风“海棠”停工", 2)
    assert (await admin.delete(f"{DAYS}/2026-03-05", params={"version": 1}))[0] == 409
    assert (await admin.delete(f"{DAYS}/2026-03-05", params={"version": 2}))[0] == 204
    assert (await admin.delete(f"{DAYS}/2026-03-05", params={"version": 3}))[0] == 404
    assert "2026-03-05" not in await days(admin, 2026)
    status, new = await admin.put(f"{DAYS}/2026-03-05", {"kind": "closed", "reason": "台风停工"})
    assert (status, new["version"]) == (200, 4), "versions go on, so that no two records are the same"
    events = await services.events.of("calendar_day", "2026-03-05")
    assert [(event.sequence, event.kind) for event in events] == [(1, "set"), (2, "set"), (3, "cleared"), (4, "set")]


async def test_a_weekend_day_is_opened(admin: Caller) -> None:
    status, made = await admin.put(f"{DAYS}/2026-03-07", {"kind": "opened", "reason": "周六便民服务"})
    assert (status, made["is_working"], made["reason"]) == (200, True, "周六便民服务")


@pytest.mark.parametrize(
    ("day", "kind", "status", "code"),
    [
        ("2026-03-01", "opened", 409, "past-day"),
        ("2026-03-02", "closed", 200, None),  # today may still be closed
        ("2026-03-05", "opened", 422, "invalid-input"),  # works anyway
        ("2026-10-01", "closed", 422, "invalid-input"),  # is free anyway
        ("2027-02-08", "closed", 200, None),
        ("2029-01-02", "closed", 422, "invalid-input"),  # too far ahead
        ("2026-02-30", "closed", 404, "not-found"),
        ("2026-3-5", "closed", 404, "not-found"),
    ],
)
async def test_which_days_can_be_set(admin: Caller, day: str, kind: str, status: int, code: str | None) -> None:
    answered, body = await admin.put(f"{DAYS}/{day}", {"kind": kind, "reason": "台风停工"})
    assert (answered, body.get("code")) == (status, code), body


async def test_a_day_that_is_over_stays(admin: Caller, clock: WarpedClock, login_staff: LoginStaff) -> None:
    await admin.put(f"{DAYS}/2026-03-05", {"kind": "closed", "reason": "台风停工"})
    set_clock(clock, datetime(2026, 3, 6, 9, tzinfo=SHANGHAI))
    later = await login_staff(Role.ADMIN)
    status, problem = await later.delete(f"{DAYS}/2026-03-05", params={"version": 1})
    assert (status, problem["code"]) == (409, "past-day")
    assert "过去的日期不能修改" in problem["detail"]
    body = {"kind": "closed", "reason": "别的", "version": 1}
    assert (await later.put(f"{DAYS}/2026-03-05", body))[1]["code"] == "past-day"


async def test_the_staff_reads_and_administrators_change(
    admin: Caller, login_staff: LoginStaff, login_citizen: LoginCitizen
) -> None:
    body = {"kind": "closed", "reason": "台风停工"}
    clerk, editor, citizen = await login_staff(Role.CLERK), await login_staff(Role.EDITOR), await login_citizen()
    for caller, reads in ((clerk, 200), (editor, 200), (citizen, 403), (Caller(admin.http), 401)):
        assert (await caller.get(YEAR))[0] == reads
        assert (await caller.put(f"{DAYS}/2026-03-05", body))[0] == (403 if caller.token else 401)


async def test_another_process_reckons_with_it_within_seconds(
    admin: Caller, settings: Settings, services: Services
) -> None:
    async with open_services(settings) as other:
        before = await other.calendar.current()
        assert before.closed == {}
        await admin.put(f"{DAYS}/2026-03-05", {"kind": "closed", "reason": "台风停工"})
        assert list((await services.calendar.current()).closed.values()) == ["台风停工"], "at once where it was changed"
        async with asyncio.timeout(10):
            while (known := await other.calendar.current()) == before:
                await asyncio.sleep(0.02)
    assert list(known.closed.values()) == ["台风停工"]
