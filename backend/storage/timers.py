"""Timers as documents with `due_at`, claimed by one atomic update: any number of nodes may sweep.

A case's timers follow from its state; they are put in place by the transaction that saves the case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pymongo import ASCENDING, DeleteMany, UpdateOne

from backend.domain.cases import Timer
from backend.domain.ids import derived_id
from backend.storage.database import Database, IndexDeclaration, Session
from backend.storage.documents import from_document

INDEXES: list[IndexDeclaration] = [
    ("timers", [("next_at", 1)], {"name": "due"}),
    ("timers", [("case_id", 1)], {"name": "case"}),
]

_LEASE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class DueTimer:
    id: str
    case_id: str
    timer: Timer


class TimerStore:
    def __init__(self, database: Database) -> None:
        self._timers = database["timers"]

    async def replace(self, case_id: str, timers: Sequence[Timer], session: Session) -> None:
        """Make `timers` the timers of a case, no more and no fewer."""
        wanted = {derived_id("timer", f"{case_id}:{timer.key}"): timer for timer in timers}
        await self._timers.bulk_write(
            [
                DeleteMany({"case_id": case_id, "_id": {"$nin": list(wanted)}}),
                *(
                    UpdateOne(
                        {"_id": timer_id},
                        {
                            "$setOnInsert": {
                                "case_id": case_id,
                                "kind": timer.kind.value,
                                "key": timer.key,
                                "due_at": timer.due_at,
                                "next_at": timer.due_at,
                            }
                        },
                        upsert=True,
                    )
                    for timer_id, timer in wanted.items()
                ),
            ],
            session=session,
        )

    async def claim(self, now: datetime) -> DueTimer | None:
        """The next timer whose moment has passed, leased for a minute; None when there is none."""
        found = await self._timers.find_one_and_update(
            {"next_at": {"$lt": now}}, {"$set": {"next_at": now + _LEASE}}, sort=[("next_at", ASCENDING)]
        )
        if found is None:
            return None
        return DueTimer(found["_id"], found["case_id"], from_document(Timer, found))

    async def remove(self, timer_id: str) -> None:
        """It has done its work, or the case no longer needs it."""
        await self._timers.delete_one({"_id": timer_id})
