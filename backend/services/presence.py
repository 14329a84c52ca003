"""Who of the staff is at a desk: a lease that ends by itself when a desk stops answering."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta

from backend.domain.access import Actor, Permission, require
from backend.storage.presence import PresenceStore

#: How long a desk counts as there after its last answer, and how often the server asks.
LEASE = timedelta(seconds=12)
BEAT_SECONDS = 5.0


class PresenceService:
    def __init__(self, *, store: PresenceStore) -> None:
        self._store = store

    async def arrive(self, actor: Actor, connection_id: str) -> bool:
        """A desk socket opened. Returns whether its owner takes consultations now."""
        require(actor, Permission.SET_PRESENCE)
        return await self._store.connect(connection_id, actor.id, LEASE)

    async def renew(self, desks: Mapping[str, str]) -> None:
        """These desks (connection → staff) answered the server's beat."""
        await self._store.renew(desks, LEASE)

    async def leave(self, connection_id: str) -> None:
        """A desk socket was closed."""
        await self._store.disconnect(connection_id)

    async def declare(self, actor: Actor, *, available: bool) -> None:
        """Whether one takes consultations, on all one's desks."""
        require(actor, Permission.SET_PRESENCE)
        await self._store.declare(actor.id, available=available)

    async def available(self, staff_ids: Iterable[str] | None = None) -> frozenset[str]:
        """Who is there and takes consultations, among `staff_ids` when given."""
        return await self._store.available(staff_ids)
