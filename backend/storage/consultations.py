"""Consultations and their operation log in MongoDB.

`consultation_ops` is the truth: unique (consultation, seq) makes the order, unique (consultation, sender,
cid) makes retries the same operation, the insert is the commit. `consultations` holds the folded state as a
cache for lists; whatever a crash left behind there is folded again when it is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo import UpdateOne
from pymongo.errors import DuplicateKeyError, PyMongoError
from pymongo.read_concern import ReadConcern

from backend.domain.consultation_operations import Operation, OperationKind, Party, Recall
from backend.domain.consultations import Consultation, State, apply
from backend.domain.errors import Unavailable
from backend.storage.database import Database, Document, IndexDeclaration, Session, retry_transient
from backend.storage.documents import from_document, to_document
from backend.storage.operation_documents import operation_from_document, operation_to_document, talk_value
from backend.storage.operation_log import (
    CID_INDEX,
    NOT_THE_NEXT,
    SEQ_INDEX,
    ClientIdTaken,
    GroupCommit,
    Heard,
    Landed,
    NumberTaken,
    meaning_of_duplicate,
)
from backend.storage.receipts import ReceiptStore

__all__ = [
    "INDEXES",
    "ClientIdTaken",
    "ConsultationStore",
    "Landed",
    "NumberTaken",
    "operation_from_document",
    "operation_to_document",
]

STATES = "consultations"
OPS = "consultation_ops"
RECEIPTS = "consultation_receipts"

INDEXES: list[IndexDeclaration] = [
    (OPS, [("consultation_id", 1), ("seq", 1)], {"unique": True, "name": SEQ_INDEX}),
    (
        OPS,
        [("consultation_id", 1), ("sender.kind", 1), ("sender.id", 1), ("cid", 1)],
        {"unique": True, "name": CID_INDEX},
    ),
    (OPS, [("relayed", 1), ("at", 1)], {"partialFilterExpression": {"relayed": False}, "name": "unrelayed"}),
    (
        OPS,
        [("attachment_ids", 1), ("consultation_id", 1)],
        {"partialFilterExpression": {"attachment_ids": {"$exists": True}}, "name": "attachments"},
    ),
    (STATES, [("citizen.id", 1), ("open_cid", 1)], {"unique": True, "name": "citizen_open_cid"}),
    (STATES, [("citizen.id", 1), ("updated_at", -1), ("_id", -1)], {"name": "citizen_recent"}),
    (STATES, [("staff.id", 1), ("state", 1), ("updated_at", -1)], {"name": "staff_state"}),
    (STATES, [("post_id", 1), ("state", 1), ("updated_at", -1)], {"name": "post_state"}),
    (STATES, [("department_id", 1), ("state", 1), ("updated_at", -1)], {"name": "department_state"}),
    (STATES, [("state", 1), ("updated_at", -1)], {"name": "state_recent"}),
    (RECEIPTS, [("consultation_id", 1)], {"name": "consultation"}),
]

_SEEKS = 500  # consultations in one look at their newest numbers; reading the answer must stall nobody


@dataclass(frozen=True, slots=True)
class Belonging:
    """A consultation and the two whose it is."""

    consultation_id: str
    citizen_id: str
    staff_id: str | None


class ConsultationStore:
    """The log, the cached states, the receipts."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ops = database[OPS]
        self._states = database[STATES]
        self._talk = database.native[STATES]
        self._linearizable = self._ops.with_options(read_concern=ReadConcern("linearizable"))
        self.commits = GroupCommit(database.native[OPS], database.abandoned)
        self.receipts = ReceiptStore(database[RECEIPTS])

    async def close(self) -> None:
        """Wait for what is under way."""
        await self.commits.close()
        await self.receipts.close()

    # --- the log ---------------------------------------------------------------------------------

    async def open(self, state: Consultation, operations: Sequence[Operation], open_cid: str) -> None:
        """Write a new consultation with its first operations, all or nothing.

        Raises `ClientIdTaken` when this citizen opened one with the same client id before.
        """

        async def work() -> None:
            async with self._database.transaction() as session:
                document = {**to_document(state), "open_cid": open_cid}
                await self._states.insert_one(document, session=session)
                await self._ops.insert_many([operation_to_document(o) for o in operations], session=session)

        try:
            await retry_transient(work)
        except DuplicateKeyError as error:
            raise ClientIdTaken from error
        except PyMongoError as error:
            raise Unavailable from error

    def begin_append(self, operations: Sequence[Operation], heard: Heard) -> None:
        """Commit operations that follow each other and change nothing but the talk, as `GroupCommit.insert`."""
        self.commits.insert([operation_to_document(operation) for operation in operations], heard)

    async def append(self, operations: Sequence[Operation]) -> Landed:
        """The same, for who waits for it."""
        landed: asyncio.Future[Landed] = asyncio.get_running_loop().create_future()

        def heard(found: Landed) -> None:
            if not landed.done():
                landed.set_result(found)

        self.begin_append(operations, heard)
        return await landed

    async def append_with_state(self, operations: Sequence[Operation], state: Consultation) -> None:
        """Commit operations together with the state after them, and mark what a recall emptied.

        Raises `NumberTaken` or `ClientIdTaken`, `Unavailable` when the outcome is unknown.
        """

        async def work() -> None:
            async with self._database.transaction() as session:
                await self._ops.insert_many([operation_to_document(o) for o in operations], session=session)
                await self._states.update_one(*self._cache(state), session=session)
                for operation in operations:
                    if isinstance(operation.payload, Recall):
                        await self._mark_recalled(operation, operation.payload.target_seq, session)

        try:
            await retry_transient(work)
        except PyMongoError as error:
            duplicate = _duplicate_of(error)
            raise (meaning_of_duplicate(duplicate) if duplicate else Unavailable()) from error

    async def _mark_recalled(self, recall: Operation, target_seq: int, session: Session) -> None:
        await self._ops.update_many(
            {
                "consultation_id": recall.consultation_id,
                "$or": [
                    {"seq": target_seq},
                    {"kind": OperationKind.EDIT.value, "payload.target_seq": target_seq},
                ],
            },
            {"$set": {"recalled_by": recall.seq}, "$unset": {"relayed": ""}},
            session=session,
        )

    async def read(self, consultation_id: str, after: int, limit: int = 200) -> list[Operation]:
        """The operations that follow number `after`, in order."""
        found = self._ops.find({"consultation_id": consultation_id, "seq": {"$gt": after}}).sort("seq", 1)
        try:
            return [operation_from_document(d) async for d in found.limit(limit)]
        except PyMongoError as error:
            raise Unavailable from error

    async def settle(self, consultation_id: str) -> None:
        """Wait until what the primary has of a consultation is on the majority, and so can be read.

        Raises `Unavailable` when that cannot be had within five seconds.
        """
        newest = self._linearizable.find({"consultation_id": consultation_id}, {"_id": 1}, max_time_ms=5_000)
        try:
            await newest.sort("seq", -1).limit(1).to_list(1)
        except PyMongoError as error:
            raise Unavailable from error

    async def operation(self, consultation_id: str, seq: int) -> Operation | None:
        try:
            document = await self._ops.find_one({"consultation_id": consultation_id, "seq": seq})
        except PyMongoError as error:
            raise Unavailable from error
        return operation_from_document(document) if document else None

    async def carrying(self, consultation_id: str, upload_id: str) -> list[Operation]:
        """The operations of a consultation that carry an attachment."""
        found = self._ops.find({"attachment_ids": upload_id, "consultation_id": consultation_id})
        return [operation_from_document(d) async for d in found]

    async def is_carried(self, upload_id: str) -> bool:
        """Whether any operation of any consultation carries an attachment."""
        return await self._ops.find_one({"attachment_ids": upload_id}, {"_id": 1}) is not None

    async def by_client_id(self, consultation_id: str, sender: Party, cid: str) -> Operation | None:
        """What this sender wrote under this client id."""
        query = {"consultation_id": consultation_id, "sender.kind": sender.kind, "sender.id": sender.id, "cid": cid}
        try:
            document = await self._ops.find_one(query)
        except PyMongoError as error:
            raise Unavailable from error
        return operation_from_document(document) if document else None

    async def ahead(self, cursors: Mapping[str, int]) -> dict[str, int]:
        """Of consultations with the numbers their readers have: which have more, and up to where.

        One seek in the index for each, however long its log is: 5,000 cost us 13 ms of CPU and MongoDB 25.
        """
        newest: dict[str, int] = {}
        ids = list(cursors)
        for start in range(0, len(ids), _SEEKS):
            pipeline: list[Document] = [
                {"$match": {"consultation_id": {"$in": ids[start : start + _SEEKS]}}},
                {"$sort": {"consultation_id": -1, "seq": -1}},
                {"$group": {"_id": "$consultation_id", "seq": {"$first": "$seq"}}},
            ]
            try:
                async for row in self._ops.aggregate(pipeline, hint=SEQ_INDEX, batchSize=_SEEKS):
                    if row["seq"] > cursors[row["_id"]]:
                        newest[row["_id"]] = row["seq"]
            except PyMongoError as error:
                raise Unavailable from error
        return newest

    # --- states ----------------------------------------------------------------------------------

    async def state(self, consultation_id: str) -> Consultation | None:
        """The state after the whole log: the cached one and what was written since."""
        try:
            document = await self._states.find_one({"_id": consultation_id})
        except PyMongoError as error:
            raise Unavailable from error
        if document is None:
            return None
        state = from_document(Consultation, document)
        while later := await self.read(consultation_id, state.last_seq):
            for operation in later:
                state = apply(state, operation)
        return state

    async def states(self, consultation_ids: Sequence[str]) -> dict[str, Consultation]:
        """As `state`, of those that exist, with two looks for all; one more for each whose cache is behind."""
        try:
            documents = await self._states.find({"_id": {"$in": list(consultation_ids)}}).to_list(None)
        except PyMongoError as error:
            raise Unavailable from error
        found = {d["_id"]: from_document(Consultation, d) for d in documents}
        behind = await self.ahead({state.id: state.last_seq for state in found.values()}) if found else {}
        for consultation_id in behind:
            state = found[consultation_id]
            while later := await self.read(consultation_id, state.last_seq):
                for operation in later:
                    state = apply(state, operation)
            found[consultation_id] = state
        return found

    async def opened_with(self, citizen_id: str, open_cid: str) -> str | None:
        """The consultation a citizen opened under a client id."""
        document = await self._states.find_one({"citizen.id": citizen_id, "open_cid": open_cid}, {"_id": 1})
        return document["_id"] if document else None

    async def save_talk(self, states: Iterable[Consultation]) -> None:
        """Refresh what talk changed in cached states; older ones than what is there change nothing, nor do those of
        an epoch that is over: their numbers are none of the log as it is, which would go on behind them.

        All else in them was written with the operation that changed it, up to a number below these.
        """
        updates = [
            UpdateOne(
                {"_id": state.id, "epoch": state.epoch, "last_seq": {"$lt": state.last_seq}},
                {"$set": talk_value(state)},
            )
            for state in states
        ]
        if updates:
            with self._database.abandoned.ended_meanwhile():
                await self._talk.bulk_write(updates, ordered=False)

    @staticmethod
    def _cache(state: Consultation) -> tuple[Document, Document]:
        document = to_document(state)
        return {"_id": document.pop("_id"), "last_seq": {"$lt": state.last_seq}}, {"$set": document}

    async def list_states(
        self, query: Document, *, limit: int, before: tuple[datetime, str] | None = None
    ) -> list[Consultation]:
        """States newest first; `before` is the last item of the page before."""
        if before is not None:
            moment, last_id = before
            older = [{"updated_at": {"$lt": moment}}, {"updated_at": moment, "_id": {"$lt": last_id}}]
            query = {"$and": [query, {"$or": older}]}
        found = self._states.find(query).sort([("updated_at", -1), ("_id", -1)]).limit(limit)
        return [from_document(Consultation, d) async for d in found]

    async def of_citizen(
        self, citizen_id: str, *, limit: int, before: tuple[datetime, str] | None = None
    ) -> list[Consultation]:
        return await self.list_states({"citizen.id": citizen_id}, limit=limit, before=before)

    async def of_desk(
        self,
        *,
        staff_id: str,
        post_ids: Iterable[str],
        department_id: str | None,
        everything: bool,
        states: Sequence[State],
        limit: int,
        before: tuple[datetime, str] | None = None,
    ) -> list[Consultation]:
        """What a member of staff sees on the desk: assigned to them, of their posts, of the department
        they lead, or everything for triage."""
        reach: list[Document] = [{"staff.id": staff_id}]
        if posts := sorted(post_ids):
            reach.append({"post_id": {"$in": posts}})
        if department_id:
            reach.append({"department_id": department_id})
        query: Document = {"state": {"$in": [s.value for s in states]}}
        if everything:
            query["canary"] = None  # the deployment's own check (backend/storage/canaries.py) is nobody's business
        else:
            query["$or"] = reach
        return await self.list_states(query, limit=limit, before=before)

    async def belonging_to(
        self, citizen_ids: Iterable[str], staff_ids: Iterable[str], since: datetime
    ) -> list[Belonging]:
        """Whose the recently changed, open consultations of these people are, for those who are connected."""
        people: list[Document] = [
            {"citizen.id": {"$in": sorted(citizen_ids)}},
            {"staff.id": {"$in": sorted(staff_ids)}},
        ]
        query = {"updated_at": {"$gte": since}, "state": {"$ne": State.CLOSED.value}, "$or": people}
        found = self._states.find(query, {"citizen.id": 1, "staff.id": 1}).sort([("updated_at", -1), ("_id", -1)])
        try:
            return [
                Belonging(d["_id"], d["citizen"]["id"], (d.get("staff") or {}).get("id"))
                for d in await found.limit(500).to_list(None)
            ]
        except PyMongoError as error:
            raise Unavailable from error

    async def earlier_of(
        self,
        state: Consultation,
        *,
        staff_id: str,
        post_ids: Iterable[str],
        department_id: str | None,
        everything: bool,
        limit: int,
        before: tuple[datetime, str] | None = None,
    ) -> list[Consultation]:
        """What the citizen of `state` asked before it, as far as a member of the staff may read that."""
        query: Document = {"citizen.id": state.citizen.id, "opened_at": {"$lt": state.opened_at}}
        if not everything:
            reach: list[Document] = [{"staff.id": staff_id}, {"past_staff_ids": staff_id}]
            if posts := sorted(post_ids):
                reach.append({"post_id": {"$in": posts}})
            if department_id:
                reach.append({"department_id": department_id})
            query["$or"] = reach
        return await self.list_states(query, limit=limit, before=before)

    async def about_case(self, citizen_id: str, case_id: str, *, limit: int) -> list[Consultation]:
        """What a citizen asked about one case, newest first."""
        return await self.list_states({"citizen.id": citizen_id, "case_id": case_id}, limit=limit)

    async def count_before(self, state: Consultation) -> int:
        """How many consultations the citizen of `state` opened before it."""
        query = {"citizen.id": state.citizen.id, "opened_at": {"$lt": state.opened_at}}
        return int(await self._states.count_documents(query))

    async def loads(self, staff_ids: Iterable[str]) -> dict[str, int]:
        """How many active consultations each of them has."""
        pipeline: list[Document] = [
            {"$match": {"staff.id": {"$in": sorted(staff_ids)}, "state": State.ACTIVE.value}},
            {"$group": {"_id": "$staff.id", "n": {"$sum": 1}}},
        ]
        return {row["_id"]: row["n"] async for row in self._states.aggregate(pipeline)}

    # --- the relay -------------------------------------------------------------------------------

    async def unrelayed(self, before: datetime, limit: int) -> list[Operation]:
        """Answers up to `before` whose citizens have not been told outside the socket, oldest first."""
        found = self._ops.find({"relayed": False, "at": {"$lte": before}}).sort("at", 1).limit(limit)
        return [operation_from_document(d) async for d in found]

    async def mark_relayed(self, operation_ids: Sequence[str]) -> None:
        await self._ops.update_many({"_id": {"$in": list(operation_ids)}}, {"$unset": {"relayed": ""}})


def _duplicate_of(error: PyMongoError) -> Mapping[str, Any] | None:
    """The duplicate-key details inside an error, if it is one."""
    if isinstance(error, DuplicateKeyError):
        return error.details or {}
    details = getattr(error, "details", None) or {}
    found = [e for e in details.get("writeErrors", []) if e.get("code") in NOT_THE_NEXT]
    return found[0] if found else None
