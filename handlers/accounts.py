"""Citizens' logins, and everybody's devices."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import Field, StringConstraints

from backend import keys
from backend.domain.access import Actor
from backend.domain.accounts import NAME_LIMIT, LoginCodeInvalid
from backend.domain.errors import Forbidden, Unauthenticated
from backend.rest.authentication import SESSION_COOKIE
from backend.rest.context import client_address
from backend.rest.operations import Reply, Routes
from backend.rest.views import Body, Id, Moment, Page, View
from backend.services.sessions import Tokens

routes = Routes("accounts")

#: What a device calls itself: printable, short.
Device = Annotated[str, StringConstraints(max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")]


class CitizenLoginBody(Body):
    code: Annotated[str, StringConstraints(min_length=1, max_length=256)] = Field(
        description="wx.login 返回的 code，五分钟内有效，只能使用一次"
    )
    device: Device = Field(default="", description="设备名称，显示在“登录设备”中")


class RefreshBody(Body):
    refresh_token: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class CitizenTokensView(View):
    """`access_token` 放在 Authorization: Bearer 中；过期前后用 `refresh_token` 换取新的一对。"""

    session_id: Id
    access_token: str
    access_expires_at: Moment
    refresh_token: str
    session_expires_at: Moment


class CitizenView(View):
    id: Id
    name: str = Field(description="市民自己填的称呼；没有填时为空")
    shown_name: str = Field(description="别人看到的称呼：填了的，或“市民”加编号")
    created_at: Moment


class CitizenChange(Body):
    name: Annotated[str, StringConstraints(max_length=NAME_LIMIT)] = Field(
        description="怎么称呼您；为空则恢复为“市民”加编号"
    )


class CitizenLoginView(CitizenTokensView):
    citizen: CitizenView


class SessionView(View):
    id: Id
    device: str
    created_at: Moment
    last_seen_at: Moment
    expires_at: Moment
    current: bool = Field(description="是否为发出本次请求的设备")


def _pair(tokens: Tokens) -> dict[str, object]:
    return {
        "session_id": tokens.session_id,
        "access_token": tokens.access_token,
        "access_expires_at": tokens.access_expires_at,
        "refresh_token": tokens.refresh_token,
        "session_expires_at": tokens.session_expires_at,
    }


async def count_login(request: web.Request) -> None:
    """One login attempt from this address. Raises `RateLimited`."""
    limit = request.config_dict[keys.LOGIN_RATE_PER_MINUTE]
    await request.config_dict[keys.RATE_LIMITER].hit(f"login:{client_address(request)}", limit)


_NO_STORE = {"Cache-Control": "no-store"}


@routes.post("/citizen/login", public=True, errors=[LoginCodeInvalid, Forbidden])
async def citizen_login(request: web.Request, body: CitizenLoginBody) -> Reply[CitizenLoginView]:
    """市民登录：用微信登录凭证换取访问令牌。"""
    await count_login(request)
    login = await request.config_dict[keys.CITIZENS].login(body.code, body.device)
    view = CitizenLoginView.model_validate(
        {**_pair(login.tokens), "citizen": CitizenView.model_validate(login.citizen)}
    )
    return Reply(view, headers=_NO_STORE)


@routes.post("/citizen/refresh", public=True, errors=[Unauthenticated, Forbidden])
async def citizen_refresh(request: web.Request, body: RefreshBody) -> Reply[CitizenTokensView]:
    """刷新登录：一分钟内用同一个刷新令牌重试是安全的，之后再用会退出登录。"""
    await count_login(request)
    tokens = await request.config_dict[keys.SESSION_SERVICE].refresh(body.refresh_token)
    return Reply(CitizenTokensView.model_validate(_pair(tokens)), headers=_NO_STORE)


@routes.get("/citizen/me")
async def citizen_me(request: web.Request, actor: Actor) -> CitizenView:
    """当前登录的市民。"""
    return CitizenView.model_validate(await request.config_dict[keys.CITIZENS].me(actor))


@routes.patch("/citizen/me")
async def change_citizen_me(request: web.Request, body: CitizenChange, actor: Actor) -> CitizenView:
    """告诉我们怎么称呼您：之后的咨询里工作人员会看到。"""
    return CitizenView.model_validate(await request.config_dict[keys.CITIZENS].rename(actor, body.name))


@routes.get("/sessions")
async def list_sessions(request: web.Request, actor: Actor) -> Page[SessionView]:
    """我的登录设备，最近使用的在前（最多二十台，不分页）。"""
    sessions = await request.config_dict[keys.SESSION_SERVICE].devices(actor)
    return Page(
        items=[
            SessionView(
                id=session.id,
                device=session.device,
                created_at=session.created_at,
                last_seen_at=session.last_seen_at,
                expires_at=session.expires_at,
                current=session.id == actor.session_id,
            )
            for session in sessions
        ]
    )


@routes.delete("/sessions/{session_id}")
async def end_session(request: web.Request, session_id: Id, actor: Actor) -> None:
    """退出某一台设备的登录。"""
    await request.config_dict[keys.SESSION_SERVICE].end(actor, session_id)


@routes.post("/sessions/logout", status=204, password_due=True)
async def logout(request: web.Request, actor: Actor) -> Reply[None]:
    """退出当前设备的登录。"""
    await request.config_dict[keys.SESSION_SERVICE].logout(actor)
    return Reply(None, set_cookies=(forget_cookie(),))


@routes.post("/sessions/logout-everywhere", status=204, password_due=True)
async def logout_everywhere(request: web.Request, actor: Actor) -> Reply[None]:
    """退出所有设备的登录。"""
    await request.config_dict[keys.SESSION_SERVICE].end_all(actor.id)
    return Reply(None, set_cookies=(forget_cookie(),))


def forget_cookie() -> tuple[str, str, dict[str, object]]:
    """Takes the session cookie from the browser."""
    return (SESSION_COOKIE, "", {"path": "/", "samesite": "Strict", "httponly": True})
