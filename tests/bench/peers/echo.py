"""A peer of `bench_chat`: bare python-socketio with uvloop and orjson, `python -m tests.bench.peers.echo`.

Sockets join by twos under the name of their pair; `msg:send` goes to the other one and is acknowledged.
Nothing is stored, checked, ordered or told to other processes. Prints its port.
"""

from __future__ import annotations

import asyncio
import gc
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

import socketio
import uvloop
from aiohttp import web

from chat.sockets import Json

Store = Callable[[dict[str, Any]], Awaitable[None]]


async def main() -> None:
    await serve(echo())


def echo(store: Store | None = None) -> socketio.AsyncServer:
    """The server; `store` is waited for before a message is forwarded."""
    server = socketio.AsyncServer(async_mode="aiohttp", transports=["websocket"], json=Json)
    pairs: defaultdict[str, list[str]] = defaultdict(list)
    partner: dict[str, str] = {}

    async def connect(sid: str, _: Any, auth: dict[str, str]) -> None:
        pair = pairs[auth["pair"]]
        pair.append(sid)
        if len(pair) == 2:
            partner[pair[0]], partner[pair[1]] = pair[1], pair[0]

    async def send(sid: str, data: dict[str, Any]) -> dict[str, Any]:
        if store is not None:
            await store(data)
        await server.emit("op", data, to=partner[sid])
        return {"ok": True}

    server.on("connect", connect)
    server.on("msg:send", send)
    return server


async def serve(server: socketio.AsyncServer) -> None:
    """Serve on a free port and print it; the garbage collector as ours has it."""
    app = web.Application()
    server.attach(app)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
