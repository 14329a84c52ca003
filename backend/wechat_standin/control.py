"""The control API under `/standin/`: the hands that hold the fake phones.

It speaks plain JSON and proper HTTP status codes, unlike the part that imitates WeChat.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, cast

from aiohttp import web

from backend.wechat_standin.faults import KINDS, Fault, FaultKind
from backend.wechat_standin.people import FakeUser
from backend.wechat_standin.state import Standin
from backend.wechat_standin.store import StateFileError

_USER_ID = re.compile(r"^[a-z0-9][a-z0-9-]{0,63}$")


class _Refused(Exception):
    """The control request is wrong; the text says how."""


class Control:
    """Handlers of the control API."""

    def __init__(self, standin: Standin, endpoints: frozenset[str]) -> None:
        self._standin = standin
        self._endpoints = endpoints

    def routes(self) -> list[web.RouteDef]:
        """What is served under `/standin`."""
        return [
            web.get("/standin/", self.about),
            web.get("/standin/users", self.list_users),
            web.post("/standin/users", self.create_user),
            web.get("/standin/users/{user_id}", self.show_user),
            web.patch("/standin/users/{user_id}", self.change_user),
            web.post("/standin/users/{user_id}/login-codes", self.issue_code),
            web.get("/standin/clock", self.show_clock),
            web.post("/standin/clock", self.advance_clock),
            web.get("/standin/faults", self.list_faults),
            web.post("/standin/faults", self.order_fault),
            web.delete("/standin/faults", self.clear_faults),
            web.get("/standin/stats", self.show_stats),
            web.delete("/standin/stats", self.clear_stats),
            web.delete("/standin/tokens", self.forget_tokens),
        ]

    async def about(self, request: web.Request) -> web.Response:
        """What this is; answers as soon as the stand-in is ready."""
        return _json(
            {
                "service": "wechat-standin",
                "appid": self._standin.appid,
                "endpoints": sorted(self._endpoints),
            }
        )

    async def list_users(self, request: web.Request) -> web.Response:
        return _json({"users": [user.to_json() for user in self._standin.users()]})

    async def create_user(self, request: web.Request) -> web.Response:
        """A new phone. All members are optional; an `id` that exists is answered as it is (200)."""
        asked = await _body(request)
        user_id = _text(asked, "id", "", 64)
        if user_id:
            if not _USER_ID.match(user_id):
                raise _Refused("id: lower-case letters, digits and hyphens, at most 64")
            known = self._standin.user(user_id)
            if known is not None:
                return _json(known.to_json())
        nickname = _text(asked, "nickname", "微信用户", 32)
        user = self._standin.add_user(
            user_id=user_id or None,
            nickname=nickname,
            name=_text(asked, "name", nickname, 32),
            phone_number=_text(asked, "phone_number", "19900009999", 20),
            age=int(_number(asked, "age", 40, 0, 130)),
            with_unionid=_flag(asked, "with_unionid", default=False),
        )
        await self._standin.save()
        return _json(user.to_json(), status=201)

    async def show_user(self, request: web.Request) -> web.Response:
        return _json(self._user(request).to_json())

    async def change_user(self, request: web.Request) -> web.Response:
        """nickname, name, phone_number, age, blocked."""
        user = self._user(request)
        asked = await _body(request)
        changed = user.changed(
            nickname=_text(asked, "nickname", user.nickname, 32),
            name=_text(asked, "name", user.name, 32),
            phone_number=_text(asked, "phone_number", user.phone_number, 20),
            age=int(_number(asked, "age", user.age, 0, 130)),
            blocked=_flag(asked, "blocked", default=user.blocked),
        )
        self._standin.put_user(changed)
        await self._standin.save()
        return _json(changed.to_json())

    async def issue_code(self, request: web.Request) -> web.Response:
        """`wx.login` on that phone. `new_session_key` false keeps the present session key."""
        asked = await _body(request)
        code, entry = self._standin.issue_code(
            self._user(request), new_session_key=_flag(asked, "new_session_key", default=True)
        )
        return _json({"code": code, "expires_in": int(entry.expires_at - self._standin.now())}, status=201)

    async def show_clock(self, request: web.Request) -> web.Response:
        return _json({"now": self._standin.now(), "offset_seconds": self._standin.offset})

    async def advance_clock(self, request: web.Request) -> web.Response:
        """`advance_seconds` forward; codes, tokens and counters age by it."""
        asked = await _body(request)
        self._standin.advance(_number(asked, "advance_seconds", 0, 0, 10 * 366 * 86400))
        return await self.show_clock(request)

    async def list_faults(self, request: web.Request) -> web.Response:
        return _json({"faults": self._standin.faults.to_json()})

    async def order_fault(self, request: web.Request) -> web.Response:
        """`endpoint` (or `*`), `kind`, `times` (null = for ever), and `errcode`, `status` or `seconds`."""
        asked = await _body(request)
        endpoint = _text(asked, "endpoint", "*", 100).lstrip("/")
        if endpoint != "*" and endpoint not in self._endpoints:
            raise _Refused(f"endpoint: one of {', '.join(sorted(self._endpoints))} or *")
        kind = _text(asked, "kind", "errcode", 20)
        if kind not in KINDS:
            raise _Refused(f"kind: one of {', '.join(sorted(KINDS))}")
        for_ever = "times" in asked and asked["times"] is None
        fault = Fault(
            endpoint=endpoint,
            kind=cast("FaultKind", kind),
            remaining=None if for_ever else int(_number(asked, "times", 1, 1, 1_000_000)),
            errcode=int(_number(asked, "errcode", -1, -100_000, 10_000_000)),
            status=int(_number(asked, "status", 502, 400, 599)),
            seconds=_number(asked, "seconds", 120, 0, 3600),
        )
        self._standin.faults.order(fault)
        return _json(fault.to_json(), status=201)

    async def clear_faults(self, request: web.Request) -> web.Response:
        self._standin.faults.clear()
        return web.Response(status=204)

    async def show_stats(self, request: web.Request) -> web.Response:
        return _json(self._standin.stats.to_json())

    async def clear_stats(self, request: web.Request) -> web.Response:
        self._standin.stats.clear()
        return web.Response(status=204)

    async def forget_tokens(self, request: web.Request) -> web.Response:
        """Every access token is invalid at once, as after a reset of the app secret."""
        self._standin.plain_tokens.forget()
        self._standin.stable_tokens.forget()
        return web.Response(status=204)

    def _user(self, request: web.Request) -> FakeUser:
        user = self._standin.user(request.match_info["user_id"])
        if user is None:
            raise web.HTTPNotFound(text='{"error":"no such user"}', content_type="application/json")
        return user


@web.middleware
async def refusals(request: web.Request, handler: Any) -> web.StreamResponse:
    """Wrong control requests become 400 with a sentence, a full disk 507."""
    try:
        response: web.StreamResponse = await handler(request)
    except _Refused as error:
        return _json({"error": str(error)}, status=400)
    except StateFileError as error:
        return _json({"error": str(error)}, status=507)
    return response


def _json(document: dict[str, Any], *, status: int = 200) -> web.Response:
    text = json.dumps(document, ensure_ascii=False)
    return web.Response(text=text, status=status, content_type="application/json")


async def _body(request: web.Request) -> Mapping[str, Any]:
    raw = await request.read()
    if not raw:
        return {}
    try:
        document = json.loads(raw)
    except ValueError as error:
        raise _Refused("body: not JSON") from error
    if not isinstance(document, dict):
        raise _Refused("body: a JSON object is expected")
    return document


def _text(asked: Mapping[str, Any], key: str, default: str, limit: int) -> str:
    value = asked.get(key, default)
    if not isinstance(value, str) or len(value) > limit:
        raise _Refused(f"{key}: text of at most {limit} characters")
    return value


def _number(asked: Mapping[str, Any], key: str, default: float, low: float, high: float) -> float:
    value = asked.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise _Refused(f"{key}: a number from {low} to {high}")
    return value


def _flag(asked: Mapping[str, Any], key: str, *, default: bool) -> bool:
    value = asked.get(key, default)
    if not isinstance(value, bool):
        raise _Refused(f"{key}: true or false")
    return value
