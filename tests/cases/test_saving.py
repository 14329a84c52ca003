"""A save states the version it read, and counts only together with its event."""

from __future__ import annotations

import pytest

from backend.composition import Services
from backend.domain import case_steps as steps
from backend.domain.access import Actor, Role
from backend.domain.case_steps import Edit
from backend.domain.errors import EditConflict
from backend.domain.ids import new_id
from backend.storage.cases import CaseStore
from backend.storage.matters import MatterStore
from backend.storage.personal_data import PersonalDataCodec
from tests.cases.conftest import Office

CITIZEN = Actor("citizen", new_id(), frozenset({Role.CITIZEN}))


@pytest.fixture
def store(services: Services) -> CaseStore:
    return CaseStore(services.database, services.events, services.timers, PersonalDataCodec(b"x" * 32))


async def test_a_step_from_a_version_that_is_not_stored_is_not_saved(
    office: Office, services: Services, store: CaseStore
) -> None:
    matter = await MatterStore(services.database).get(office.matters["licence"])
    assert matter is not None
    now = office.clock.now()
    first, drafted = steps.draft(new_id(), matter, by=CITIZEN, now=now)
    async with services.database.transaction() as session:
        await store.insert(first, drafted, session)
    second, _ = steps.edit(first, Edit(form={"use": "a"}), by=CITIZEN, now=now)
    third, edited = steps.edit(second, Edit(form={"use": "b"}), by=CITIZEN, now=now)

    # the event's place in the sequence is free: the version alone says that something is missing
    with pytest.raises(EditConflict):
        async with services.database.transaction() as session:
            await store.save(third, edited, [], session)

    kept = await store.get(first.id)
    assert kept is not None
    assert (kept.version, dict(kept.form)) == (1, {})
    assert len(await services.events.of("case", first.id)) == 1
