"""The addresses of api.weixin.qq.com, as far as the product calls them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from backend.wechat_standin import wire
from backend.wechat_standin.faults import Fault
from backend.wechat_standin.state import Standin
from backend.wechat_standin.wire import BusinessError

LOGINS_PER_MINUTE = 100  # per user
TOKENS_PER_DAY = 2_000
STABLE_TOKENS_PER_MINUTE = 10_000
STABLE_TOKENS_PER_DAY = 500_000
_MINUTE = 60
_DAY = 86_400

Work = Callable[[Standin, web.Request], Awaitable[dict[str, Any]]]


class Endpoint:
    """One address: its method, its content type and its work, with faults and counting around it."""

    def __init__(
        self, standin: Standin, stopping: asyncio.Event, path: str, method: str, content_type: str, work: Work
    ) -> None:
        self._standin = standin
        self._stopping = stopping
        self.path = path
        self._method = method
        self._content_type = content_type
        self._work = work

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one call. Business errors are HTTP 200."""
        standin = self._standin
        standin.stats.call(self.path, with_token="access_token" in request.query)
        fault = standin.faults.take(self.path)
        if fault is not None:
            standin.stats.fault(self.path)
            early = await self._instead(fault)
            if early is not None:
                return early
        response = await self._true_answer(request)
        if fault is None or fault.kind == "slow":
            return response
        return await self._damaged(fault, request, response)

    async def _true_answer(self, request: web.Request) -> web.Response:
        try:
            if request.method != self._method:
                raise BusinessError(43002 if self._method == "POST" else 43001)
            document = await self._work(self._standin, request)
        except BusinessError as error:
            self._standin.stats.answered(self.path, error.errcode)
            document = wire.error_document(error.errcode, self._standin.now(), error.detail)
        else:
            self._standin.stats.answered(self.path, 0)
        return wire.answer(document, self._content_type)

    async def _instead(self, fault: Fault) -> web.Response | None:
        """The faults that keep the work from being done; None for those that come after it."""
        if fault.kind == "errcode":
            document = wire.error_document(fault.errcode, self._standin.now())
            return wire.answer(document, self._content_type)
        if fault.kind == "status":
            page = f"<html><head><title>{fault.status}</title></head><body>nginx</body></html>"
            return web.Response(status=fault.status, text=page, content_type="text/html")
        if fault.kind in ("timeout", "slow"):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), fault.seconds)
            if fault.kind == "timeout":
                return web.Response(status=504, text="", content_type="text/html")
        return None

    async def _damaged(self, fault: Fault, request: web.Request, response: web.Response) -> web.StreamResponse:
        assert isinstance(response.body, bytes)
        half = response.body[: len(response.body) // 2]
        if fault.kind == "truncated":
            return web.Response(body=half, headers={"Content-Type": self._content_type})
        cut = web.StreamResponse(headers={"Content-Type": self._content_type})
        cut.content_length = len(response.body)
        await cut.prepare(request)
        await cut.write(half)
        if request.transport is not None:
            request.transport.abort()
        return cut


def endpoints(standin: Standin, stopping: asyncio.Event) -> list[Endpoint]:
    """All of them. `stopping` ends answers that are being held back."""
    return [
        Endpoint(standin, stopping, path, method, content_type, work)
        for path, method, content_type, work in (
            ("sns/jscode2session", "GET", wire.TEXT, _jscode2session),
            ("cgi-bin/token", "GET", wire.ODD_JSON, _token),
            ("cgi-bin/stable_token", "POST", wire.JSON, _stable_token),
            ("wxa/checksession", "GET", wire.ODD_JSON, _checksession),
            ("cgi-bin/message/subscribe/send", "POST", wire.JSON, _subscribe_send),
        )
    ]


def _same(left: str, right: str) -> bool:
    return secrets.compare_digest(left.encode(), right.encode())


def _check_credentials(standin: Standin, appid: object, secret: object) -> None:
    if not appid:
        raise BusinessError(41002)
    if not secret:
        raise BusinessError(41004)
    if not isinstance(appid, str) or not _same(appid, standin.appid):
        raise BusinessError(40013)
    if not isinstance(secret, str) or not _same(secret, standin.secret):
        raise BusinessError(40125)


def _check_token(standin: Standin, request: web.Request) -> None:
    value = request.query.get("access_token", "")
    if not value:
        raise BusinessError(41001)
    verdicts = {book.judge(value, standin.now()) for book in (standin.plain_tokens, standin.stable_tokens)}
    if "valid" in verdicts:
        return
    raise BusinessError(42001 if "expired" in verdicts else 40001)


async def _jscode2session(standin: Standin, request: web.Request) -> dict[str, Any]:
    query = request.query
    _check_credentials(standin, query.get("appid"), query.get("secret"))
    if query.get("grant_type") != "authorization_code":
        raise BusinessError(40002)
    code = query.get("js_code")
    if not code:
        raise BusinessError(41008)
    entry = standin.code(code)
    if entry is None:
        raise BusinessError(40029)
    user = standin.user(entry.user_id)
    if user is None:
        raise BusinessError(40029)
    if not standin.count(f"login:{user.openid}", seconds=_MINUTE, limit=LOGINS_PER_MINUTE):
        raise BusinessError(45011)
    if entry.used:
        raise BusinessError(40163)
    if standin.now() >= entry.expires_at:
        raise BusinessError(40029)
    if user.blocked:
        raise BusinessError(40226)
    entry.used = True
    document = {"session_key": standin.session_key(user.openid), "openid": user.openid}
    if user.unionid is not None:
        document["unionid"] = user.unionid
    return document  # WeChat leaves errcode out when all is well


async def _token(standin: Standin, request: web.Request) -> dict[str, Any]:
    query = request.query
    if query.get("grant_type") != "client_credential":
        raise BusinessError(40002)
    _check_credentials(standin, query.get("appid"), query.get("secret"))
    if not standin.count("token", seconds=_DAY, limit=TOKENS_PER_DAY):
        raise BusinessError(45009)
    token, expires_in = standin.plain_tokens.renew(standin.now())
    return {"access_token": token, "expires_in": expires_in}


async def _json_of(request: web.Request) -> dict[str, Any]:
    # wechatpy sends JSON without a Content-Type, and so may anybody: only the bytes count
    body = await request.read()
    if not body:
        raise BusinessError(44002)
    try:
        asked = json.loads(body)
    except ValueError as error:
        raise BusinessError(47001) from error
    if not isinstance(asked, dict):
        raise BusinessError(47001)
    return asked


async def _stable_token(standin: Standin, request: web.Request) -> dict[str, Any]:
    asked = await _json_of(request)
    if asked.get("grant_type") != "client_credential":
        raise BusinessError(40002)
    _check_credentials(standin, asked.get("appid"), asked.get("secret"))
    if not standin.count("stable_token", seconds=_MINUTE, limit=STABLE_TOKENS_PER_MINUTE):
        raise BusinessError(45011)
    if not standin.count("stable_token", seconds=_DAY, limit=STABLE_TOKENS_PER_DAY):
        raise BusinessError(45009)
    if asked.get("force_refresh") is True:
        given = standin.stable_tokens.forced(standin.now())
        if given is None:
            raise BusinessError(45009)
    else:
        given = standin.stable_tokens.stable(standin.now())
    return {"access_token": given[0], "expires_in": given[1]}


async def _checksession(standin: Standin, request: web.Request) -> dict[str, Any]:
    _check_token(standin, request)
    query = request.query
    user = standin.user_by_openid(query.get("openid", ""))
    if user is None:
        raise BusinessError(40003)
    if query.get("sig_method") != "hmac_sha256":
        raise BusinessError(87009)
    if not standin.session_holds(user.openid, query.get("signature", "")):
        raise BusinessError(87009)
    return {"errcode": 0, "errmsg": "ok"}


async def _subscribe_send(standin: Standin, request: web.Request) -> dict[str, Any]:
    _check_token(standin, request)
    asked = await _json_of(request)
    user = standin.user_by_openid(str(asked.get("touser", "")))
    if user is None:
        raise BusinessError(40003)
    number = standin.subscriptions.send(user.openid, asked, standin.now())
    return {"errcode": 0, "errmsg": "ok", "msgid": number}
