"""Tickets for opening a socket: kept hashed, used once, gone after a minute."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from backend.domain.access import Actor
from backend.storage.database import Database, IndexDeclaration
from backend.storage.documents import from_document, to_document

TICKETS = "socket_tickets"

INDEXES: list[IndexDeclaration] = [
    (TICKETS, [("expires_at", 1)], {"name": "expiry", "expireAfterSeconds": 0}),
]


def _digest(ticket: str) -> str:
    return hashlib.sha256(ticket.encode("utf-8", "replace")).hexdigest()


class SocketTicketStore:
    def __init__(self, database: Database) -> None:
        self._tickets = database[TICKETS]

    async def put(self, ticket: str, actor: Actor, lifetime: timedelta) -> None:
        """Keep a ticket for this actor. Machine time: the database deletes what has expired."""
        await self._tickets.insert_one(
            {
                "_id": _digest(ticket),
                "actor": to_document(actor),
                "expires_at": datetime.now(UTC) + lifetime,
            }
        )

    async def take(self, ticket: str) -> Actor | None:
        """The actor of an unused ticket, which is used from then on; None for any other."""
        document = await self._tickets.find_one_and_delete({"_id": _digest(ticket)})
        if not document or document["expires_at"] <= datetime.now(UTC):
            return None
        return from_document(Actor, document["actor"])
