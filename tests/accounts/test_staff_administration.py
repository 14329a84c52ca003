"""Administrators keep the staff, and what they change holds at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from backend.composition import Services
from backend.domain.access import SYSTEM, Role
from backend.domain.ids import new_id
from backend.services.staff import NewStaff
from tests.callers import Caller
from tests.conftest import LoginCitizen, LoginStaff

ME = "/api/staff/me"
STAFF = "/api/staff"


@pytest.fixture
async def admin(login_staff: LoginStaff) -> Caller:
    return await login_staff(Role.ADMIN)


async def made(admin: Caller, username: str, **fields: Any) -> tuple[int, Any]:
    return await admin.post(STAFF, {"username": username, "name": "张三", "roles": ["clerk"], **fields})


async def logged_in(caller: Caller, username: str, password: str) -> Caller:
    _, answer = await caller.post("/api/staff/login", {"username": username, "password": password})
    return Caller(caller.http, answer["staff"]["id"], answer["access_token"])


async def test_create_read_and_log_in(admin: Caller) -> None:
    status, created = await made(admin, "zhang.san")
    assert status == 201
    person = created["staff"]
    assert person["must_change_password"]
    assert (await admin.get(f"{STAFF}/{person['id']}"))[1] == person
    clerk = await logged_in(admin, "zhang.san", created["password"])
    assert (await clerk.get(ME))[0] == 200
    status, problem = await made(admin, "zhang.san")
    assert (status, problem["code"]) == (409, "username-taken")


async def test_a_given_password_is_not_answered(admin: Caller) -> None:
    _, created = await made(admin, "zhang.san", password="correct horse battery")
    assert created["password"] is None
    assert not created["staff"]["must_change_password"]
    await logged_in(admin, "zhang.san", "correct horse battery")


@pytest.mark.parametrize(
    "fields",
    [
        {"username": "ab"},
        {"username": "Zhang San"},
        {"roles": []},
        {"roles": ["citizen"]},
        {"roles": ["emperor"]},
        {"name": ""},
        {"name": "张\u0000三"},
        {"department_id": new_id()},
        {"password": "short"},
        {"is_admin": True},
    ],
)
async def test_what_cannot_be(admin: Caller, fields: dict[str, Any]) -> None:
    status, problem = await made(admin, **{"username": "zhang.san", **fields})
    assert (status, problem["status"]) == (422, 422)


async def test_others_may_not(admin: Caller, login_staff: LoginStaff, login_citizen: LoginCitizen) -> None:
    clerk, citizen, nobody = await login_staff(), await login_citizen(), Caller(admin.http)
    path = f"{STAFF}/{admin.actor_id}"
    for caller, reading, writing in ((clerk, 200, 403), (citizen, 403, 403), (nobody, 401, 401)):
        assert (await made(caller, "zhang.san"))[0] == writing
        assert (await caller.patch(path, {"version": 1, "name": "x"}))[0] == writing
        assert (await caller.post(f"{path}/password-reset"))[0] == writing
        assert (await caller.get(path))[0] == reading
        assert (await caller.get(STAFF))[0] == reading
    assert (await admin.get(f"{STAFF}/{new_id()}"))[0] == 404
    assert (await admin.get(f"{STAFF}/nonsense"))[0] == 404


async def test_paging(admin: Caller) -> None:
    for number in range(4):
        await made(admin, f"person-{number}", password="correct horse battery")
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        _, page = await admin.get(STAFF, params={"limit": 2} | ({"cursor": cursor} if cursor else {}))
        seen += [person["username"] for person in page["items"]]
        cursor = page["next_cursor"]
    assert len(seen) == len(set(seen)) == 5
    assert (await admin.get(STAFF, params={"cursor": "nonsense"}))[0] == 422


async def test_finding_staff(admin: Caller) -> None:
    await made(admin, "chen.jie", name="陈洁", roles=["clerk", "lead"])
    _, gone = await made(admin, "chen.li", name="李晨", roles=["editor"])
    path = f"/api/staff/{gone['staff']['id']}"
    assert (await admin.patch(path, {"version": 1, "active": False}))[0] == 200

    async def found(query: str) -> list[str]:
        _, page = await admin.get(f"/api/staff?{query}")
        return sorted(staff["username"] for staff in page["items"])

    assert await found("search=CHEN") == ["chen.jie", "chen.li"]
    assert await found("search=陈") == await found("role=lead") == ["chen.jie"]
    assert await found("search=jie") == await found("search=chen&active=false&role=clerk") == []
    assert await found("active=false") == ["chen.li"]


async def test_roles_change_at_once(admin: Caller, login_staff: LoginStaff) -> None:
    clerk = await login_staff(Role.CLERK)
    path = f"{STAFF}/{clerk.actor_id}"
    assert (await made(clerk, "zhang.san"))[0] == 403
    status, changed = await admin.patch(path, {"version": 1, "roles": ["admin"]})
    assert (status, changed["version"]) == (200, 2)
    assert (await made(clerk, "zhang.san"))[0] == 201
    await admin.patch(path, {"version": 2, "roles": ["clerk"]})
    assert (await made(clerk, "li.si"))[0] == 403


async def test_deactivation_ends_all_sessions_at_once(admin: Caller, login_staff: LoginStaff) -> None:
    clerk = await login_staff(username="wang.fang")
    desk = await logged_in(admin, "wang.fang", clerk.login["password"])
    path = f"{STAFF}/{clerk.actor_id}"
    assert (await admin.patch(path, {"version": 1, "active": False}))[0] == 200
    assert [(await caller.get(ME))[0] for caller in (clerk, desk)] == [401, 401]
    credentials = {"username": "wang.fang", "password": clerk.login["password"]}
    status, problem = await admin.post("/api/staff/login", credentials)
    assert (status, problem["code"]) == (401, "wrong-credentials")
    assert (await admin.patch(path, {"version": 2, "active": True}))[0] == 200
    assert (await clerk.get(ME))[0] == 401
    assert (await (await logged_in(admin, **credentials)).get(ME))[0] == 200


async def test_two_editors(admin: Caller, login_staff: LoginStaff) -> None:
    path = f"{STAFF}/{(await login_staff()).actor_id}"
    answers = await asyncio.gather(*(admin.patch(path, {"version": 1, "name": f"名{n}"}) for n in range(5)))
    assert sorted(status for status, _ in answers) == [200] + [409] * 4
    assert {answer["code"] for status, answer in answers if status == 409} == {"edit-conflict"}
    _, person = await admin.get(path)
    assert person["version"] == 2


async def test_the_last_admin_stays(admin: Caller, login_staff: LoginStaff) -> None:
    path = f"{STAFF}/{admin.actor_id}"
    for change in ({"active": False}, {"roles": ["clerk"]}):
        status, problem = await admin.patch(path, {"version": 1, **change})
        assert (status, problem["code"]) == (409, "last-admin")
    assert (await admin.patch(path, {"version": 1, "roles": ["admin", "editor"]}))[0] == 200


async def test_two_admins_cannot_remove_each_other(admin: Caller, login_staff: LoginStaff) -> None:
    other = await login_staff(Role.ADMIN)
    answers = await asyncio.gather(
        admin.patch(f"{STAFF}/{other.actor_id}", {"version": 1, "active": False}),
        other.patch(f"{STAFF}/{admin.actor_id}", {"version": 1, "active": False}),
    )
    assert min(status for status, _ in answers) == 200
    alive = [(await caller.get(ME))[0] for caller in (admin, other)]
    assert sorted(alive) == [200, 401]


async def test_a_reset_password(admin: Caller, login_staff: LoginStaff) -> None:
    clerk = await login_staff(username="wang.fang")
    status, answer = await admin.post(f"{STAFF}/{clerk.actor_id}/password-reset")
    assert status == 200
    assert (await clerk.get(ME))[0] == 401
    old = {"username": "wang.fang", "password": clerk.login["password"]}
    assert (await admin.post("/api/staff/login", old))[0] == 401
    again = await logged_in(admin, "wang.fang", answer["password"])
    assert (await again.get(ME))[1]["must_change_password"]


async def test_seeding_changes_nobody(admin: Caller, login_staff: LoginStaff, services: Services) -> None:
    people = [NewStaff(f"seed-{n}", f"人{n}", frozenset({Role.CLERK})) for n in range(3)]
    created = await services.staff.seed(SYSTEM, people, "correct horse battery")
    assert [person.username for person in created] == ["seed-0", "seed-1", "seed-2"]
    assert await services.staff.seed(SYSTEM, people, "another password") == []
    await logged_in(admin, "seed-2", "correct horse battery")
    assert await services.staff.has_admin()


async def test_every_change_is_recorded(admin: Caller, services: Services) -> None:
    _, created = await made(admin, "zhang.san")
    staff_id = created["staff"]["id"]
    await admin.patch(f"{STAFF}/{staff_id}", {"version": 1, "roles": ["lead"]})
    await admin.patch(f"{STAFF}/{staff_id}", {"version": 1, "roles": ["admin"]})  # refused: not recorded
    await admin.post(f"{STAFF}/{staff_id}/password-reset")
    events = await services.events.of("staff", staff_id)
    assert [(event.sequence, event.kind) for event in events] == [
        (1, "created"),
        (2, "changed"),
        (3, "password_reset"),
    ]
    assert {event.actor_id for event in events} == {admin.actor_id}
    assert events[1].changes == {"roles": ["lead"]}
    assert await services.events.waiting() == 0
