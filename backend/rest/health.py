"""Whether the process lives (`/healthz`), may be given work (`/readyz`), and its numbers (`/metrics`)."""

from __future__ import annotations

import asyncio

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from redis.exceptions import RedisError

from backend import keys
from backend.domain.errors import Unavailable
from backend.rest.context import DRAINING
from backend.version import VERSION


def mount(app: web.Application) -> None:
    app[DRAINING] = asyncio.Event()
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/readyz", _readyz)
    app.router.add_get("/metrics", _metrics)


async def _healthz(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok", "version": VERSION})


async def _readyz(request: web.Request) -> web.Response:
    """Ready needs MongoDB; without Redis the product is slower, not away."""
    checks = {"mongodb": "ok", "redis": "ok"}
    try:
        await asyncio.wait_for(request.app[keys.DATABASE].ping(), 3)
    except (TimeoutError, Unavailable):
        checks["mongodb"] = "away"
    try:
        await request.app[keys.REDIS].ping()
    except (RedisError, OSError):
        checks["redis"] = "away"
    draining = request.app[DRAINING].is_set()
    ready = checks["mongodb"] == "ok" and not draining
    return web.json_response(
        {"status": "draining" if draining else "ready" if ready else "not-ready", "checks": checks},
        status=200 if ready else 503,
    )


async def _metrics(_: web.Request) -> web.Response:
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
