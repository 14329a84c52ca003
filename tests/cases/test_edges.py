"""What happens exactly at the edges of days and deadlines, and after a key has been forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from backend.composition import Services
from backend.domain.access import Actor, Role
from backend.domain.calendar import legal_day
from backend.domain.ids import new_id
from backend.services.case_steps import CaseSteps
from backend.services.cases import CaseService
from backend.storage.cases import CaseStore
from backend.storage.materials import MaterialStore
from backend.storage.matters import MatterStore
from backend.storage.personal_data import PersonalDataCodec
from tests.cases.conftest import Office, local


class HurriedClock:
    """Forty minutes pass between any two looks at it."""

    def __init__(self, start: datetime) -> None:
        self._moments = self._run(start)

    def now(self) -> datetime:
        return next(self._moments)

    @staticmethod
    def _run(moment: datetime) -> Iterator[datetime]:
        while True:
            yield moment
            moment += timedelta(minutes=40)


async def test_a_case_handed_in_while_the_year_turns_has_the_number_of_its_day(
    office: Office, services: Services
) -> None:
    citizen = await office.citizen()
    for start in (local(2026, 12, 31, 23, 10), local(2026, 12, 31, 23, 50)):
        case = await office.draft(citizen)
        steps = CaseSteps(
            database=services.database,
            cases=CaseStore(services.database, services.events, services.timers, PersonalDataCodec(b"x" * 32)),
            events=services.events,
            matters=MatterStore(services.database),
            office=services.organisation,
            clock=HurriedClock(start),
            calendars=services.calendar,
        )
        cases = CaseService(steps=steps, office=services.organisation, pages=MaterialStore(services.database))
        after = await cases.submit(Actor("citizen", citizen.actor_id, frozenset({Role.CITIZEN})), case["id"])
        assert after.submitted_at is not None
        assert f"{legal_day(after.submitted_at):%Y%m%d}" in (after.number or "")


async def test_a_correction_that_comes_too_late_is_refused_even_before_the_timer_fires(office: Office) -> None:
    citizen, clerk = await office.citizen(), await office.staff()
    case = await office.submitted(citizen)
    items = {"items": [{"key": "form", "text": "请写明用途"}]}
    status, asked = await clerk.post(f"/api/desk/cases/{case['id']}/request-correction", items)
    assert status == 200, asked
    due = datetime.fromisoformat(asked["deadlines"]["correction"]["due_at"])
    moment = due + timedelta(minutes=1)
    office.at(moment.year, moment.month, moment.day, moment.hour, moment.minute)
    citizen = await office.citizen()
    status, problem = await citizen.post(f"/api/cases/{case['id']}/corrections", {})
    assert (status, problem["code"]) == (409, "invalid-transition")
    await office.sweep()
    _, over = await citizen.get(f"/api/cases/{case['id']}")
    assert (over["state"], over["outcome"]) == ("closed", "correction_expired")


async def test_a_key_whose_answer_is_forgotten_does_not_answer_for_another_matter(
    office: Office, services: Services
) -> None:
    citizen, headers = await office.citizen(), {"Idempotency-Key": new_id()}
    first = {"matter_id": office.matters["licence"]}
    _, case = await citizen.post("/api/cases", first, headers=headers)
    await services.database["idempotency_keys"].delete_many({})  # as a day later
    status, again = await citizen.post("/api/cases", first, headers=headers)
    assert (status, again["id"]) == (201, case["id"])
    await services.database["idempotency_keys"].delete_many({})
    status, problem = await citizen.post("/api/cases", {"matter_id": office.matters["service"]}, headers=headers)
    assert (status, problem["code"]) == (409, "idempotency-conflict")
