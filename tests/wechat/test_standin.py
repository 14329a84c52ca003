"""The stand-in answers as facts about WeChat say."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from typing import Any

import aiohttp
import pytest

from backend.wechat_standin.app import DEFAULT_APPID, DEFAULT_SECRET
from tests.wechat.conftest import CHECK, LOGIN, STABLE, StandinServer

CREDENTIALS = {"appid": DEFAULT_APPID, "secret": DEFAULT_SECRET}


async def token(standin: StandinServer, **changes: Any) -> dict[str, Any]:
    query = {"grant_type": "client_credential", **CREDENTIALS, **changes}
    async with standin.http.get(f"{standin.url}/cgi-bin/token", params=query) as response:
        assert response.status == 200
        return dict(json.loads(await response.read()))


async def stable(standin: StandinServer, **changes: Any) -> dict[str, Any]:
    body = json.dumps({"grant_type": "client_credential", **CREDENTIALS, **changes}).encode()
    async with standin.http.post(f"{standin.url}/{STABLE}", data=body, skip_auto_headers=["Content-Type"]) as response:
        assert response.status == 200
        return dict(json.loads(await response.read()))


async def check(standin: StandinServer, access_token: str, session: dict[str, Any]) -> int:
    signature = hmac.new(session["session_key"].encode(), b"", hashlib.sha256).hexdigest()
    query = {
        "access_token": access_token,
        "openid": session["openid"],
        "signature": signature,
        "sig_method": "hmac_sha256",
    }
    async with standin.http.get(f"{standin.url}/{CHECK}", params=query) as response:
        return int(json.loads(await response.read())["errcode"])


async def test_first_users_are_various_and_stable(standin: StandinServer) -> None:
    users = (await standin.call("GET", "users"))["users"]
    assert len(users) >= 6
    assert sum(user["age"] >= 65 for user in users) >= 2
    assert all(re.fullmatch(r"o[\w-]{27}", user["openid"]) for user in users)
    assert len({user["openid"] for user in users}) == len(users)


async def test_a_code_works_once(standin: StandinServer) -> None:
    code = await standin.code()
    first = await standin.login(code)
    assert len(base64.b64decode(first["session_key"])) == 16
    assert "errcode" not in first
    again = await standin.login(code)
    assert again["errcode"] == 40163
    assert re.fullmatch(r"code been used, rid: [0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}", again["errmsg"])


async def test_unionid_only_where_bound(standin: StandinServer) -> None:
    assert "unionid" not in await standin.login(await standin.code("lin-guilan"))
    assert "unionid" in await standin.login(await standin.code("zhou-xiaoyu"))


async def test_a_code_lasts_five_minutes(standin: StandinServer) -> None:
    code = await standin.code()
    await standin.advance(301)
    assert (await standin.login(code))["errcode"] == 40029


@pytest.mark.parametrize(
    ("changes", "errcode"),
    [
        ({"js_code": "nonsense"}, 40029),
        ({"js_code": ""}, 41008),
        ({"appid": ""}, 41002),
        ({"secret": ""}, 41004),
        ({"appid": "wx0000000000000000"}, 40013),
        ({"secret": "wrong"}, 40125),
        ({"grant_type": "password"}, 40002),
    ],
)
async def test_what_is_wrong_is_said_by_number(standin: StandinServer, changes: dict[str, str], errcode: int) -> None:
    assert (await standin.login(await standin.code(), **changes))["errcode"] == errcode


async def test_high_risk_users_are_blocked(standin: StandinServer) -> None:
    user = await standin.user(nickname="坏人")
    await standin.call("PATCH", f"users/{user['id']}", blocked=True)
    assert (await standin.login(await standin.code(user["id"])))["errcode"] == 40226


async def test_a_hundred_logins_a_minute_for_one_user(standin: StandinServer) -> None:
    code = await standin.code()
    for _ in range(100):
        await standin.login(code)
    assert (await standin.login(code))["errcode"] == 45011
    assert "openid" in await standin.login(await standin.code("chen-maofu"))
    await standin.advance(60)
    assert "openid" in await standin.login(await standin.code())


async def test_a_new_token_and_the_old_one_overlap(standin: StandinServer) -> None:
    session = await standin.login(await standin.code())
    old = (await token(standin))["access_token"]
    new = await token(standin)
    assert new["access_token"] != old
    assert len(new["access_token"]) >= 512
    assert new["expires_in"] == 7200
    assert await check(standin, old, session) == 0
    await standin.advance(301)
    assert await check(standin, old, session) == 42001
    assert await check(standin, new["access_token"], session) == 0
    assert await check(standin, "nonsense", session) == 40001


async def test_the_stable_token_stays_until_its_last_five_minutes(standin: StandinServer) -> None:
    first = await stable(standin)
    await standin.advance(1000)
    second = await stable(standin)
    assert second["access_token"] == first["access_token"]
    assert 6190 <= second["expires_in"] <= 6200
    await standin.advance(5950)
    third = await stable(standin)
    assert third["access_token"] != first["access_token"]
    session = await standin.login(await standin.code())
    assert await check(standin, first["access_token"], session) == 0
    await token(standin)
    assert await check(standin, third["access_token"], session) == 0  # the two kinds are isolated


async def test_two_forced_refreshes_kill_a_leaked_token(standin: StandinServer) -> None:
    session = await standin.login(await standin.code())
    leaked = (await stable(standin))["access_token"]
    await stable(standin, force_refresh=True)
    assert await check(standin, leaked, session) == 0
    await standin.advance(31)
    await stable(standin, force_refresh=True)
    assert await check(standin, leaked, session) == 40001


async def test_forced_refreshes_are_rationed(standin: StandinServer) -> None:
    first = (await stable(standin, force_refresh=True))["access_token"]
    assert (await stable(standin, force_refresh=True))["access_token"] == first  # within 30 s: no refresh
    for _ in range(19):
        await standin.advance(31)
        await stable(standin, force_refresh=True)
    await standin.advance(31)
    assert (await stable(standin, force_refresh=True))["errcode"] == 45009


async def test_session_keys_are_checked(standin: StandinServer) -> None:
    access = (await stable(standin))["access_token"]
    session = await standin.login(await standin.code())
    assert await check(standin, access, session) == 0
    await standin.code(new_session_key=False)
    assert await check(standin, access, session) == 0
    await standin.code()
    assert await check(standin, access, session) == 87009


async def test_wrong_method_and_broken_bodies(standin: StandinServer) -> None:
    async with standin.http.get(f"{standin.url}/{STABLE}") as response:
        assert (await response.json())["errcode"] == 43002
    async with standin.http.post(f"{standin.url}/{STABLE}", data=b"{") as response:
        assert (await response.json())["errcode"] == 47001
    async with standin.http.post(f"{standin.url}/{STABLE}", data=b"") as response:
        assert (await response.json())["errcode"] == 44002


async def test_forced_errors_are_counted_down_and_counted(standin: StandinServer) -> None:
    await standin.fault(LOGIN, "errcode", errcode=45009, times=2)
    code = await standin.code()
    errcodes = [(await standin.login(code)).get("errcode") for _ in range(3)]
    assert errcodes == [45009, 45009, None]
    stats = await standin.stats()
    assert stats["calls"][LOGIN] == 3
    assert stats["faults"][LOGIN] == 2
    assert stats["errcodes"][LOGIN] == {"0": 1}


async def test_a_cut_answer_has_done_its_work(standin: StandinServer) -> None:
    await standin.fault(LOGIN, "cut")
    code = await standin.code()
    with pytest.raises(aiohttp.ClientError):
        await standin.login(code)
    assert (await standin.login(code))["errcode"] == 40163


async def test_wrong_control_requests_are_refused(standin: StandinServer) -> None:
    for path, body in (
        ("users", {"age": "old"}),
        ("users", {"id": "../etc"}),
        ("faults", {"endpoint": "nowhere"}),
        ("faults", {"endpoint": LOGIN, "kind": "earthquake"}),
        ("clock", {"advance_seconds": -1}),
    ):
        async with standin.http.post(f"{standin.url}/standin/{path}", json=body) as response:
            assert response.status == 400
            assert "error" in await response.json()
    async with standin.http.get(f"{standin.url}/standin/users/nobody") as response:
        assert response.status == 404
