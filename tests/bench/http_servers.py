"""Servers for `bench_http`, one process each: `python -m tests.bench.http_servers KIND ARGUMENT`.

`banshi` is the product as `run.py serve` runs it; `bytes` answers what it reads from standard input out of
memory; `find_one` answers one document of MongoDB by its id. Each prints its port.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys

import orjson
import uvloop
from aiohttp import web
from motor.motor_asyncio import AsyncIOMotorClient

from backend.app import create_app
from backend.commands.logs import configure_logging
from backend.composition import open_services
from config.settings import load_settings


async def _banshi() -> None:
    settings = load_settings(log_format="json", rate_per_minute=10_000_000)
    configure_logging(settings, process="bench")
    async with open_services(settings, upgrade=False) as services:
        await services.matters.refresh()
        await _serve(create_app(settings, services))


async def _bytes() -> None:
    body = sys.stdin.buffer.read()

    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_get("/api/matters/{matter_id}", handler)
    await _serve(app)


async def _find_one() -> None:
    settings = load_settings()
    client: AsyncIOMotorClient[dict[str, object]] = AsyncIOMotorClient(settings.mongo_url)
    cases = client[settings.mongo_database]["cases"]

    async def handler(request: web.Request) -> web.Response:
        found = await cases.find_one(
            {"_id": request.match_info["case_id"]}, {"state": 1, "version": 1, "number": 1, "matter_name": 1}
        )
        return web.Response(body=orjson.dumps(found), content_type="application/json")

    app = web.Application()
    app.router.add_get("/api/cases/{case_id}/progress", handler)
    await _serve(app)


async def _serve(app: web.Application) -> None:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    if hasattr(os, "sched_setaffinity") and "BENCH_CORE" in os.environ:
        os.sched_setaffinity(0, {int(os.environ["BENCH_CORE"])})
    uvloop.run({"banshi": _banshi, "bytes": _bytes, "find_one": _find_one}[sys.argv[1]]())
