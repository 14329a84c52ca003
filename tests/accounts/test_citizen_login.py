"""Citizens log in over HTTP, on several devices, over bad networks."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import aiohttp
import pytest

from backend.composition import Services
from backend.integrations.clock import WarpedClock
from tests.callers import Caller
from tests.conftest import LoginCitizen, LoginStaff

ME = "/api/citizen/me"


@pytest.fixture
async def nobody(http: aiohttp.ClientSession) -> Caller:
    return Caller(http)


def later(clock: WarpedClock, **span: float) -> None:
    clock.warp(timedelta(**span))


async def refresh(caller: Caller, token: str) -> tuple[int, dict[str, str]]:
    return await caller.post("/api/citizen/refresh", {"refresh_token": token})


async def test_one_phone_is_one_citizen(login_citizen: LoginCitizen) -> None:
    first, second = await login_citizen("mei"), await login_citizen("mei")
    other = await login_citizen("lan")
    assert first.actor_id == second.actor_id != other.actor_id
    status, me = await first.get(ME)
    assert (status, me["id"]) == (200, first.actor_id)
    assert me["created_at"].endswith("+08:00")


async def test_simultaneous_first_logins_are_one_citizen(login_citizen: LoginCitizen, services: Services) -> None:
    callers = await asyncio.gather(*(login_citizen("mei") for _ in range(10)))
    assert len({caller.actor_id for caller in callers}) == 1
    assert len({caller.token for caller in callers}) == 10


async def test_tokens_are_kept_as_hashes_only(login_citizen: LoginCitizen, services: Services) -> None:
    caller = await login_citizen()
    await caller.get(ME)
    kept = repr(await services.database["sessions"].find_one({}))
    assert caller.login["access_token"] not in kept
    assert caller.login["refresh_token"] not in kept
    for key in await services.redis.keys("*"):
        assert caller.login["access_token"].encode() not in key


@pytest.mark.parametrize("code", ["nonsense", "有汉字", "x" * 256])
async def test_a_wrong_code(nobody: Caller, code: str) -> None:
    status, problem = await nobody.post("/api/citizen/login", {"code": code})
    assert (status, problem["code"]) == (422, "login-code-invalid")
    assert code not in str(problem)


async def test_wechat_away(nobody: Caller, wechat_standin: str) -> None:
    fault = {"endpoint": "sns/jscode2session", "kind": "status", "status": 502}
    async with aiohttp.ClientSession() as http, http.post(f"{wechat_standin}/standin/faults", json=fault):
        pass
    status, problem = await nobody.post("/api/citizen/login", {"code": "abc"})
    assert (status, problem["code"]) == (503, "temporarily-unavailable")


async def test_without_and_with_wrong_tokens(nobody: Caller) -> None:
    assert (await nobody.get(ME))[0] == 401
    for token in ("wrong", "x" * 5000, "."):
        nobody.token = token
        status, problem = await nobody.get(ME)
        assert (status, problem["code"]) == (401, "session-ended")


async def test_staff_are_no_citizens(login_staff: LoginStaff) -> None:
    assert (await (await login_staff()).get(ME))[0] == 403


async def test_refresh_rotates(login_citizen: LoginCitizen, clock: WarpedClock) -> None:
    caller = await login_citizen()
    first = caller.login
    status, second = await refresh(caller, first["refresh_token"])
    assert status == 200
    assert second["session_id"] == first["session_id"]
    assert second["refresh_token"] != first["refresh_token"]
    assert (await caller.get(ME))[0] == 200  # a request under way with the old token still arrives
    later(clock, seconds=61)
    assert (await caller.get(ME))[0] == 401
    caller.token = second["access_token"]
    assert (await caller.get(ME))[0] == 200


async def test_an_access_token_ends(login_citizen: LoginCitizen, clock: WarpedClock) -> None:
    caller = await login_citizen()
    assert (await caller.get(ME))[0] == 200
    later(clock, hours=2, seconds=1)
    status, problem = await caller.get(ME)
    assert (status, problem["code"]) == (401, "token-expired")
    status, fresh = await refresh(caller, caller.login["refresh_token"])
    caller.token = fresh["access_token"]
    assert (await caller.get(ME))[0] == 200


async def test_a_session_ends_after_long_disuse(login_citizen: LoginCitizen, clock: WarpedClock) -> None:
    caller = await login_citizen()
    later(clock, days=60)
    _, fresh = await refresh(caller, caller.login["refresh_token"])
    later(clock, days=149)
    status, fresh = await refresh(caller, fresh["refresh_token"])
    assert status == 200
    later(clock, days=240)
    status, problem = await refresh(caller, fresh["refresh_token"])
    assert (status, problem["code"]) == (401, "session-ended")


async def test_a_lost_answer_logs_nobody_out(login_citizen: LoginCitizen, clock: WarpedClock) -> None:
    """Whichever of the answers the phone kept, it goes on, and so do tokens of the others for a while."""
    caller = await login_citizen()
    token = caller.login["refresh_token"]
    answers = await asyncio.gather(*(refresh(caller, token) for _ in range(5)))
    assert [status for status, _ in answers] == [200] * 5
    for _, pair in answers:
        caller.token = pair["access_token"]
        assert (await caller.get(ME))[0] == 200
    later(clock, minutes=30)
    status, fresh = await refresh(caller, answers[2][1]["refresh_token"])
    assert status == 200
    caller.token = fresh["access_token"]
    assert (await caller.get(ME))[0] == 200


async def test_an_old_refresh_token_ends_the_session(login_citizen: LoginCitizen, clock: WarpedClock) -> None:
    caller = await login_citizen()
    _, second = await refresh(caller, caller.login["refresh_token"])
    caller.token = second["access_token"]
    assert (await caller.get(ME))[0] == 200
    later(clock, seconds=61)
    status, problem = await refresh(caller, caller.login["refresh_token"])
    assert (status, problem["code"]) == (401, "session-ended")
    assert (await caller.get(ME))[0] == 401
    assert (await refresh(caller, second["refresh_token"]))[0] == 401


async def test_repeats_without_end_are_refused(login_citizen: LoginCitizen) -> None:
    caller = await login_citizen()
    statuses = [(await refresh(caller, caller.login["refresh_token"]))[0] for _ in range(12)]
    assert set(statuses[:8]) == {200}
    assert statuses[-1] == 429


@pytest.mark.parametrize("token", ["unknown", "x" * 200, "令牌"])
async def test_an_unknown_refresh_token(nobody: Caller, token: str) -> None:
    assert (await refresh(nobody, token))[0] == 401


async def test_devices(login_citizen: LoginCitizen) -> None:
    phone = await login_citizen("mei", "手机")
    tablet = await login_citizen("mei", "平板")
    stranger = await login_citizen("lan")
    _, listed = await phone.get("/api/sessions")
    assert {item["device"]: item["current"] for item in listed["items"]} == {"手机": True, "平板": False}
    tablet_id = tablet.login["session_id"]
    assert (await stranger.delete(f"/api/sessions/{tablet_id}"))[0] == 404
    assert (await tablet.get(ME))[0] == 200
    assert (await phone.delete(f"/api/sessions/{tablet_id}"))[0] == 204
    assert (await tablet.get(ME))[0] == 401
    assert (await refresh(tablet, tablet.login["refresh_token"]))[0] == 401
    assert (await phone.delete(f"/api/sessions/{tablet_id}"))[0] == 404
    assert (await phone.get(ME))[0] == 200


async def test_logout_ends_one_device(login_citizen: LoginCitizen) -> None:
    phone, tablet = await login_citizen("mei"), await login_citizen("mei")
    await phone.get(ME)  # now cached
    assert (await phone.post("/api/sessions/logout"))[0] == 204
    assert (await phone.get(ME))[0] == 401
    assert (await tablet.get(ME))[0] == 200


async def test_logout_everywhere(login_citizen: LoginCitizen) -> None:
    devices = [await login_citizen("mei") for _ in range(3)]
    stranger = await login_citizen("lan")
    for device in devices:
        assert (await device.get(ME))[0] == 200
    assert (await devices[1].post("/api/sessions/logout-everywhere"))[0] == 204
    assert [(await device.get(ME))[0] for device in devices] == [401] * 3
    assert (await stranger.get(ME))[0] == 200


async def test_the_oldest_of_too_many_devices_is_ended(login_citizen: LoginCitizen) -> None:
    devices = [await login_citizen("mei", f"{number}") for number in range(21)]
    assert (await devices[0].get(ME))[0] == 401
    _, listed = await devices[-1].get("/api/sessions")
    assert len(listed["items"]) == 20


async def test_a_wiped_redis_revives_nothing_and_ends_nothing(login_citizen: LoginCitizen, services: Services) -> None:
    kept, ended = await login_citizen("mei"), await login_citizen("lan")
    assert (await ended.get(ME))[0] == 200
    await ended.post("/api/sessions/logout")
    await services.redis.flushdb()
    assert (await ended.get(ME))[0] == 401
    assert (await kept.get(ME))[0] == 200
    assert (await refresh(kept, kept.login["refresh_token"]))[0] == 200


async def test_an_entry_written_during_a_logout_is_of_an_old_generation(
    login_citizen: LoginCitizen, services: Services
) -> None:
    """The slow reader: looked before the logout, writes its cache entry after it."""
    from backend.domain.accounts import token_hash
    from backend.storage.sessions import SessionCache

    caller = await login_citizen()
    cache, hashed = SessionCache(services.redis), token_hash(caller.login["access_token"])
    _, generation = await cache.get(hashed)
    assert generation is not None
    await caller.post("/api/sessions/logout")
    entry = {"citizen_id": caller.actor_id, "session_id": caller.login["session_id"], "expires_at": 9e12}
    await cache.put(hashed, entry, generation)
    assert (await caller.get(ME))[0] == 401
