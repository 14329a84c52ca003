"""The cached states that lists are made of, brought up to date behind the talk.

What changes more than the talk is written together with its operation; talk alone is written once in a
while for each consultation, however much is said in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

import structlog

from backend.domain.consultations import Consultation
from backend.storage.consultations import ConsultationStore

log = structlog.get_logger()

#: How far lists may lag behind the talk, in seconds: at rest, and under load.
REFRESH = 0.3
REFRESH_LOADED = 1.0
#: Consultations talked in within `REFRESH` above which there is load.
LOADED = 20
#: States written together, at least: folding and encoding them holds up everybody else, here and in MongoDB. So
#: under load they are written bit by bit; when there are so many that this takes too long, more at a time.
AT_ONCE, PIECES = 2, 40


class Listed(Protocol):
    """A consultation, and its state whenever it is asked for."""

    id: str

    @property
    def state(self) -> Consultation | None: ...


class LaggingLists:
    """The states that lists do not show yet."""

    def __init__(self, store: ConsultationStore) -> None:
        self._store = store
        self._stale: dict[str, Listed] = {}
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def talked(self, listed: Listed) -> None:
        """Nothing but the talk changed: lists follow within a moment."""
        self._stale[listed.id] = listed
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._follow(), name="save-states")

    def changed(self, consultation_id: str) -> None:
        """A newer state was written with its operation."""
        self._stale.pop(consultation_id, None)

    async def close(self) -> None:
        """Write what is still to be written, without pauses, and as long as that can be done."""
        self._closing.set()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self) -> None:
        """A failure costs nothing: states are folded when they are read, the log is the truth."""
        while self._stale:
            await self._pause(REFRESH)
            stale, self._stale = list(self._stale.values()), {}
            at_once = max(AT_ONCE, -(-len(stale) // PIECES))
            for start in range(0, len(stale), at_once):
                done = await self._save(stale[start : start + at_once])
                if not done and self._closing.is_set():
                    return  # the database is away, and nobody has time to wait for it
                if len(stale) > LOADED:
                    await self._pause((REFRESH_LOADED - REFRESH) * at_once / len(stale))

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()

    async def _save(self, stale: Sequence[Listed]) -> bool:
        """Whether it was done."""
        try:
            await self._store.save_talk([state for listed in stale if (state := listed.state) is not None])
        except Exception as error:  # noqa: BLE001 - the next talk tries again
            # the type alone: the driver's message may hold the documents, and they hold what people said
            log.warning("consultation_states_not_refreshed", count=len(stale), error=type(error).__name__)
            return False
        return True
