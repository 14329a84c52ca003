"""Our side of WeChat against the stand-in, over HTTP."""

from __future__ import annotations

import asyncio
import time

import pytest
from wechatpy.exceptions import APILimitedException, WeChatClientException

from backend.domain.accounts import LoginCodeInvalid
from backend.domain.errors import DomainError, Forbidden, RateLimited, Unavailable
from backend.integrations.wechat.client import OFFICIAL, AsyncWeChatClient, WeChatAway
from backend.integrations.wechat.login import WeChatLogin
from backend.wechat_standin.app import DEFAULT_APPID, DEFAULT_SECRET
from tests.wechat.conftest import CHECK, LOGIN, STABLE, StandinServer

CHECK_URL = f"{OFFICIAL}/{CHECK}"


@pytest.fixture
def login(wechat: AsyncWeChatClient) -> WeChatLogin:
    return WeChatLogin(wechat)


async def outcome(awaitable: object) -> str:
    """`ok`, or the code of the error."""
    try:
        await awaitable  # type: ignore[misc]
    except WeChatClientException as error:
        return str(error.errcode)
    return "ok"


async def check(client: AsyncWeChatClient, openid: str) -> str:
    """An endpoint that needs a token: 87009 shows that the token was accepted."""
    params = {"openid": openid, "signature": "0", "sig_method": "hmac_sha256"}
    return await outcome(client.get(CHECK_URL, params=params))


async def test_a_code_is_an_openid(standin: StandinServer, login: WeChatLogin) -> None:
    user = await standin.user(name="叶知秋", with_unionid=True)
    session = await login.code_to_session(await standin.code(user["id"]))
    assert (session.openid, session.unionid) == (user["openid"], user["unionid"])
    assert session.session_key not in repr(session)
    plain = await login.code_to_session(await standin.code("lin-guilan"))
    assert plain.unionid is None


async def test_login_needs_no_token(standin: StandinServer, login: WeChatLogin) -> None:
    await login.code_to_session(await standin.code())
    stats = await standin.stats()
    assert stats["calls"] == {LOGIN: 1}
    assert stats["with_token"] == {}


@pytest.mark.parametrize("code", ["", "x" * 300, "有汉字", "a b", "unknown-code"])
async def test_garbage_is_an_invalid_code(login: WeChatLogin, code: str) -> None:
    with pytest.raises(LoginCodeInvalid):
        await login.code_to_session(code)


async def test_a_used_code(standin: StandinServer, login: WeChatLogin) -> None:
    code = await standin.code()
    await login.code_to_session(code)
    with pytest.raises(LoginCodeInvalid):
        await login.code_to_session(code)


async def test_an_expired_code(standin: StandinServer, login: WeChatLogin) -> None:
    code = await standin.code()
    await standin.advance(301)
    with pytest.raises(LoginCodeInvalid):
        await login.code_to_session(code)


async def test_a_high_risk_user(standin: StandinServer, login: WeChatLogin) -> None:
    user = await standin.user()
    await standin.call("PATCH", f"users/{user['id']}", blocked=True)
    with pytest.raises(Forbidden):
        await login.code_to_session(await standin.code(user["id"]))


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "errcode", "errcode": -1, "times": None}, Unavailable),
        ({"kind": "errcode", "errcode": 40001, "times": None}, Unavailable),
        ({"kind": "errcode", "errcode": 40125, "times": None}, Unavailable),
        ({"kind": "errcode", "errcode": 45009}, RateLimited),
        ({"kind": "errcode", "errcode": 45011}, RateLimited),
        ({"kind": "status", "status": 502}, Unavailable),
        ({"kind": "status", "status": 429}, Unavailable),
        ({"kind": "truncated"}, Unavailable),
        ({"kind": "cut"}, Unavailable),
    ],
)
async def test_wechat_in_trouble(
    standin: StandinServer, login: WeChatLogin, fault: dict[str, object], error: type[DomainError]
) -> None:
    await standin.fault(LOGIN, **fault)  # type: ignore[arg-type]
    with pytest.raises(error) as caught:
        await login.code_to_session(await standin.code())
    assert caught.value.__cause__ is None  # a cause would show the address, and with it the secret
    assert await standin.calls(LOGIN) <= 2


async def test_one_busy_answer_is_not_noticed(standin: StandinServer, login: WeChatLogin) -> None:
    await standin.fault(LOGIN, "errcode", errcode=-1)
    assert (await login.code_to_session(await standin.code())).openid
    assert await standin.calls(LOGIN) == 2


async def test_a_silent_wechat_is_given_up(standin: StandinServer) -> None:
    await standin.fault(LOGIN, "timeout", times=None)
    code = await standin.code()
    started = time.monotonic()
    async with AsyncWeChatClient(
        appid=DEFAULT_APPID, secret=DEFAULT_SECRET, base_url=standin.url, timeout=0.2
    ) as client:
        with pytest.raises(Unavailable):
            await WeChatLogin(client).code_to_session(code)
    assert time.monotonic() - started < 2
    assert await standin.calls(LOGIN) == 1


async def test_nobody_at_the_address(unused_tcp_port: int) -> None:
    async with AsyncWeChatClient(
        appid="wx", secret="s", base_url=f"http://127.0.0.1:{unused_tcp_port}", timeout=2
    ) as client:
        with pytest.raises(Unavailable):
            await WeChatLogin(client).code_to_session("code")


async def test_twenty_needs_are_one_token(standin: StandinServer, wechat: AsyncWeChatClient) -> None:
    openid = (await standin.user())["openid"]
    answers = await asyncio.gather(*(check(wechat, openid) for _ in range(20)))
    assert set(answers) == {"87009"}
    assert await standin.calls(STABLE) == 1


async def test_a_token_that_ended_is_replaced(standin: StandinServer, wechat: AsyncWeChatClient) -> None:
    openid = (await standin.user())["openid"]
    await check(wechat, openid)
    await standin.advance(7300)  # faster than the client's own clock
    answers = await asyncio.gather(*(check(wechat, openid) for _ in range(20)))
    assert set(answers) == {"87009"}
    assert await standin.calls(STABLE) == 2


async def test_a_token_refused_for_ever(standin: StandinServer, wechat: AsyncWeChatClient) -> None:
    await wechat.get_access_token()
    await standin.fault(CHECK, "errcode", errcode=40001, times=None)
    assert await check(wechat, "anybody") == "40001"
    assert await standin.calls(CHECK) == 2
    assert await standin.calls(STABLE) == 2


async def test_a_token_refused_once(standin: StandinServer, wechat: AsyncWeChatClient) -> None:
    openid = (await standin.user())["openid"]
    await standin.fault(CHECK, "errcode", errcode=40001)
    assert await check(wechat, openid) == "87009"


async def test_no_token_to_be_had(standin: StandinServer, wechat: AsyncWeChatClient) -> None:
    await standin.fault(STABLE, "errcode", errcode=45009, times=None)
    with pytest.raises(APILimitedException):
        await wechat.get(CHECK_URL)
    await standin.call("DELETE", "faults")
    await standin.fault(STABLE, "truncated")
    with pytest.raises(WeChatAway):
        await wechat.get(CHECK_URL)
    assert await standin.calls(CHECK) == 0


async def test_every_hard_coded_address_is_ours(standin: StandinServer, wechat: AsyncWeChatClient) -> None:
    """Endpoints of wechatpy that carry base URLs of three kinds arrive at the stand-in (as 404s)."""
    calls = (
        wechat.user.get("openid"),  # the client's own base
        wechat.wxa.check_text_security("text"),  # the API class's base
        wechat.customservice.get_session("openid"),  # written into the method
    )
    for call in calls:
        with pytest.raises(WeChatAway, match="HTTP 404"):
            await call


async def test_no_way_to_another_host(wechat: AsyncWeChatClient) -> None:
    with pytest.raises(ValueError, match="outside"):
        await wechat.get("https://api.weixin.qq.com.example.org/x")
    with pytest.raises(TypeError, match="files"):
        await wechat.post("media/upload", files={})


async def test_close_and_use_again(standin: StandinServer) -> None:
    client = AsyncWeChatClient(appid=DEFAULT_APPID, secret=DEFAULT_SECRET, base_url=standin.url)
    await WeChatLogin(client).code_to_session(await standin.code())
    await client.aclose()
    await client.aclose()
    await WeChatLogin(client).code_to_session(await standin.code())
    await client.aclose()
