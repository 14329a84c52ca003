"""The `events` collection: timeline, audit trail and outbox of every aggregate but consultations.

An event is unique by (aggregate, aggregate_id, sequence): of two writers who read the same version, one
fails. What is to be announced stands there with `relayed: false` until every consumer has had it; it is
claimed by one atomic update with a lease, so any number of nodes may relay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pymongo import ASCENDING, DESCENDING, ReturnDocument
from pymongo.errors import DuplicateKeyError

from backend.domain.errors import EditConflict
from backend.domain.events import Event
from backend.storage.database import Database, Document, IndexDeclaration, Session
from backend.storage.documents import from_document, to_value

INDEXES: list[IndexDeclaration] = [
    (
        "events",
        [("aggregate", 1), ("aggregate_id", 1), ("sequence", 1)],
        {"unique": True, "name": "sequence"},
    ),
    (
        "events",
        [("aggregate_id", 1), ("request_id", 1)],
        {
            "unique": True,
            "name": "action",
            "partialFilterExpression": {"request_id": {"$exists": True}},
        },
    ),
    (
        "events",
        [("next_at", 1)],
        {"name": "outbox", "partialFilterExpression": {"relayed": False}},
    ),
]

_LEASE = timedelta(seconds=30)
_LONGEST_PAUSE = 3600.0


@dataclass(frozen=True, slots=True)
class Claimed:
    """An event to be announced; `done` names the consumers that have had it."""

    event: Event
    done: frozenset[str]
    attempts: int


class EventStore:
    """Appends, reads and hands out events. `changes` are kept as their owner encoded them."""

    def __init__(self, database: Database) -> None:
        self._events = database["events"]

    async def append(
        self,
        event: Event,
        *,
        session: Session | None = None,
        changes: Mapping[str, Any] | None = None,
        announce: bool = True,
    ) -> None:
        """Write an event. With `announce=False` it is recorded, and nobody is told.

        Raises `EditConflict` when the place in the sequence is taken, or the request was recorded before.
        """
        document: Document = {
            "_id": event.id,
            "aggregate": event.aggregate,
            "aggregate_id": event.aggregate_id,
            "sequence": event.sequence,
            "kind": event.kind,
            "at": event.at,
            "actor_kind": event.actor_kind,
            "actor_id": event.actor_id,
            "data": to_value(event.data),
            "changes": dict(changes) if changes is not None else to_value(event.changes),
            "text": event.text,
            "relayed": not announce,
        }
        if event.request_id is not None:
            document["request_id"] = event.request_id
        if announce:
            document |= {"next_at": event.at, "done": [], "attempts": 0}
        try:
            await self._events.insert_one(document, session=session)
        except DuplicateKeyError as error:
            raise EditConflict from error

    async def of(self, aggregate: str, aggregate_id: str, *, shown: bool = False) -> list[Event]:
        """All events of one aggregate in order; with `shown`, those the citizen sees."""
        query: Document = {"aggregate": aggregate, "aggregate_id": aggregate_id}
        if shown:
            query["text"] = {"$ne": ""}
        cursor = self._events.find(query).sort("sequence", ASCENDING)
        return [from_document(Event, document) async for document in cursor]

    async def latest(self, aggregate: str, aggregate_id: str, *, limit: int) -> list[Event]:
        """The last `limit` events of one aggregate, the newest first."""
        query = {"aggregate": aggregate, "aggregate_id": aggregate_id}
        cursor = self._events.find(query).sort("sequence", DESCENDING).limit(limit)
        return [from_document(Event, document) async for document in cursor]

    async def by_request(self, aggregate_id: str, request_id: str) -> Event | None:
        """The event that an earlier try of the same client action left."""
        found = await self._events.find_one({"aggregate_id": aggregate_id, "request_id": request_id})
        return from_document(Event, found) if found else None

    async def claim(self, now: datetime) -> Claimed | None:
        """The next event to announce, leased for thirty seconds; None when there is none."""
        found = await self._events.find_one_and_update(
            {"relayed": False, "next_at": {"$lte": now}},
            {"$set": {"next_at": now + _LEASE}, "$inc": {"attempts": 1}},
            sort=[("next_at", ASCENDING)],
            return_document=ReturnDocument.AFTER,
        )
        if found is None:
            return None
        return Claimed(from_document(Event, found), frozenset(found["done"]), int(found["attempts"]))

    async def consumed(self, event_id: str, consumer: str) -> None:
        """One consumer has had the event."""
        await self._events.update_one({"_id": event_id}, {"$addToSet": {"done": consumer}})

    async def relayed(self, event_id: str) -> None:
        """Everybody has had it."""
        await self._events.update_one(
            {"_id": event_id}, {"$set": {"relayed": True}, "$unset": {"next_at": "", "done": ""}}
        )

    async def postpone(self, claimed: Claimed, now: datetime) -> None:
        """Try again later: after 2, 4, 8 … seconds, an hour at most."""
        pause = timedelta(seconds=min(2.0 ** min(claimed.attempts, 16), _LONGEST_PAUSE))
        await self._events.update_one({"_id": claimed.event.id, "relayed": False}, {"$set": {"next_at": now + pause}})

    async def waiting(self) -> int:
        """How many events are still to be announced."""
        return int(await self._events.count_documents({"relayed": False}))
