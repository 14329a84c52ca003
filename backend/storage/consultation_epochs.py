"""The epoch of all consultations: which history the numbers of the operations belong to.

When a database is put back to an earlier moment, numbers that were given after it are given again, to other
operations: a client that had the old number 50 would take the new one for it and miss what is new. So a
restore is followed by a new epoch on every operation and state, which no earlier history ever had: it is the
time of its making, in seconds, since the number of the last one may itself have been put back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pymongo import DeleteOne, UpdateMany, UpdateOne
from pymongo.errors import OperationFailure, PyMongoError

from backend.domain.consultation_operations import Operation
from backend.domain.consultations import Consultation, SequenceGap, apply
from backend.domain.errors import Unavailable
from backend.storage.consultations import OPS, RECEIPTS, STATES, operation_from_document
from backend.storage.database import APP_NAME, Database, Document
from backend.storage.documents import to_document

FIRST_EPOCH = 1
_RECORD = "consultation-epoch"
_BATCH = 500
_UNAUTHORIZED = 13


@dataclass(slots=True)
class Raised:
    """What a new epoch did. `without_log`: cached states that had no operation and were deleted.
    `damaged`: ids of consultations whose log has gaps, which no backup of one moment has."""

    epoch: int
    operations: int = 0
    consultations: int = 0
    without_log: int = 0
    damaged: list[str] = field(default_factory=list)


class ConsultationEpochs:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._meta = database["meta"]

    async def current(self) -> int:
        """The epoch under which consultations are opened now. Raises `Unavailable` while it is being changed."""
        try:
            record = await self._meta.find_one({"_id": _RECORD})
        except PyMongoError as error:
            raise Unavailable from error
        if record is None:
            return FIRST_EPOCH
        if not record["done"]:
            raise Unavailable("咨询记录正在换新批次（new-epoch 没有做完，请重新运行）。")
        return int(record["epoch"])

    async def others(self) -> list[str] | None:
        """Where processes of the product are connected from, each address once; None when the database does
        not let us see."""
        pipeline: list[Document] = [
            {"$currentOp": {"allUsers": True, "idleConnections": True}},
            {"$match": {"appName": APP_NAME}},
            {"$group": {"_id": {"$arrayElemAt": [{"$split": ["$client", ":"]}, 0]}}},
        ]
        try:
            admin = self._database.raw.client.get_database("admin")
            return sorted([str(row["_id"]) async for row in admin.aggregate(pipeline)])
        except OperationFailure as error:
            if error.code == _UNAUTHORIZED:
                return None
            raise Unavailable from error

    async def raise_all(self, now: datetime) -> Raised:
        """Give every operation and state a new epoch. Killed in the middle, it is to be run again.

        From its first moment on the database refuses operations of earlier epochs, so that a process that
        still has states of before cannot write on from them: it is refused, and reads them anew.
        """
        record = await self._meta.find_one({"_id": _RECORD})
        newest = [d async for d in self._database[OPS].aggregate([{"$group": {"_id": None, "n": {"$max": "$epoch"}}}])]
        known = max([FIRST_EPOCH, record["epoch"] if record else 0, *(d["n"] for d in newest)])
        raised = Raised(max(known + 1, int(now.timestamp())))
        change = {"$set": {"epoch": raised.epoch, "done": False}}
        await self._meta.update_one({"_id": _RECORD}, change, upsert=True)
        await self._fence(raised.epoch)
        await self._database[RECEIPTS].update_many({}, {"$set": {"epoch": raised.epoch}})
        result = await self._database[OPS].update_many({}, {"$set": {"epoch": raised.epoch}})
        raised.operations = result.matched_count
        await self._fold(raised)
        await self._meta.update_one({"_id": _RECORD}, {"$set": {"done": True}})
        return raised

    async def _fence(self, epoch: int) -> None:
        """From now on neither the log nor the lists nor the watermarks take anything of an earlier epoch."""
        rule: dict[str, Any] = {
            "validator": {"epoch": {"$gte": epoch}},
            "validationLevel": "strict",
            "validationAction": "error",
        }
        for name in (OPS, STATES, RECEIPTS):
            await self._database.ensure_collection(name)
            await self._database.raw.command("collMod", name, **rule)

    async def _fold(self, raised: Raised) -> None:
        """Make the cached states and the watermarks what the log says, whatever was put back with it."""
        states, receipts = self._database[STATES], self._database[RECEIPTS]
        changes: list[UpdateOne] = []
        marks: list[UpdateMany] = []
        async for first, state, whole in self._folded():
            raised.consultations += 1
            if not whole:
                raised.damaged.append(state.id)
            document = to_document(state)
            found = {"_id": document.pop("_id")}
            changes.append(UpdateOne(found, {"$set": document, "$setOnInsert": {"open_cid": first.cid}}, upsert=True))
            last = {"$literal": state.last_seq}
            marks.append(
                UpdateMany(
                    {"consultation_id": state.id, "delivered": {"$gt": state.last_seq}},
                    [{"$set": {"delivered": last, "read": {"$min": ["$read", last]}}}],
                )
            )
            if len(changes) == _BATCH:
                await states.bulk_write(changes, ordered=False)
                await receipts.bulk_write(marks, ordered=False)
                changes, marks = [], []
        if changes:
            await states.bulk_write(changes, ordered=False)
            await receipts.bulk_write(marks, ordered=False)
        orphans = [
            DeleteOne({"_id": d["_id"]}) async for d in states.find({"epoch": {"$ne": raised.epoch}}, {"_id": 1})
        ]
        raised.without_log = len(orphans)
        if orphans:
            await states.bulk_write(orphans, ordered=False)

    async def _folded(self) -> AsyncIterator[tuple[Operation, Consultation, bool]]:
        """Each consultation's first operation, its state, and whether its log is whole."""
        first: Operation | None = None
        state: Consultation | None = None
        whole = True
        ordered = self._database[OPS].find({}).sort([("consultation_id", 1), ("seq", 1)])
        async for document in ordered:
            operation = operation_from_document(document)
            if first is None or operation.consultation_id != first.consultation_id:
                if first is not None and state is not None:
                    yield first, state, whole
                first, state, whole = operation, None, True
            try:
                state = apply(state, operation) if whole else state
            except SequenceGap:
                whole = False
        if first is not None and state is not None:
            yield first, state, whole
