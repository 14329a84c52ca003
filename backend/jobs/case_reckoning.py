"""The job that lets deadlines of open cases follow the calendar."""

from __future__ import annotations

from typing import Protocol

from backend.jobs.loop import repeat


class Reckoning(Protocol):
    """Reckons what is out of date; how many cases it looked at."""

    async def sweep(self) -> int: ...


class CaseReckoningJob:
    """Looks every `pause` seconds whether the calendar has changed."""

    def __init__(self, reckoning: Reckoning, *, pause: float = 1.0) -> None:
        self._reckoning = reckoning
        self._pause = pause

    async def run(self) -> None:
        """Work until cancelled. A database that is away is waited for."""
        await repeat("case_reckoning", self._reckoning.sweep, pause=self._pause)
