"""Transactions nobody goes on with, ended so that what they touched is free again.

A process that is killed, or stopped, in the middle of a transaction leaves it open in MongoDB, which keeps for
a minute (`transactionLifetimeLimitSeconds`) whatever it wrote from everybody else: an insert of the same
number of a log waits, and everything behind that insert. So a write that is held up looks for transactions
whose connection is gone, or that nobody has gone on with for seconds, and ends them. Who was only slow is told
that the transaction is over, and runs it again (`retry_transient`).

MongoDB lets every user see and end the sessions of that very user, so this asks for no privilege. What other
applications do there is left alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import structlog
from bson.binary import Binary
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.errors import PyMongoError

log = structlog.get_logger()

#: Seconds a write may take before somebody may be in its way, and between two looks.
PATIENCE = 0.5
#: Seconds without a statement after which a transaction is abandoned: its connection is gone, or it is not.
IDLE_ALONE = 0.25
IDLE = 5.0
_LOOK = 10.0  # seconds for one look
_INACTIVE = "transaction.timeInactiveMicros"


class AbandonedTransactions:
    """Looks for them when a write is held up, at most once in `PATIENCE` seconds."""

    def __init__(self, client: AsyncIOMotorClient[dict[str, Any]], app_name: str) -> None:
        """`app_name` is what the clients are called whose transactions may be ended."""
        self._client = client
        self._app_name = app_name
        self._looked = float("-inf")
        self._looking: asyncio.Task[int] | None = None

    @contextmanager
    def ended_meanwhile(self) -> Iterator[None]:
        """While what is done within takes long, end what may hold it up."""
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle

        def wait() -> None:
            nonlocal timer
            timer = loop.call_later(PATIENCE, late)

        def late() -> None:
            self._look_beside()
            wait()

        wait()
        try:
            yield
        finally:
            timer.cancel()

    async def end(self) -> int:
        """End the abandoned transactions, unless that was just done; how many. Never fails."""
        if time.monotonic() - self._looked < PATIENCE:
            return 0
        self._looked = time.monotonic()
        try:
            async with asyncio.timeout(_LOOK):
                return await self._end()
        except (PyMongoError, TimeoutError) as error:
            log.warning("abandoned_transactions_not_looked_for", error=type(error).__name__)
            return 0

    def _look_beside(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self.end(), name="abandoned-transactions")

    async def _end(self) -> int:
        connections: set[int] = set()
        idle: list[dict[str, Any]] = []
        operations = self._client.admin.aggregate(
            [
                {"$currentOp": {"allUsers": False, "idleConnections": True, "idleSessions": True}},
                {"$match": {"$or": [{"type": {"$ne": "idleSession"}}, {"transaction": {"$exists": True}}]}},
                {
                    "$project": {
                        "type": 1,
                        "connectionId": 1,
                        "appName": 1,
                        "lsid": 1,
                        "transaction.timeInactiveMicros": 1,
                    }
                },
            ]
        )
        async for operation in operations:
            if operation.get("type") == "idleSession":
                if operation.get("appName") == self._app_name:
                    idle.append(operation)
            elif "connectionId" in operation:
                connections.add(operation["connectionId"])
        abandoned = [
            {"id": _binary(found["lsid"]["id"])}
            for found in idle
            if found["transaction"]["timeInactiveMicros"] / 1e6
            > (IDLE if found.get("connectionId") in connections else IDLE_ALONE)
        ]
        if abandoned:
            await self._client.admin.command("killSessions", abandoned)
            log.warning("abandoned_transactions_ended", count=len(abandoned))
        return len(abandoned)


def _binary(lsid: UUID | Binary) -> Binary:
    """As commands take it, whatever the client decodes it to."""
    return Binary.from_uuid(lsid) if isinstance(lsid, UUID) else lsid
