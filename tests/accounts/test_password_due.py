"""Who logs in with a password that somebody else made changes it first, and does nothing else before."""

from __future__ import annotations

import pytest

from backend.app import ROUTES
from backend.domain.access import Role
from tests.callers import Caller
from tests.conftest import LoginStaff

NEW = "correct horse battery"


@pytest.fixture
async def newcomer(login_staff: LoginStaff) -> Caller:
    """Just made by an administrator, logged in with the generated password."""
    admin = await login_staff(Role.ADMIN)
    _, made = await admin.post("/api/staff", {"username": "zhang.san", "name": "张三", "roles": ["clerk", "admin"]})
    return await logged_in(admin, made["password"])


async def logged_in(somebody: Caller, password: str) -> Caller:
    caller = Caller(somebody.http)
    status, login = await caller.post("/api/staff/login", {"username": "zhang.san", "password": password})
    assert status == 200, login
    assert login["staff"]["must_change_password"]
    caller.actor_id, caller.token, caller.login = login["staff"]["id"], login["access_token"], {"password": password}
    return caller


async def change(caller: Caller) -> None:
    body = {"current_password": caller.login["password"], "new_password": NEW}
    assert (await caller.post("/api/staff/password", body))[0] == 204


PRIVATE = [
    operation
    for group in ROUTES
    for operation in group.operations
    if not operation.public and not operation.password_due
]


def test_only_looking_at_oneself_changing_the_password_and_leaving_are_open() -> None:
    open_to_them = {o.id for group in ROUTES for o in group.operations if o.password_due}
    assert open_to_them == {"staff_me", "change_password", "logout", "logout_everywhere"}


async def test_everything_private_is_refused_until_the_password_is_changed(newcomer: Caller) -> None:
    assert "create_socket_ticket" in {operation.id for operation in PRIVATE}
    for operation in PRIVATE:
        path = "/api" + operation.path
        for name in operation.path_parameters:
            path = path.replace(f"{{{name}}}", "01919c6e-7f2b-7c3a-9a51-2f6d1c0b7e11")
        status, problem = await newcomer.request(operation.method, path, json={})
        assert (status, problem["code"]) == (403, "password-change-required"), operation.id
    status, me = await newcomer.get("/api/staff/me")
    assert (status, me["must_change_password"]) == (200, True)


async def test_after_the_change_the_same_login_goes_on(newcomer: Caller) -> None:
    await change(newcomer)
    status, me = await newcomer.get("/api/staff/me")
    assert (status, me["must_change_password"]) == (200, False)
    assert (await newcomer.get("/api/desk/cases"))[0] == 200
    assert (await newcomer.post("/api/socket-tickets"))[0] == 201


async def test_what_everybody_may_see_stays_open_and_so_does_the_login(newcomer: Caller) -> None:
    assert (await newcomer.get("/api/announcements"))[0] == 200
    body = {"username": "zhang.san", "password": newcomer.login["password"]}
    assert (await newcomer.post("/api/staff/login", body))[0] == 200
    assert (await newcomer.post("/api/sessions/logout"))[0] == 204
    assert (await newcomer.get("/api/staff/me"))[0] == 401


async def test_a_reset_asks_for_it_again(newcomer: Caller, login_staff: LoginStaff) -> None:
    await change(newcomer)
    admin = await login_staff(Role.ADMIN)
    _, reset = await admin.post(f"/api/staff/{newcomer.actor_id}/password-reset")
    again = await logged_in(admin, reset["password"])
    status, problem = await again.get("/api/desk/cases")
    assert (status, problem["code"]) == (403, "password-change-required")
