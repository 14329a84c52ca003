"""Staff log in over HTTP: passwords, cookies, lock-out."""

from __future__ import annotations

import asyncio
import statistics
import time
from datetime import timedelta

import aiohttp
import pytest

from backend.composition import Services
from backend.domain.access import Role
from backend.integrations.clock import WarpedClock
from tests.callers import Caller
from tests.conftest import LoginStaff

LOGIN = "/api/staff/login"
ME = "/api/staff/me"


@pytest.fixture
async def nobody(http: aiohttp.ClientSession) -> Caller:
    return Caller(http)


async def attempt(caller: Caller, username: str, password: str) -> tuple[int, str]:
    status, answer = await caller.post(LOGIN, {"username": username, "password": password})
    return status, answer.get("code", "ok")


async def test_me(login_staff: LoginStaff) -> None:
    clerk = await login_staff(Role.CLERK, Role.EDITOR, username="wang.fang", name="王芳")
    status, me = await clerk.get(ME)
    assert status == 200
    assert (me["username"], me["name"], me["roles"]) == ("wang.fang", "王芳", ["clerk", "editor"])
    assert "password" not in str(me).replace("must_change_password", "")


async def test_names_are_told_apart_by_nothing_else_than_the_right_password(
    login_staff: LoginStaff, nobody: Caller
) -> None:
    clerk = await login_staff(username="wang.fang")
    password = clerk.login["password"]
    answers = [
        await nobody.post(LOGIN, {"username": name, "password": word})
        for name, word in (("wang.fang", "wrong"), ("nobody-here", "wrong"))
    ]
    assert [status for status, _ in answers] == [401, 401]
    first, second = ({**document, "request_id": None} for _, document in answers)
    assert first == second
    assert first["code"] == "wrong-credentials"
    assert await attempt(nobody, " Wang.Fang ", password) == (200, "ok")


async def test_an_unknown_name_takes_as_long(login_staff: LoginStaff, nobody: Caller) -> None:
    """Each name is tried a few times below its lock; the hash dominates both."""
    await login_staff(username="wang.fang")
    spans: dict[str, list[float]] = {"wang.fang": [], "nobody-here": []}
    for _ in range(4):
        for name, taken in spans.items():
            started = time.perf_counter()
            assert (await attempt(nobody, name, "wrong"))[0] == 401
            taken.append(time.perf_counter() - started)
    known, unknown = (statistics.median(taken) for taken in spans.values())
    assert 1 / 3 < known / unknown < 3


async def test_guessing_locks_the_account_even_for_the_right_password(
    login_staff: LoginStaff, nobody: Caller, clock: WarpedClock
) -> None:
    clerk = await login_staff(username="wang.fang")
    password = clerk.login["password"]
    for _ in range(5):
        assert (await attempt(nobody, "wang.fang", "wrong"))[0] == 401
    async with nobody.http.post(LOGIN, json={"username": "wang.fang", "password": password}) as response:
        assert response.status == 429
        assert 55 <= int(response.headers["Retry-After"]) <= 60
        assert (await response.json())["code"] == "login-locked"
    assert (await clerk.get(ME))[0] == 200  # who is logged in stays so
    clock.warp(timedelta(seconds=61))
    assert (await attempt(nobody, "wang.fang", "wrong"))[0] == 401
    status, problem = await nobody.post(LOGIN, {"username": "wang.fang", "password": password})
    assert (status, problem["retry_after"] > 60) == (429, True)
    clock.warp(timedelta(seconds=200))
    assert await attempt(nobody, "wang.fang", password) == (200, "ok")
    for _ in range(4):  # all is forgiven
        assert (await attempt(nobody, "wang.fang", "wrong"))[0] == 401
    assert await attempt(nobody, "wang.fang", password) == (200, "ok")


async def test_simultaneous_guesses_are_counted_one_by_one(login_staff: LoginStaff, nobody: Caller) -> None:
    await login_staff(username="wang.fang")
    answers = await asyncio.gather(*(attempt(nobody, "wang.fang", f"guess-{n}") for n in range(20)))
    assert sorted(status for status, _ in answers) == [401] * 5 + [429] * 15


async def test_unknown_names_lock_alike(nobody: Caller) -> None:
    answers = [await attempt(nobody, "nobody-here", "wrong") for _ in range(6)]
    assert [status for status, _ in answers] == [401] * 5 + [429]


async def test_one_address_cannot_try_many_names(login_staff: LoginStaff, nobody: Caller, clock: WarpedClock) -> None:
    clerk = await login_staff(username="wang.fang")
    for number in range(30):
        assert (await attempt(nobody, f"name-{number}", "12345678"))[0] == 401
    assert (await attempt(nobody, "wang.fang", clerk.login["password"]))[0] == 429
    clock.warp(timedelta(seconds=61))
    assert await attempt(nobody, "wang.fang", clerk.login["password"]) == (200, "ok")


async def test_a_wiped_redis_does_not_forget_guesses(
    login_staff: LoginStaff, nobody: Caller, services: Services
) -> None:
    await login_staff(username="wang.fang")
    for _ in range(5):
        await attempt(nobody, "wang.fang", "wrong")
    await services.redis.flushdb()
    assert (await attempt(nobody, "wang.fang", "wrong"))[0] == 429


async def test_nothing_readable_is_kept(login_staff: LoginStaff, nobody: Caller, services: Services) -> None:
    clerk = await login_staff(username="wang.fang")
    await attempt(nobody, "my-real-password", "x")
    kept = [d async for d in services.database["login_attempts"].find()]
    assert "my-real-password" not in repr(kept)
    person = await services.database["staff"].find_one({})
    assert person is not None
    assert person["password_hash"].startswith("$argon2id$")
    assert clerk.login["password"] not in repr(person)


async def test_the_cookie(login_staff: LoginStaff, http: aiohttp.ClientSession) -> None:
    clerk = await login_staff(username="wang.fang")
    credentials = {"username": "wang.fang", "password": clerk.login["password"]}
    async with http.post(LOGIN, json=credentials) as response:
        cookie = response.headers["Set-Cookie"]
        session = (await response.json())["access_token"]
        assert response.headers["Cache-Control"] == "no-store"
        origin = str(response.url.origin())
    assert cookie.startswith(f"banshi_session={session};")
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Secure" not in cookie  # plain http here

    async def logout(**headers: str) -> tuple[int, str]:
        sent = {"Cookie": f"banshi_session={session}", **headers}
        async with http.post("/api/sessions/logout", headers=sent) as response:
            return response.status, response.headers.get("Set-Cookie", "")

    async with http.get(ME, headers={"Cookie": f"banshi_session={session}"}) as response:
        assert response.status == 200
    assert (await logout())[0] == 403
    assert (await logout(Origin="https://evil.example"))[0] == 403
    assert (await logout(Origin="null"))[0] == 403
    assert (await logout(Origin=origin.replace("http://", "https://")))[0] == 403
    status, forgotten = await logout(Origin=origin)
    assert status == 204
    assert "Max-Age=0" in forgotten
    async with http.get(ME, headers={"Cookie": f"banshi_session={session}"}) as response:
        assert response.status == 401


async def test_a_session_lasts_a_working_day(login_staff: LoginStaff, clock: WarpedClock) -> None:
    clerk = await login_staff()
    clock.warp(timedelta(hours=11, minutes=59))
    assert (await clerk.get(ME))[0] == 200
    clock.warp(timedelta(hours=12, minutes=1))
    assert (await clerk.get(ME))[0] == 401


async def test_changing_the_password(login_staff: LoginStaff, nobody: Caller) -> None:
    clerk = await login_staff(username="wang.fang")
    old, new = clerk.login["password"], "correct horse battery"
    _, other = await nobody.post(LOGIN, {"username": "wang.fang", "password": old})
    desk = Caller(nobody.http, token=other["access_token"])

    async def change(current: str, wanted: str) -> tuple[int, object]:
        body = {"current_password": current, "new_password": wanted}
        status, problem = await clerk.post("/api/staff/password", body)
        return status, problem and problem["code"]

    assert await change("wrong", new) == (422, "wrong-current-password")
    for weak in ("short", "aaaaaaaaaaaa", "Wang.Fang-2026"):
        assert await change(old, weak) == (422, "weak-password")
    assert (await desk.get(ME))[0] == 200
    assert await change(old, new) == (204, None)
    assert (await desk.get(ME))[0] == 401
    assert (await clerk.get(ME))[0] == 200
    assert await attempt(nobody, "wang.fang", old) == (401, "wrong-credentials")
    assert await attempt(nobody, "wang.fang", new) == (200, "ok")


async def test_guessing_the_current_password_locks(login_staff: LoginStaff) -> None:
    clerk = await login_staff()
    body = {"current_password": "wrong", "new_password": "correct horse battery"}
    statuses = [(await clerk.post("/api/staff/password", body))[0] for _ in range(6)]
    assert statuses == [422] * 5 + [429]


async def test_logins_do_not_hold_up_others(login_staff: LoginStaff, nobody: Caller) -> None:
    """While passwords are hashed the loop answers others."""
    await login_staff(username="wang.fang")
    storm = [asyncio.create_task(attempt(nobody, f"name-{n}", "wrong")) for n in range(12)]
    slowest = 0.0
    while not all(task.done() for task in storm):
        started = time.perf_counter()
        async with nobody.http.get("/healthz") as response:
            assert response.status == 200
        slowest = max(slowest, time.perf_counter() - started)
    await asyncio.gather(*storm)
    assert slowest < 1.0
