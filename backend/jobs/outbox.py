"""The relay: takes recorded events to those who are to know of them, at least once each.

Consumers are idempotent (what they write has ids derived from the event's), so a relay that died in the
middle is simply repeated by another. Any number of nodes may run one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import structlog

from backend.domain.events import Event
from backend.jobs.loop import repeat
from backend.ports import Clock
from backend.storage.events import Claimed, EventStore

log = structlog.get_logger()


class Consumer(Protocol):
    """Somebody who is told of events. `name` is stable: it is kept with what was consumed."""

    @property
    def name(self) -> str: ...

    async def consume(self, event: Event) -> None: ...


class Outbox:
    """Relays events to `consumers`; `pause` seconds lie between looks when there is nothing to do."""

    def __init__(self, *, events: EventStore, consumers: Sequence[Consumer], clock: Clock, pause: float = 0.5) -> None:
        self._events = events
        self._consumers = consumers
        self._clock = clock
        self._pause = pause

    async def run(self) -> None:
        """Relay until cancelled. A database that is away is waited for."""
        await repeat("outbox", self.drain, pause=self._pause)

    async def drain(self, limit: int = 1000) -> int:
        """Relay what is due now, `limit` events at most; how many were taken up."""
        for count in range(limit):
            claimed = await self._events.claim(self._clock.now())
            if claimed is None:
                return count
            await self._relay(claimed)
        return limit

    async def _relay(self, claimed: Claimed) -> None:
        event, failed = claimed.event, False
        for consumer in self._consumers:
            if consumer.name in claimed.done:
                continue
            try:
                await consumer.consume(event)
            except Exception:
                log.exception("event_not_consumed", event_id=event.id, kind=event.kind, consumer=consumer.name)
                failed = True
            else:
                await self._events.consumed(event.id, consumer.name)
        if failed:
            await self._events.postpone(claimed, self._clock.now())
        else:
            await self._events.relayed(event.id)
