"""A peer of `bench_chat`: the recipe of python-socketio's and motor's manuals, `python -m tests.bench.peers.stock`.

Durable, ordered, deduplicated: a counter document per conversation, one insert per message acknowledged by a
journaled majority, a unique (conv, cid), `AsyncRedisManager` between processes. It has uvloop and orjson, so
that the difference is not in them; access checks, replay and gapless numbers it has not. Reads `MONGO_URL`,
`REDIS_URL` and `PEER_DATABASE`; prints its port.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

import socketio
import uvloop
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from chat.sockets import Json
from tests.bench.peers.echo import serve


async def main() -> None:
    name = os.environ["PEER_DATABASE"]
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(
        os.environ["MONGO_URL"], w="majority", journal=True, tz_aware=True
    )
    messages, counters = client[name]["messages"], client[name]["counters"]
    await messages.create_index([("conv", 1), ("cid", 1)], unique=True)
    await messages.create_index([("conv", 1), ("seq", 1)], unique=True)
    manager = socketio.AsyncRedisManager(os.environ["REDIS_URL"], channel=name, json=Json)
    server = socketio.AsyncServer(async_mode="aiohttp", transports=["websocket"], json=Json, client_manager=manager)
    users: dict[str, str] = {}

    async def connect(sid: str, _: Any, auth: dict[str, str]) -> None:
        users[sid] = auth["user"]
        await server.enter_room(sid, auth["pair"])

    async def send(sid: str, data: dict[str, Any]) -> dict[str, Any]:
        conv, cid = data["conv"], data["cid"]
        counted = await counters.find_one_and_update(
            {"_id": conv}, {"$inc": {"seq": 1}}, upsert=True, return_document=ReturnDocument.AFTER
        )
        document = {
            "conv": conv,
            "cid": cid,
            "seq": counted["seq"],
            "from": users[sid],
            "ts": datetime.now(UTC),
            "body": data["body"],
        }
        try:
            await messages.insert_one(document)
        except DuplicateKeyError:
            found = await messages.find_one({"conv": conv, "cid": cid})
            assert found is not None
            return {"ok": True, "id": str(found["_id"]), "seq": found["seq"], "dup": True}
        shown = document | {"_id": str(document["_id"]), "ts": document["ts"].isoformat()}
        await server.emit("op", shown, room=conv)
        return {"ok": True, "id": shown["_id"], "seq": document["seq"], "ts": shown["ts"], "dup": False}

    server.on("connect", connect)
    server.on("msg:send", send)
    await serve(server)


if __name__ == "__main__":
    uvloop.run(main())
