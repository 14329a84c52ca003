"""`/api/openapi.json` and a page to browse it, with nothing loaded from elsewhere."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'"
)

_PAGE = """<!doctype html>
<html lang="zh-CN"><head><meta charset="utf-8"><title>办事 接口文档</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="assets/swagger-ui.css"></head>
<body><div id="swagger-ui"></div>
<script src="assets/swagger-ui-bundle.js"></script><script src="start.js"></script></body></html>
"""

_START = """SwaggerUIBundle({url: "../openapi.json", dom_id: "#swagger-ui", deepLinking: true, docExpansion: "none"});
"""

_ASSETS = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}


def mount(app: web.Application, make_document: Callable[[], dict[str, Any]]) -> None:
    """Serve the document and its page under the API application.

    The document is made when it is first asked for: most starts of a process are not for it.
    """
    spec = importlib.util.find_spec("swagger_ui")  # its files alone are used, none of its code
    if spec is None or spec.origin is None:
        raise RuntimeError("swagger-ui-py is not installed")
    folder = Path(spec.origin).parent / "static"

    @cache
    def made() -> tuple[bytes, str]:
        body = orjson.dumps(make_document())
        return body, f'"{hashlib.sha256(body).hexdigest()[:32]}"'

    async def openapi(request: web.Request) -> web.Response:
        body, etag = made()
        if request.headers.get("If-None-Match") == etag:
            return web.Response(status=304, headers={"ETag": etag})
        return web.Response(body=body, content_type="application/json", headers={"ETag": etag})

    async def moved(_: web.Request) -> web.Response:
        raise web.HTTPFound("docs/")

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=_PAGE, content_type="text/html", headers={"Content-Security-Policy": _POLICY})

    async def start(_: web.Request) -> web.Response:
        return web.Response(text=_START, content_type="text/javascript")

    async def asset(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in _ASSETS:
            raise web.HTTPNotFound
        return web.FileResponse(folder / name, headers={"Cache-Control": "public, max-age=86400"})

    app.router.add_get("/openapi.json", openapi)
    app.router.add_get("/docs", moved)
    app.router.add_get("/docs/", page)
    app.router.add_get("/docs/start.js", start)
    app.router.add_get("/docs/assets/{name}", asset)
