"""A peer of `bench_chat`: bare echo that stores each message first, `python -m tests.bench.peers.insert`.

The same process as `peers.echo`, with one plain insert before a message is forwarded and acknowledged, majority and
journaled: no order, no client ids, no indexes, no rights, no other process. What waits for the journal with this
driver on this machine is not quicker than that. Reads `MONGO_URL`; prints its port.
"""

from __future__ import annotations

import os
from typing import Any

import uvloop
from pymongo import AsyncMongoClient

from tests.bench.peers.echo import echo, serve


async def main() -> None:
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(os.environ["MONGO_URL"])
    database = client["peer-insert"]

    async def store(data: dict[str, Any]) -> None:
        await database.command(
            {"insert": "messages", "documents": [dict(data)], "writeConcern": {"w": "majority", "j": True}}
        )

    await serve(echo(store))


if __name__ == "__main__":
    uvloop.run(main())
