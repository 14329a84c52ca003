"""Composition of the stand-in: WeChat's addresses, the control API, one memory."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from backend.wechat_standin import phone
from backend.wechat_standin.asking import refusals
from backend.wechat_standin.control import Control
from backend.wechat_standin.endpoints import endpoints
from backend.wechat_standin.inbox import Inbox
from backend.wechat_standin.phone import MAX_PICTURE
from backend.wechat_standin.state import Standin
from backend.wechat_standin.store import StateFile

DEFAULT_APPID = "wx57a4d14000000001"  # shaped like a real one: wx and 16 hexadecimal digits
DEFAULT_SECRET = "0" * 32  # not a secret: it opens nothing but this imitation


def create_standin_app(
    *,
    appid: str = DEFAULT_APPID,
    secret: str = DEFAULT_SECRET,
    state_file: Path | None = None,
    wall: Callable[[], float] = time.time,
    app_url: str | None = None,
) -> web.Application:
    """The stand-in as an application.

    `state_file` keeps created users across restarts. `wall` is the clock under the movable one, in
    seconds. `app_url` is where the fake phone opens the mini-program (its H5). Raises `StateFileError`
    when the file cannot be read or written.
    """
    standin = Standin(
        appid=appid,
        secret=secret,
        state_file=StateFile(state_file) if state_file else None,
        wall=wall,
    )
    standin.restore()
    stopping = asyncio.Event()
    app = web.Application(middlewares=[_loopback_only, refusals], client_max_size=MAX_PICTURE)
    served = endpoints(standin, stopping)
    for endpoint in served:
        app.router.add_route("*", f"/{endpoint.path}", endpoint.handle)
    app.add_routes(Control(standin, frozenset(endpoint.path for endpoint in served), app_url).routes())
    app.add_routes(Inbox(standin).routes())
    app.add_routes(phone.routes())

    async def release_held_answers(_: web.Application) -> None:
        stopping.set()

    app.on_shutdown.append(release_held_answers)
    return app


@web.middleware
async def _loopback_only(request: web.Request, handler: Any) -> web.StreamResponse:
    """Whoever mounts the application on another address by mistake still serves nobody else."""
    try:
        local = request.remote is not None and ipaddress.ip_address(request.remote).is_loopback
    except ValueError:
        local = False
    if not local:
        raise web.HTTPForbidden(text="loopback only")
    response: web.StreamResponse = await handler(request)
    return response
