"""How the control API reads what it is asked and says what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from backend.wechat_standin.people import FakeUser
from backend.wechat_standin.state import Standin
from backend.wechat_standin.store import StateFileError


class Refused(Exception):
    """The control request is wrong; the text says how."""


@web.middleware
async def refusals(request: web.Request, handler: Any) -> web.StreamResponse:
    """Wrong control requests become 400 with a sentence, a full disk 507."""
    try:
        response: web.StreamResponse = await handler(request)
    except Refused as error:
        return answer({"error": str(error)}, status=400)
    except StateFileError as error:
        return answer({"error": str(error)}, status=507)
    return response


def answer(document: dict[str, Any], *, status: int = 200) -> web.Response:
    """`document` as JSON."""
    written = json.dumps(document, ensure_ascii=False)
    return web.Response(text=written, status=status, content_type="application/json")


async def body_of(request: web.Request) -> Mapping[str, Any]:
    """The JSON object that was sent; empty when nothing was. Raises `Refused`."""
    raw = await request.read()
    if not raw:
        return {}
    try:
        document = json.loads(raw)
    except ValueError as error:
        raise Refused("body: not JSON") from error
    if not isinstance(document, dict):
        raise Refused("body: a JSON object is expected")
    return document


def text(asked: Mapping[str, Any], key: str, default: str, limit: int) -> str:
    value = asked.get(key, default)
    if not isinstance(value, str) or len(value) > limit:
        raise Refused(f"{key}: text of at most {limit} characters")
    return value


def number(asked: Mapping[str, Any], key: str, default: float, low: float, high: float) -> float:
    value = asked.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise Refused(f"{key}: a number from {low} to {high}")
    return value


def flag(asked: Mapping[str, Any], key: str, *, default: bool) -> bool:
    value = asked.get(key, default)
    if not isinstance(value, bool):
        raise Refused(f"{key}: true or false")
    return value


def user_of(standin: Standin, request: web.Request) -> FakeUser:
    """Whom the path names. Raises 404."""
    user = standin.user(request.match_info["user_id"])
    if user is None:
        raise web.HTTPNotFound(text='{"error":"no such user"}', content_type="application/json")
    return user
