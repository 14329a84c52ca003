"""Logging in with WeChat: the phone's one-time code for the openid behind it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NoReturn

import structlog
from wechatpy.exceptions import WeChatClientException

from backend.domain.accounts import LoginCodeInvalid
from backend.domain.errors import Forbidden, RateLimited, Unavailable
from backend.integrations.wechat.client import RATE_CODES, AsyncWeChatClient, WeChatAway

_CODE_SHAPE = re.compile(r"^[\x21-\x7e]{1,256}$")
_CODE_REFUSED = frozenset({40029, 40163, 41008})
_HIGH_RISK = 40226

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class WeChatSession:
    """Who WeChat says is on the phone. `session_key` is a secret and stays out of every repr."""

    openid: str
    unionid: str | None
    session_key: str = field(repr=False)


class WeChatLogin:
    """`jscode2session`, with its answers in the product's own words."""

    def __init__(self, client: AsyncWeChatClient) -> None:
        self._client = client

    async def code_to_session(self, code: str) -> WeChatSession:
        """Redeem a `wx.login` code, which works once and for five minutes.

        Raises `LoginCodeInvalid` for a wrong, used or old code (the phone calls wx.login again),
        `Forbidden` for a user whom WeChat holds for high-risk, `RateLimited`, and `Unavailable` when
        WeChat is away or refuses our own credentials.
        """
        if not _CODE_SHAPE.match(code):
            raise LoginCodeInvalid(field="code")
        try:
            result = await self._client.wxa.code_to_session(code)
        except WeChatClientException as error:
            _translate(error)
        match result:
            case {"openid": str(openid), "session_key": str(session_key)} if openid and session_key:
                unionid = result.get("unionid")
                return WeChatSession(openid, unionid if isinstance(unionid, str) else None, session_key)
        log.error("wechat_login_without_openid")
        raise Unavailable("微信服务暂时没有响应，请稍后再试。")


def _translate(error: WeChatClientException) -> NoReturn:
    if isinstance(error, WeChatAway):
        raise Unavailable("微信服务暂时没有响应，请稍后再试。") from None
    if error.errcode in _CODE_REFUSED:
        raise LoginCodeInvalid(field="code") from None
    if error.errcode == _HIGH_RISK:
        raise Forbidden("微信判断该账号存在风险，暂时不能登录。") from None
    if error.errcode in RATE_CODES:
        raise RateLimited(retry_after=60) from None
    # -1 (busy) twice, or our own appid or secret is wrong: nothing the user can mend
    log.error("wechat_login_refused", errcode=error.errcode)
    raise Unavailable("微信登录暂时不可用，请稍后再试。") from None
