"""The control API under `/standin/`: the hands that hold the fake phones.

It speaks plain JSON and proper HTTP status codes, unlike the part that imitates WeChat.
"""

from __future__ import annotations

import re
from typing import cast

from aiohttp import web

from backend.wechat_standin.asking import Refused, answer, body_of, flag, number, text, user_of
from backend.wechat_standin.faults import KINDS, Fault, FaultKind
from backend.wechat_standin.state import Standin

_USER_ID = re.compile(r"^[a-z0-9][a-z0-9-]{0,63}$")


class Control:
    """Handlers of the control API."""

    def __init__(self, standin: Standin, endpoints: frozenset[str], app_url: str | None) -> None:
        self._standin = standin
        self._endpoints = endpoints
        self._app_url = app_url

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
        return answer(
            {
                "service": "wechat-standin",
                "appid": self._standin.appid,
                "app_url": self._app_url,
                "endpoints": sorted(self._endpoints),
            }
        )

    async def list_users(self, request: web.Request) -> web.Response:
        return answer({"users": [user.to_json() for user in self._standin.users()]})

    async def create_user(self, request: web.Request) -> web.Response:
        """A new phone. All members are optional; an `id` that exists is answered as it is (200)."""
        asked = await body_of(request)
        user_id = text(asked, "id", "", 64)
        if user_id:
            if not _USER_ID.match(user_id):
                raise Refused("id: lower-case letters, digits and hyphens, at most 64")
            known = self._standin.user(user_id)
            if known is not None:
                return answer(known.to_json())
        nickname = text(asked, "nickname", "微信用户", 32)
        user = self._standin.add_user(
            user_id=user_id or None,
            nickname=nickname,
            name=text(asked, "name", nickname, 32),
            phone_number=text(asked, "phone_number", "19900009999", 20),
            age=int(number(asked, "age", 40, 0, 130)),
            with_unionid=flag(asked, "with_unionid", default=False),
        )
        await self._standin.save()
        return answer(user.to_json(), status=201)

    async def show_user(self, request: web.Request) -> web.Response:
        return answer(user_of(self._standin, request).to_json())

    async def change_user(self, request: web.Request) -> web.Response:
        """nickname, name, phone_number, age, blocked."""
        user = user_of(self._standin, request)
        asked = await body_of(request)
        changed = user.changed(
            nickname=text(asked, "nickname", user.nickname, 32),
            name=text(asked, "name", user.name, 32),
            phone_number=text(asked, "phone_number", user.phone_number, 20),
            age=int(number(asked, "age", user.age, 0, 130)),
            blocked=flag(asked, "blocked", default=user.blocked),
        )
        self._standin.put_user(changed)
        await self._standin.save()
        return answer(changed.to_json())

    async def issue_code(self, request: web.Request) -> web.Response:
        """`wx.login` on that phone. `new_session_key` false keeps the present session key."""
        asked = await body_of(request)
        code, entry = self._standin.issue_code(
            user_of(self._standin, request), new_session_key=flag(asked, "new_session_key", default=True)
        )
        return answer({"code": code, "expires_in": int(entry.expires_at - self._standin.now())}, status=201)

    async def show_clock(self, request: web.Request) -> web.Response:
        return answer({"now": self._standin.now(), "offset_seconds": self._standin.offset})

    async def advance_clock(self, request: web.Request) -> web.Response:
        """`advance_seconds` forward; codes, tokens and counters age by it."""
        asked = await body_of(request)
        self._standin.advance(number(asked, "advance_seconds", 0, 0, 10 * 366 * 86400))
        return await self.show_clock(request)

    async def list_faults(self, request: web.Request) -> web.Response:
        return answer({"faults": self._standin.faults.to_json()})

    async def order_fault(self, request: web.Request) -> web.Response:
        """`endpoint` (or `*`), `kind`, `times` (null = for ever), and `errcode`, `status` or `seconds`."""
        asked = await body_of(request)
        endpoint = text(asked, "endpoint", "*", 100).lstrip("/")
        if endpoint != "*" and endpoint not in self._endpoints:
            raise Refused(f"endpoint: one of {', '.join(sorted(self._endpoints))} or *")
        kind = text(asked, "kind", "errcode", 20)
        if kind not in KINDS:
            raise Refused(f"kind: one of {', '.join(sorted(KINDS))}")
        for_ever = "times" in asked and asked["times"] is None
        fault = Fault(
            endpoint=endpoint,
            kind=cast("FaultKind", kind),
            remaining=None if for_ever else int(number(asked, "times", 1, 1, 1_000_000)),
            errcode=int(number(asked, "errcode", -1, -100_000, 10_000_000)),
            status=int(number(asked, "status", 502, 400, 599)),
            seconds=number(asked, "seconds", 120, 0, 3600),
        )
        self._standin.faults.order(fault)
        return answer(fault.to_json(), status=201)

    async def clear_faults(self, request: web.Request) -> web.Response:
        self._standin.faults.clear()
        return web.Response(status=204)

    async def show_stats(self, request: web.Request) -> web.Response:
        return answer(self._standin.stats.to_json())

    async def clear_stats(self, request: web.Request) -> web.Response:
        self._standin.stats.clear()
        return web.Response(status=204)

    async def forget_tokens(self, request: web.Request) -> web.Response:
        """Every access token is invalid at once, as after a reset of the app secret."""
        self._standin.plain_tokens.forget()
        self._standin.stable_tokens.forget()
        return web.Response(status=204)
