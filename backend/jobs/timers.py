"""The sweep: when a timer's moment has passed, what it stands for is done, on whichever node is first."""

from __future__ import annotations

from typing import Protocol

import structlog

from backend.domain.cases import Timer
from backend.jobs.loop import repeat
from backend.ports import Clock
from backend.storage.timers import TimerStore

log = structlog.get_logger()


class Target(Protocol):
    """Who acts on a case's timer. Acting twice does nothing more."""

    async def fire(self, case_id: str, timer: Timer) -> None: ...


class TimerSweep:
    """Sweeps due timers; `pause` seconds lie between looks when there is nothing to do."""

    def __init__(self, *, timers: TimerStore, target: Target, clock: Clock, pause: float = 1.0) -> None:
        self._timers = timers
        self._target = target
        self._clock = clock
        self._pause = pause

    async def run(self) -> None:
        """Sweep until cancelled. A database that is away is waited for."""
        await repeat("timers", self.sweep, pause=self._pause)

    async def sweep(self, limit: int = 1000) -> int:
        """Fire what is due now, `limit` timers at most; how many were taken up. One that fails is tried
        again when its lease is over."""
        for count in range(limit):
            due = await self._timers.claim(self._clock.now())
            if due is None:
                return count
            try:
                await self._target.fire(due.case_id, due.timer)
            except Exception:
                log.exception("timer_failed", case_id=due.case_id, kind=due.timer.kind.value)
            else:
                await self._timers.remove(due.id)
        return limit
