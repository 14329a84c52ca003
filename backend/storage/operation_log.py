"""Appending to the operation log of consultations by natural group commit.

One journaled `insert_many` is in flight at a time and takes whatever queued meanwhile: under load the cost
of the journal is shared, and a batch waits two milliseconds for more; at rest nobody waits. The batch is
ordered: what stands before the first error is committed, so that the log of a consultation never has a hole.
Duplicates are resolved by the unique indexes' errors inside the batch, so that no message costs a query.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from pymongo.errors import BulkWriteError, PyMongoError

from backend.domain.errors import Unavailable
from backend.measures import Histogram, Tally, count
from backend.storage.abandoned import AbandonedTransactions
from backend.storage.database import Collection, Document

log = structlog.get_logger()

MAX_BATCH = 500
#: Under load, which is when `FEW` landed together in the last `LOADED_SECONDS`, a batch of less than `MANY` waits this
#: many seconds for more: what a batch costs, here and in MongoDB, is nearly the same for twenty as for fifty.
FEW, MANY, LOADED_SECONDS, GATHER_SECONDS = 2, 64, 0.02, 0.002
#: Waiting operations above which new ones are told to come again: memory is bounded too.
MAX_WAITING = 20_000
CID_INDEX = "consultation_sender_cid"
SEQ_INDEX = "consultation_seq"
#: The codes by which MongoDB says that the state an operation was decided on is not that of the log: its
#: number is taken (duplicate key), or it is of an epoch that is over (`consultation_epochs`, a validator).
NOT_THE_NEXT = frozenset({11000, 121})


class NumberTaken(Exception):
    """Another process wrote this number first, or the log is of another epoch: load it again, decide anew."""


class ClientIdTaken(Exception):
    """The sender already wrote an operation with this client id: a retry, or a reuse."""


@dataclass(frozen=True, slots=True)
class Landed:
    """What became of a flight: its first `committed` documents are in the log for good. `error` is what kept
    the next one out: `NumberTaken`, `ClientIdTaken`, or `Unavailable`, after which nobody knows about the rest,
    unless nothing was `sent`: then nothing of it is there."""

    committed: int
    error: Exception | None = None
    sent: bool = True


#: Hears how far a flight came, at that moment.
Heard = Callable[[Landed], None]


class _Flight:
    __slots__ = ("documents", "heard")

    def __init__(self, documents: Sequence[Document], heard: Heard) -> None:
        self.documents = documents
        self.heard: Heard | None = heard

    def land(self, committed: int, error: Exception | None = None, *, sent: bool = True) -> None:
        """Say so, once."""
        heard, self.heard = self.heard, None
        if heard is None:
            return
        try:
            heard(Landed(committed, error, sent))
        except Exception:  # whoever asked, the others' flights go on
            log.exception("landing_not_taken")


def meaning_of_duplicate(error: Mapping[str, Any]) -> Exception:
    """What a duplicate-key error of the log says."""
    pattern = error.get("keyPattern") or {}
    is_cid = "cid" in pattern or CID_INDEX in str(error.get("errmsg", ""))
    return ClientIdTaken() if is_cid else NumberTaken()


class GroupCommit:
    """Inserts documents into one collection, together with whatever else waits to be inserted.

    `batches` and `documents` count what was sent to the database, `last_batch` is the size of the last one.
    """

    def __init__(self, collection: Collection, abandoned: AbandonedTransactions) -> None:
        self._collection = collection
        self._abandoned = abandoned
        self._waiting: deque[_Flight] = deque()
        self._task: asyncio.Task[None] | None = None
        self.waiting = 0  # documents that are not yet sent
        self.batches = 0
        self.documents = 0
        self.last_batch = 0
        self._landed = float("-inf")  # when the last one did
        self.sizes = Histogram((1, 2, 5, 10, 20, 50, 100, 200, MAX_BATCH))
        self.seconds = Histogram((0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5))
        self.outcomes: Tally = dict.fromkeys(("ok", "partial", "unknown", "error"), 0)

    def insert(self, documents: Sequence[Document], heard: Heard) -> None:
        """Insert documents that follow each other. `heard` is called once, with how far they came, when they are
        committed (majority, journaled) or are not. Flights go in the order of the calls."""
        flight = _Flight(documents, heard)
        if self.waiting >= MAX_WAITING:
            flight.land(0, Unavailable("系统繁忙，消息尚未送达，请稍后重试。"), sent=False)
            return
        self._waiting.append(flight)
        self.waiting += len(documents)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain(), name="group-commit")

    async def close(self) -> None:
        """Wait for what is under way."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _drain(self) -> None:
        batch: list[_Flight] = []
        try:
            while self._waiting:
                if self._is_loaded() and self.waiting < MANY:
                    await asyncio.sleep(GATHER_SECONDS)
                batch = self._take()
                await self._write(batch)
                self._landed = time.monotonic()
        finally:  # nobody waits for ever when the process ends in the middle
            for flight in (*batch, *self._waiting):
                flight.land(0, _unknown())
            self._waiting.clear()
            self.waiting = 0

    def _is_loaded(self) -> bool:
        return self.last_batch >= FEW and time.monotonic() - self._landed < LOADED_SECONDS

    def _take(self) -> list[_Flight]:
        batch, size = [self._waiting.popleft()], 0
        size = len(batch[0].documents)
        while self._waiting and size + len(self._waiting[0].documents) <= MAX_BATCH:
            batch.append(self._waiting.popleft())
            size += len(batch[-1].documents)
        self.waiting -= size
        return batch

    def _again(self, flights: Sequence[_Flight]) -> None:
        """What was not even tried goes first in the next round, in its order."""
        self._waiting.extendleft(reversed(flights))
        self.waiting += sum(len(flight.documents) for flight in flights)

    async def _write(self, batch: list[_Flight]) -> None:
        documents = [document for flight in batch for document in flight.documents]
        self.batches += 1
        self.documents += len(documents)
        self.last_batch = len(documents)
        self.sizes.add(len(documents))
        began = time.perf_counter()
        try:
            with self._abandoned.ended_meanwhile():
                try:
                    await self._collection.insert_many(documents, ordered=True)
                finally:  # what is done with the answer is not the database's time
                    self.seconds.add(time.perf_counter() - began)
        except BulkWriteError as error:
            count(self.outcomes, "partial")
            self._land_until(batch, error.details or {})
        except PyMongoError:
            count(self.outcomes, "unknown")
            for flight in batch:
                flight.land(0, _unknown())
        except Exception as error:  # noqa: BLE001 - one document that cannot be encoded is no fault of the others
            if len(batch) == 1:
                count(self.outcomes, "error")
                batch[0].land(0, error)
            else:
                for flight in batch:
                    await self._write([flight])
        else:
            count(self.outcomes, "ok")
            for flight in batch:
                flight.land(len(flight.documents))

    def _land_until(self, batch: list[_Flight], details: Mapping[str, Any]) -> None:
        """Land what an ordered batch tried up to its first error; the rest goes again."""
        unsure = bool(details.get("writeConcernErrors"))  # written, but perhaps not for good
        errors = details.get("writeErrors") or [{"index": sum(len(flight.documents) for flight in batch)}]
        failed, start = errors[0]["index"], 0
        for position, flight in enumerate(batch):
            if start > failed:
                self._again(batch[position:])
                return
            end = start + len(flight.documents)
            if unsure:
                flight.land(0, _unknown())
            elif end <= failed:
                flight.land(len(flight.documents))
            elif errors[0].get("code") in NOT_THE_NEXT:
                flight.land(failed - start, meaning_of_duplicate(errors[0]))
            else:
                flight.land(failed - start, Unavailable("消息尚未送达，请稍后重试。"))
            start = end


def _unknown() -> Unavailable:
    return Unavailable("数据库暂时不可用，消息尚未送达，请稍后重试。")
