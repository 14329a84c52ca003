"""Deletes photographs that were uploaded for a consultation and never sent. Any number of nodes may run it."""

from __future__ import annotations

import structlog

from backend.jobs.loop import repeat
from backend.services.consultation_photos import ConsultationPhotoService

log = structlog.get_logger()

_EVERY_SECONDS = 3600.0
_BATCH = 500


class ConsultationPhotoCleanup:
    """Once an hour: what was uploaded a day ago and is in no message."""

    def __init__(self, photos: ConsultationPhotoService) -> None:
        self._photos = photos

    async def run(self) -> None:
        """Clean up for ever. What fails is tried again an hour later."""

        async def once() -> int:
            await self.once()
            return 0  # nothing is left to do for an hour

        await repeat("consultation_photo_cleanup", once, pause=_EVERY_SECONDS)

    async def once(self) -> int:
        """Delete everything that is due, in batches; returns how much that was."""
        deleted = 0
        while True:
            seen, gone = await self._photos.forget_unsent(limit=_BATCH)
            deleted += gone
            if seen < _BATCH:
                break
        if deleted:
            log.info("consultation_photos_cleaned", photos=deleted)
        return deleted
