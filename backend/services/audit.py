"""Who changed what in the organisation: every change and its event in one transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from backend.domain.access import Actor
from backend.domain.events import Event, record
from backend.ports import Clock
from backend.storage.database import Database, Session, retry_transient
from backend.storage.documents import utc
from backend.storage.events import EventStore

Write = Callable[[Session], Awaitable[object]]


class Audit:
    """Saves together with the record of it. The events are announced to nobody.

    What a first start or an import brought in has no event of its own; its first change has the
    sequence number of the version it made.
    """

    def __init__(self, *, database: Database, events: EventStore, clock: Clock) -> None:
        self._database = database
        self._events = events
        self._clock = clock

    async def save(
        self,
        actor: Actor,
        aggregate: str,
        item_id: str,
        kind: str,
        *,
        version: int,
        write: Write,
        changes: Mapping[str, Any] | None = None,
    ) -> None:
        """Run `write` and record that `actor` brought the item to `version`. Raises what `write` raises."""

        async def work() -> None:
            async with self._database.transaction() as session:
                await write(session)
                await self.note(actor, aggregate, item_id, kind, version=version, changes=changes, session=session)

        await retry_transient(work)

    async def latest(self, aggregate: str, item_id: str, *, limit: int) -> list[Event]:
        """The last changes of one item, the newest first."""
        return await self._events.latest(aggregate, item_id, limit=limit)

    async def note(
        self,
        actor: Actor,
        aggregate: str,
        item_id: str,
        kind: str,
        *,
        version: int,
        session: Session,
        changes: Mapping[str, Any] | None = None,
    ) -> None:
        """Record one more change within a transaction that is under way."""
        event = record(aggregate, item_id, version, kind, at=utc(self._clock.now()), by=actor, changes=changes)
        await self._events.append(event, session=session, announce=False)
