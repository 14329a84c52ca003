"""Deletes pages and files that no case needs. Any number of nodes may run it at the same time."""

from __future__ import annotations

import structlog

from backend.jobs.loop import repeat
from backend.services.materials import CleanUp, MaterialService

log = structlog.get_logger()

_EVERY_SECONDS = 3600.0
_BATCH = 500


class MaterialCleanup:
    """Once an hour: what was taken out of its slot, never put in, or half written."""

    def __init__(self, materials: MaterialService) -> None:
        self._materials = materials

    async def run(self) -> None:
        """Clean up for ever. What fails is tried again an hour later."""

        async def once() -> int:
            await self.once()
            return 0  # nothing is left to do for an hour

        await repeat("material_cleanup", once, pause=_EVERY_SECONDS)

    async def once(self) -> CleanUp:
        """Delete everything that is spare by now, in batches; returns how much that was."""
        pages = files = broken = 0
        while True:
            done = await self._materials.forget_spare(limit=_BATCH)
            pages, files, broken = pages + done.pages, files + done.files, broken + done.broken
            if done.pages < _BATCH:
                break
        if pages or files or broken:
            log.info("materials_cleaned", pages=pages, files=files, broken=broken)
        return CleanUp(pages, files, broken)
