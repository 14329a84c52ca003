"""A new password and the end of the sessions of the old one are one change."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from backend.composition import Services
from backend.domain.access import SYSTEM, Role
from tests.conftest import LoginStaff

NEW_PASSWORD = "a-quite-different-one"


@pytest.fixture
async def sessions_that_cannot_end(services: Services) -> AsyncIterator[None]:
    """The database refuses to end a session, as if the process died there."""
    database = services.database.raw
    await database.command("collMod", "sessions", validator={"ended_at": None}, validationAction="error")
    yield
    await database.command("collMod", "sessions", validator={})


@pytest.mark.usefixtures("sessions_that_cannot_end")
async def test_a_password_is_not_reset_when_its_sessions_do_not_end(
    services: Services, login_staff: LoginStaff
) -> None:
    clerk = await login_staff(Role.CLERK, username="lin.min")
    before = await services.staff.get(SYSTEM, clerk.actor_id)
    with pytest.raises(Exception, match="validation"):
        await services.staff.reset_password(SYSTEM, clerk.actor_id)
    assert await services.staff.get(SYSTEM, clerk.actor_id) == before
    status, _ = await clerk.post("/api/staff/login", {"username": "lin.min", "password": clerk.login["password"]})
    assert status == 200


@pytest.mark.usefixtures("sessions_that_cannot_end")
async def test_a_password_is_not_changed_when_the_other_sessions_do_not_end(
    services: Services, login_staff: LoginStaff
) -> None:
    clerk = await login_staff(Role.CLERK, username="lin.min")
    old = {"username": "lin.min", "password": clerk.login["password"]}
    assert (await clerk.post("/api/staff/login", old))[0] == 200  # on another device
    body = {"current_password": clerk.login["password"], "new_password": NEW_PASSWORD}
    assert (await clerk.post("/api/staff/password", body))[0] >= 500
    assert (await clerk.post("/api/staff/login", old))[0] == 200
