"""Whether the process lives (`/healthz`), may be given work (`/readyz`), and its numbers (`/metrics`)."""

from __future__ import annotations

import asyncio
import ipaddress

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST
from redis.exceptions import RedisError

from backend import keys
from backend.domain.errors import Unavailable
from backend.rest.context import DRAINING
from backend.rest.exposition import EXPOSITION, merged
from backend.rest.siblings import SIBLINGS
from backend.version import VERSION

Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]

#: From where `/metrics` may be read.
METRICS_FROM = web.AppKey("metrics_from", Networks)
#: By which a proxy tells that it hands on what somebody else asked.
_HANDED_ON = ("X-Forwarded-For", "X-Real-IP", "Forwarded", "Via")


def mount(app: web.Application, metrics_from: Networks) -> None:
    """`metrics_from` are the networks of those who may read the numbers."""
    app[METRICS_FROM] = metrics_from
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


async def _metrics(request: web.Request) -> web.Response:
    """The numbers of all processes that share the port. Whoever may not have them finds nothing here."""
    if not _may_read_metrics(request):
        raise web.HTTPNotFound
    siblings = request.app.get(SIBLINGS)
    exposition = request.app[EXPOSITION]
    found = await siblings.collect() if siblings is not None else {exposition.process: exposition.collect()}
    body = await asyncio.to_thread(merged, found)  # some milliseconds, which nobody else need wait for
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _may_read_metrics(request: web.Request) -> bool:
    """Whether this comes from our own network, and from nobody behind a proxy."""
    if any(name in request.headers for name in _HANDED_ON):
        return False
    try:
        address = ipaddress.ip_address(request.remote or "")
    except ValueError:
        return False
    if address.version == 6 and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in request.app[METRICS_FROM])
