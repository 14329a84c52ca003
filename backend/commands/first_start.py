"""The first start on an empty database: the district, and accounts with passwords of their own."""

from __future__ import annotations

from typing import Any

from backend.composition import open_services
from config.settings import Settings

ACCOUNTS_FILE = "first-accounts.txt"


async def prepare(settings: Settings) -> dict[str, Any]:
    """Bring the schema up to date. Returns what the greeting says."""
    async with open_services(settings):
        pass
    return {"accounts_file": str(settings.var / ACCOUNTS_FILE)}
