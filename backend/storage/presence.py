"""Presence of staff: one lease for each desk socket, in MongoDB, so that a Redis outage re-routes nobody.

Leases are about machines being there, so they use the machine's time, never the warped clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from pymongo import UpdateOne
from pymongo.errors import PyMongoError

from backend.domain.errors import Unavailable
from backend.storage.database import Database, IndexDeclaration

LEASES = "presence"

INDEXES: list[IndexDeclaration] = [
    (LEASES, [("staff_id", 1)], {"name": "staff"}),
    (LEASES, [("expires_at", 1)], {"name": "expiry", "expireAfterSeconds": 60}),
]


class PresenceStore:
    """Who has a desk open, and whether they take consultations now."""

    def __init__(self, database: Database) -> None:
        self._leases = database[LEASES]

    async def connect(self, connection_id: str, staff_id: str, lease: timedelta) -> bool:
        """A desk opened. Returns whether this person takes consultations: as their other desks say."""
        other = await self._leases.find_one({"staff_id": staff_id, "expires_at": {"$gt": datetime.now(UTC)}})
        available = bool(other["available"]) if other else True
        await self._leases.update_one(
            {"_id": connection_id},
            {
                "$set": {
                    "staff_id": staff_id,
                    "available": available,
                    "expires_at": datetime.now(UTC) + lease,
                }
            },
            upsert=True,
        )
        return available

    async def renew(self, desks: Mapping[str, str], lease: timedelta) -> None:
        """These desks (connection → staff) have just answered. A lease that was swept away comes back."""
        until = datetime.now(UTC) + lease
        updates = [
            UpdateOne(
                {"_id": connection_id},
                {"$set": {"expires_at": until, "staff_id": staff_id}, "$setOnInsert": {"available": True}},
                upsert=True,
            )
            for connection_id, staff_id in desks.items()
        ]
        try:
            if updates:
                await self._leases.bulk_write(updates, ordered=False)
        except PyMongoError as error:
            raise Unavailable from error

    async def disconnect(self, connection_id: str) -> None:
        """A desk was closed."""
        await self._leases.delete_one({"_id": connection_id})

    async def declare(self, staff_id: str, *, available: bool) -> None:
        """The person says on one desk what holds on all of them."""
        await self._leases.update_many({"staff_id": staff_id}, {"$set": {"available": available}})

    async def available(self, staff_ids: Iterable[str] | None = None) -> frozenset[str]:
        """Who is there and takes consultations, among `staff_ids` when given."""
        query: dict[str, object] = {"expires_at": {"$gt": datetime.now(UTC)}, "available": True}
        if staff_ids is not None:
            query["staff_id"] = {"$in": sorted(staff_ids)}
        return frozenset(await self._leases.distinct("staff_id", query))
