"""The dictionaries are loaded by processes that search, before anybody can ask; other processes do without."""

from __future__ import annotations

import asyncio
import sys

_LOOKS = """
import asyncio, sys
import backend.app, backend.worker
from backend.services.catalogue import Catalogue
from backend.storage.database import Database
from backend.storage.matters import MatterStore

def look():
    print(*sorted({"pypinyin", "rjieba"} & sys.modules.keys()))

async def follow(database):
    look()
    async with Catalogue(MatterStore(database)).following():
        look()
    database.close()

asyncio.run(follow(Database.connect("mongodb://127.0.0.1:1", "nowhere")))
"""


async def test_dictionaries_are_there_when_a_process_serves_and_not_where_nobody_searches() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", _LOOKS, stdout=asyncio.subprocess.PIPE)
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, said.decode().splitlines()) == (0, ["", "pypinyin rjieba"])
