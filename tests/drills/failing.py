"""A database that refuses writes of the log by chance: before they are written, or after."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pymongo import MongoClient

from backend.storage.consultations import OPS
from tests.drills.system import System

#: No driver tries these again by itself: the time was up, and written without knowing that for good.
NOT_WRITTEN = {"errorCode": 50}
WRITTEN = {"writeConcernError": {"code": 64, "errmsg": "waiting timed out"}}


@asynccontextmanager
async def failing(drill: System, how: dict[str, Any], *, part: float) -> AsyncIterator[None]:
    """Meanwhile this part of all inserts into the log fails. The database must take fail points."""
    namespace = f"{drill.settings.mongo_database}.{OPS}"
    data = {"failCommands": ["insert"], "namespace": namespace, **how}

    def point(mode: Any) -> None:
        with MongoClient[dict[str, Any]](drill.settings.mongo_url) as client:
            client.admin.command("configureFailPoint", "failCommand", mode=mode, data=data)

    await asyncio.to_thread(point, {"activationProbability": part})
    try:
        yield
    finally:
        await asyncio.to_thread(point, "off")
