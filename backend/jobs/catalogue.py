"""What the worker does for the catalogue: versions come into force and end on their days, imports are done.

Any number of nodes may run these at the same time.
"""

from __future__ import annotations

from backend.jobs.loop import repeat
from backend.services.catalogue_editing import CatalogueEditing
from backend.services.import_work import ImportWork

_TIDY_EVERY_SECONDS = 600.0


class CatalogueDays:
    """Puts in force what waits for a day that has begun, and ends what had its last day; `pause` seconds lie
    between looks. What was missed while nothing ran is made up for at the first look."""

    def __init__(self, editing: CatalogueEditing, *, pause: float = 2.0) -> None:
        self._editing = editing
        self._pause = pause

    async def run(self) -> None:
        """Look until cancelled. A database that is away is waited for."""
        await repeat("catalogue_days", self._editing.put_due_in_force, pause=self._pause)


class CatalogueImportJob:
    """Does imports one after the other; `pause` seconds lie between looks when there is none."""

    def __init__(self, work: ImportWork, *, pause: float = 1.0) -> None:
        self._work = work
        self._pause = pause

    async def run(self) -> None:
        """Work until cancelled; what was cut off is taken up again when its lease is over."""
        await repeat("catalogue_imports", self._work.once, pause=self._pause)

    async def tidy(self) -> None:
        """Delete the files of imports that have ended, every ten minutes until cancelled."""

        async def once() -> int:
            await self._work.tidy()
            return 0  # nothing is left to do until the next look

        await repeat("catalogue_import_files", once, pause=_TIDY_EVERY_SECONDS)
