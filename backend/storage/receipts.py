"""Receipts: up to where every reader was sent and has read, moved forward by natural group commit.

Every delivered message brings one, so they are merged to the greatest of each reader while a write is in
flight, and for up to `WRITE_SECONDS`; one `bulk_write` takes what gathered. `$max` keeps them from going back
whoever else writes.
Numbers are of an epoch: those of one that is over say nothing in the next, and the database takes them no more
(`consultation_epochs`, a validator). What it does not take is refused alone, whatever was written beside it.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, PyMongoError

from backend.domain.consultation_operations import Party
from backend.domain.consultations import Watermarks
from backend.domain.errors import Unavailable
from backend.storage.database import Collection, Document
from backend.storage.operation_documents import party_from_value, party_value

log = structlog.get_logger()

_MAX_BATCH = 500
#: Seconds between two writes: nobody sees whether a sign of reading comes so much later, and it costs much less.
WRITE_SECONDS = 0.05
_MAX_KNOWN = 50_000  # readers whose watermarks are kept in memory

_Key = tuple[str, int]  # a reader of a consultation, and the epoch


@dataclass(frozen=True, slots=True)
class Moved:
    """A reader's watermarks as they are stored. `forward`: nobody was told of them in this process."""

    delivered: int
    read: int
    forward: bool


#: Hears what became of a receipt, at that moment: where the watermarks stand, or why nobody knows.
Heard = Callable[[Moved | Unavailable], None]


class _Pending:
    __slots__ = ("consultation_id", "delivered", "epoch", "party", "read", "waiting")

    def __init__(self, consultation_id: str, epoch: int, party: Party) -> None:
        self.consultation_id = consultation_id
        self.epoch = epoch
        self.party = party
        self.delivered = 0
        self.read = 0
        self.waiting: list[Heard] = []


class ReceiptStore:
    """Every reader's watermarks."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._pending: dict[_Key, _Pending] = {}
        self._known: OrderedDict[_Key, tuple[int, int]] = OrderedDict()
        self._task: asyncio.Task[None] | None = None
        self._last = float("-inf")  # when something was written
        self.batches = 0
        self.written = 0

    async def move(self, consultation_id: str, epoch: int, party: Party, delivered: int, read: int) -> Moved:
        """As `begin_move`, for who waits for it. Raises `Unavailable`."""
        moved: asyncio.Future[Moved] = asyncio.get_running_loop().create_future()

        def heard(found: Moved | Unavailable) -> None:
            if moved.done():
                return
            if isinstance(found, Unavailable):
                moved.set_exception(found)
            else:
                moved.set_result(found)

        self.begin_move(consultation_id, epoch, party, delivered, read, heard)
        return await moved

    def begin_move(
        self, consultation_id: str, epoch: int, party: Party, delivered: int, read: int, heard: Heard
    ) -> None:
        """Move a reader's watermarks in this epoch of the log forward, never back; `heard` is called when that is
        written, or at once when it is known to be.

        What is less than what is known is looked up: another node may have written more than is known here, and
        told it to who asks. After `Unavailable` saying it again does no harm.
        """
        delivered = max(delivered, read)
        key = (f"{consultation_id}:{party.kind}:{party.id}", epoch)
        if self._known.get(key) == (delivered, read):
            heard(Moved(delivered, read, forward=False))
            return
        pending = self._pending.get(key)
        if pending is None:
            pending = self._pending[key] = _Pending(consultation_id, epoch, party)
        pending.delivered = max(pending.delivered, delivered)
        pending.read = max(pending.read, read)
        pending.waiting.append(heard)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain(), name="receipts")

    async def close(self) -> None:
        """Wait for what is under way."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _drain(self) -> None:
        while self._pending:
            if (early := self._last + WRITE_SECONDS - time.monotonic()) > 0:
                await asyncio.sleep(early)
            self._last = time.monotonic()
            keys = list(self._pending)[:_MAX_BATCH]
            batch = {key: self._pending.pop(key) for key in keys}
            try:
                refused = await self._write(batch)
                stored = await self._stored(batch)
            except PyMongoError:
                _fail(batch.values(), "数据库暂时不可用，请稍后重试。")
                continue
            except BaseException:
                _fail(batch.values(), "请稍后重试。")
                raise
            _fail([batch.pop(key) for key in refused], "请稍后重试。")
            for key, pending in batch.items():
                self._tell(key, pending, stored.get(key[0], (pending.delivered, pending.read)))

    async def _write(self, batch: Mapping[_Key, _Pending]) -> set[_Key]:
        """Write all of it. Returns what the database refused; the rest is written all the same."""
        self.batches += 1
        self.written += len(batch)
        updates = [
            UpdateOne(
                {"_id": key},
                {
                    "$max": {"delivered": pending.delivered, "read": pending.read},
                    "$set": {"epoch": pending.epoch},
                    "$setOnInsert": {
                        "consultation_id": pending.consultation_id,
                        "party": party_value(pending.party),
                    },
                },
                upsert=True,
            )
            for (key, _), pending in batch.items()
        ]
        try:
            await self._collection.bulk_write(updates, ordered=False)
        except BulkWriteError as error:
            details, keys = error.details or {}, list(batch)
            refused = {keys[each["index"]] for each in details.get("writeErrors", ())}
            if not refused or details.get("writeConcernErrors"):  # nobody knows of the others either
                raise
            return refused
        return set()

    async def _stored(self, batch: Mapping[_Key, _Pending]) -> dict[str, tuple[int, int]]:
        """What is there: another node may have written more."""
        found = self._collection.find({"_id": {"$in": [key for key, _ in batch]}}, {"delivered": 1, "read": 1})
        return {d["_id"]: (d["delivered"], d["read"]) for d in await found.to_list(None)}

    def _tell(self, key: _Key, pending: _Pending, stored: tuple[int, int]) -> None:
        before = self._known.pop(key, (0, 0))
        now = self._known[key] = (max(before[0], stored[0]), max(before[1], stored[1]))
        if len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)
        forward = now != before
        for heard in pending.waiting:
            _call(heard, Moved(*now, forward=forward))
            forward = False  # one of them tells it

    # --- reading ---------------------------------------------------------------------------------

    async def watermarks(self, consultation_ids: Sequence[str]) -> dict[str, Watermarks]:
        """Up to where each side has read, by consultation; one query for a whole list."""
        pipeline: list[Document] = [
            {"$match": {"consultation_id": {"$in": list(consultation_ids)}}},
            {"$group": {"_id": {"c": "$consultation_id", "kind": "$party.kind"}, "read": {"$max": "$read"}}},
        ]
        found: dict[str, dict[str, Any]] = {}
        try:
            async for row in self._collection.aggregate(pipeline):
                found.setdefault(row["_id"]["c"], {})[row["_id"]["kind"]] = row["read"]
        except PyMongoError as error:
            raise Unavailable from error
        return {c: Watermarks(read.get("citizen", 0), read.get("staff", 0)) for c, read in found.items()}

    async def of(self, consultation_id: str) -> list[tuple[Party, int, int]]:
        """Every reader's (delivered, read)."""
        found = self._collection.find({"consultation_id": consultation_id})
        return [(party_from_value(d["party"]), d["delivered"], d["read"]) async for d in found]


def _fail(refused: Iterable[_Pending], detail: str) -> None:
    for pending in refused:
        for heard in pending.waiting:
            _call(heard, Unavailable(detail))


def _call(heard: Heard, found: Moved | Unavailable) -> None:
    try:
        heard(found)
    except Exception:  # whoever asked, the others hear theirs
        log.exception("receipt_not_taken")
