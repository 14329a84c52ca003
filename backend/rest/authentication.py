"""Who is asking: a bearer token, or the session cookie of a page.

A cookie travels by itself, so an unsafe request that leans on it must come from our own origin.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from aiohttp import web

from backend import keys
from backend.domain.access import ANONYMOUS, Actor
from backend.domain.errors import Forbidden, Unauthenticated
from backend.rest.context import PUBLIC_ORIGIN

SESSION_COOKIE = "banshi_session"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class CrossOrigin(Forbidden):
    """A page of another site tried to use the session cookie."""

    code = "cross-origin"
    title = "请求来自其他网站"


def token_of(request: web.Request) -> str | None:
    """The token a request carries, from the Authorization header or else the cookie.

    Raises `Unauthenticated` for an Authorization header that is not a bearer token and `CrossOrigin` for
    an unsafe request with the cookie alone from another origin.
    """
    header = request.headers.get("Authorization")
    if header is not None:
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthenticated("登录凭证格式不正确，请重新登录。")
        return token.strip()
    cookie = request.cookies.get(SESSION_COOKIE)
    if cookie and request.method not in _SAFE:
        _same_origin(request)
    return cookie or None


def _same_origin(request: web.Request) -> None:
    origin = request.headers.get("Origin")
    expected = {request.config_dict.get(PUBLIC_ORIGIN, ""), f"{request.scheme}://{request.host}"}
    if origin is None:
        if request.headers.get("Sec-Fetch-Site") in ("same-origin", "none"):
            return
        raise CrossOrigin("请从本站页面操作。")
    parts = urlsplit(origin)
    if f"{parts.scheme}://{parts.netloc}" not in expected:
        raise CrossOrigin("请从本站页面操作。")


async def authenticate(request: web.Request) -> Actor:
    """The actor of a request, or `ANONYMOUS` when it carries no token.

    Raises `Unauthenticated` when the token is not (or no longer) good.
    """
    token = token_of(request)
    if token is None:
        return ANONYMOUS
    return await request.config_dict[keys.SESSIONS].authenticate(token)
