"""How WeChat speaks: business errors are HTTP 200 with errcode and errmsg, content types are odd."""

from __future__ import annotations

import json
import secrets
from typing import Any

from aiohttp import web

TEXT = "text/plain"  # jscode2session answers so; aiohttp's resp.json() refuses it by default
ODD_JSON = "application/json; encoding=utf-8"
JSON = "application/json; charset=UTF-8"

MESSAGES = {
    -1: "system error",
    40001: "invalid credential, access_token is invalid or not latest",
    40002: "invalid grant_type",
    40003: "invalid openid",
    40013: "invalid appid",
    40014: "invalid access_token",
    40029: "invalid code",
    40125: "invalid appsecret",
    40163: "code been used",
    40164: "invalid ip, not in whitelist",
    40226: "code blocked",
    40243: "appsecret is frozen",
    41001: "access_token missing",
    41002: "appid missing",
    41004: "appsecret missing",
    41008: "missing code",
    42001: "access_token expired",
    40037: "invalid template_id",
    43001: "require GET method",
    43002: "require POST method",
    43101: "user refuse to accept the msg",
    43107: "subscribe message capability is banned",
    43108: "concurrent sends to the same user",
    44002: "empty post data",
    45009: "reach max api daily quota limit",
    45011: "api minute-quota reach limit, must slower, retry next minute",
    45168: "message contains sensitive words",
    47001: "data format error",
    47003: "argument invalid!",
    87009: "invalid signature",
}


class BusinessError(Exception):
    """An errcode that an endpoint answers with; `detail` follows the words that belong to the number."""

    def __init__(self, errcode: int, detail: str = "") -> None:
        super().__init__(errcode)
        self.errcode = errcode
        self.detail = detail


def answer(document: dict[str, Any], content_type: str) -> web.Response:
    """HTTP 200 with `document`."""
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    return web.Response(body=body, headers={"Content-Type": content_type})


def error_document(errcode: int, now: float, detail: str = "") -> dict[str, Any]:
    """errcode and errmsg with a `rid`, whose first part is the time in hexadecimal."""
    rid = f"{int(now):08x}-{secrets.token_hex(4)}-{secrets.token_hex(4)}"
    words = f"{MESSAGES.get(errcode, 'error')} {detail}".rstrip()
    return {"errcode": errcode, "errmsg": f"{words}, rid: {rid}"}
