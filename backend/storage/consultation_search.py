"""What a search in one's own history reads: which consultations somebody may see, and what was said in them.

No word that is searched for goes to MongoDB, where it would stand in the slow-query log: operations are
fetched raw, a stretch of some hundred at a time, and sifted here with one pass over their bytes.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass

import bson
from pymongo.errors import PyMongoError

from backend.domain.consultation_operations import Operation, OperationKind
from backend.domain.errors import Unavailable
from backend.storage.consultations import OPS, STATES, operation_from_document
from backend.storage.database import Database, Document, IndexDeclaration

#: Ids are UUIDv7, so that their order is that of opening: a page of a search stays where it is whatever is
#: said meanwhile. Each way to a consultation has an index in that order, which MongoDB merges.
INDEXES: list[IndexDeclaration] = [
    (STATES, [("citizen.id", 1), ("_id", -1)], {"name": "citizen_opened"}),
    (STATES, [("staff.id", 1), ("_id", -1)], {"name": "staff_opened"}),
    (STATES, [("past_staff_ids", 1), ("_id", -1)], {"name": "past_staff_opened"}),
    (STATES, [("post_id", 1), ("_id", -1)], {"name": "post_opened"}),
    (STATES, [("department_id", 1), ("_id", -1)], {"name": "department_opened"}),
]

_BATCH = 500
_SAID = [OperationKind.MESSAGE.value, OperationKind.EDIT.value, OperationKind.NOTE.value]
#: What people typed, and what is needed to tell which words count now.
_FIELDS = {
    "consultation_id": 1,
    "seq": 1,
    "kind": 1,
    "recalled_by": 1,
    "visibility": 1,
    "payload": 1,
}


@dataclass(frozen=True, slots=True)
class Reach:
    """The consultations somebody may read: those that any of these leads to."""

    citizen_id: str | None = None
    staff_id: str | None = None
    post_ids: frozenset[str] = frozenset()
    department_id: str | None = None
    everything: bool = False


@dataclass(frozen=True, slots=True)
class Header:
    """As much of a consultation as a search needs; `last_seq` may lag behind the log by a moment."""

    id: str
    last_seq: int
    subject: str
    matter_name: str


@dataclass(frozen=True, slots=True)
class Said:
    """A message, note or edit that may hold what is searched for. `seq` is the message's own or the edit's;
    `target_seq` is set for edits."""

    consultation_id: str
    seq: int
    target_seq: int | None


class ConsultationSearchStore:
    def __init__(self, database: Database) -> None:
        self._states = database[STATES]
        self._ops = database[OPS]

    async def headers(self, reach: Reach, *, before: str | None, limit: int) -> list[Header]:
        """Those that may be read, the last opened first, from before the id `before` on."""
        query = _query(reach)
        if query is None:
            return []
        if before is not None:
            query["_id"] = {"$lt": before}
        found = self._states.find(query, {"last_seq": 1, "subject": 1, "matter.name": 1}).sort("_id", -1).limit(limit)
        try:
            return [
                Header(d["_id"], d["last_seq"], d["subject"], (d.get("matter") or {}).get("name", ""))
                async for d in found
            ]
        except PyMongoError as error:
            raise Unavailable from error

    async def sift(
        self, consultation_ids: Sequence[str], patterns: dict[str, re.Pattern[bytes]], *, notes: bool
    ) -> AsyncIterator[Said]:
        """What may hold the pattern of its consultation; some that do not are among them, none is missed.

        Recalled ones are left out, notes unless `notes`.
        """
        query: Document = {
            "consultation_id": {"$in": list(consultation_ids)},
            "kind": {"$in": _SAID if notes else _SAID[:2]},
            "recalled_by": None,
        }
        if not notes:
            query["visibility"] = "all"
        distinct = set(patterns.values())
        try:
            cursor = self._ops.find_raw_batches(query, _FIELDS, batch_size=_BATCH)
            async for batch in cursor:
                for raw in _documents(batch):
                    if not any(pattern.search(raw) for pattern in distinct):  # decode what may be wanted alone
                        continue
                    document = bson.decode(raw)
                    if not patterns[document["consultation_id"]].search(raw):
                        continue
                    edits = document["kind"] == OperationKind.EDIT.value
                    target = document["payload"]["target_seq"] if edits else None
                    yield Said(document["consultation_id"], document["seq"], target)
        except PyMongoError as error:
            raise Unavailable from error

    async def operations(self, consultation_id: str, seqs: Iterable[int]) -> list[Operation]:
        """These operations and all edits of them, in order."""
        wanted = sorted(set(seqs))
        query: Document = {
            "consultation_id": consultation_id,
            "$or": [
                {"seq": {"$in": wanted}},
                {"kind": OperationKind.EDIT.value, "payload.target_seq": {"$in": wanted}},
            ],
        }
        try:
            return [operation_from_document(d) async for d in self._ops.find(query).sort("seq", 1)]
        except PyMongoError as error:
            raise Unavailable from error


def _query(reach: Reach) -> Document | None:
    """None: nothing can be read at all."""
    if reach.everything:
        return {"canary": None}  # the deployment's own check (backend/storage/canaries.py) is nobody's business
    ways: list[Document] = []
    if reach.citizen_id:
        ways.append({"citizen.id": reach.citizen_id})
    if reach.staff_id:
        ways += [{"staff.id": reach.staff_id}, {"past_staff_ids": reach.staff_id}]
    if reach.post_ids:
        ways.append({"post_id": {"$in": sorted(reach.post_ids)}})
    if reach.department_id:
        ways.append({"department_id": reach.department_id})
    if not ways:
        return None
    return ways[0] if len(ways) == 1 else {"$or": ways}


def _documents(batch: bytes) -> Iterable[bytes]:
    """The documents of a raw batch, one after the other; each begins with its length."""
    place = 0
    while place < len(batch):
        size = int.from_bytes(batch[place : place + 4], "little")
        yield batch[place : place + size]
        place += size
