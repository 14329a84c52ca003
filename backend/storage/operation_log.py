"""Appending to the operation log of consultations by natural group commit.

Under load one journaled `insert` is in flight at a time, takes whatever queued meanwhile and waits two
milliseconds for more: the cost of the journal is shared. At rest nobody waits, and nobody for another's: a few are
in flight beside each other. A consultation has one flight at a time (its callers see to that), so its order does not
depend on which of them lands first. A batch is ordered: what stands before the first error is committed, so that
the log of a consultation never has a hole. Duplicates are resolved by the unique indexes' errors inside the batch,
so that no message costs a query.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from pymongo.errors import PyMongoError, ServerSelectionTimeoutError

from backend.domain.errors import Unavailable
from backend.measures import Histogram, Tally, count
from backend.storage.abandoned import AbandonedTransactions
from backend.storage.database import Document, NativeCollection
from backend.under_way import UnderWay

log = structlog.get_logger()

MAX_BATCH = 500
#: Under load, which is when `FEW` landed together in the last `LOADED_SECONDS`, a batch of less than `MANY` waits this
#: many seconds for more: what a batch costs, here and in MongoDB, is nearly the same for twenty as for fifty.
FEW, MANY, LOADED_SECONDS, GATHER_SECONDS = 4, 64, 0.02, 0.002
#: Batches that are in flight beside each other when there is no load. What comes while so many are makes the load.
BESIDE = 4
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
    __slots__ = ("documents", "heard", "open")

    def __init__(self, documents: Sequence[Document], heard: Heard, open_: UnderWay) -> None:
        """Under way in `open_` until it has landed."""
        self.documents = documents
        self.heard: Heard | None = heard
        self.open = open_
        open_.begin()

    def land(self, committed: int, error: Exception | None = None, *, sent: bool = True) -> None:
        """Say so, once."""
        heard, self.heard = self.heard, None
        if heard is None:
            return
        try:
            heard(Landed(committed, error, sent))
        except Exception:  # whoever asked, the others' flights go on
            log.exception("landing_not_taken")
        finally:
            self.open.end()


def meaning_of_duplicate(error: Mapping[str, Any]) -> Exception:
    """What a duplicate-key error of the log says."""
    pattern = error.get("keyPattern") or {}
    is_cid = "cid" in pattern or CID_INDEX in str(error.get("errmsg", ""))
    return ClientIdTaken() if is_cid else NumberTaken()


class GroupCommit:
    """Inserts documents into one collection, together with whatever else waits to be inserted.

    `batches` and `documents` count what was sent to the database, `last_batch` is the size of the last one.
    """

    def __init__(self, collection: NativeCollection, abandoned: AbandonedTransactions) -> None:
        self._collection = collection
        self._abandoned = abandoned
        self._waiting: deque[_Flight] = deque()
        self._flying: set[asyncio.Task[None]] = set()
        self._start: asyncio.Handle | None = None  # of the next batch
        self._open = UnderWay()  # flights
        self.waiting = 0  # documents that are not yet sent
        self.batches = 0
        self.documents = 0
        self.last_batch = 0
        self._landed = float("-inf")  # when the last one did
        self.sizes = Histogram((1, 2, 5, 10, 20, 50, 100, 200, MAX_BATCH))
        self.seconds = Histogram((0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5))
        self.outcomes: Tally = dict.fromkeys(("ok", "partial", "unknown", "unsent", "error"), 0)

    def insert(self, documents: Sequence[Document], heard: Heard) -> None:
        """Insert documents that follow each other. `heard` is called once, with how far they came, when they are
        committed (majority, journaled) or are not. Flights go in the order of the calls."""
        flight = _Flight(documents, heard, self._open)
        if self.waiting >= MAX_WAITING:
            flight.land(0, Unavailable("系统繁忙，消息尚未送达，请稍后重试。"), sent=False)
            return
        self._waiting.append(flight)
        self.waiting += len(documents)
        if self._start is None:  # whatever comes in this turn of the loop goes together
            self._start = asyncio.get_running_loop().call_soon(self._begin)

    async def close(self) -> None:
        """Wait until everything has landed, and what landed it has ended."""
        await self._open.all_ended()
        if self._flying:
            await asyncio.wait(self._flying)

    def _begin(self) -> None:
        """Let a batch go, unless one that lands is to begin it or there is to be more in it."""
        self._start = None
        if not self._waiting or len(self._flying) >= (1 if self._is_loaded() else BESIDE):
            return
        if self._is_loaded() and self.waiting < MANY:
            self._start = asyncio.get_running_loop().call_later(GATHER_SECONDS, self._go)
        else:
            self._go()

    def _go(self) -> None:
        self._start = None
        if not self._waiting:
            return
        batch = self._take()
        task = asyncio.create_task(self._write(batch), name="group-commit")
        self._flying.add(task)
        task.add_done_callback(partial(self._down, batch))

    def _down(self, batch: list[_Flight], task: asyncio.Task[None]) -> None:
        self._flying.discard(task)
        self._landed = time.monotonic()
        if task.cancelled():  # nobody waits for ever when the process ends in the middle
            waiting, self._waiting, self.waiting = self._waiting, deque(), 0
            self._fail(batch)
            self._fail(waiting)
        elif error := task.exception():
            log.error("batch_not_written", exc_info=error)
            self._fail([flight for flight in batch if flight not in self._waiting])
        if self._waiting and self._start is None:
            self._begin()

    @staticmethod
    def _fail(flights: Iterable[_Flight], *, sent: bool = True) -> None:
        for flight in flights:
            flight.land(0, _unknown(), sent=sent)

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
                    reply = await self._insert(documents)
                finally:  # what is done with the answer is not the database's time
                    self.seconds.add(time.perf_counter() - began)
        except ServerSelectionTimeoutError:  # there was nobody to send it to
            count(self.outcomes, "unsent")
            self._fail(batch, sent=False)
        except (PyMongoError, asyncio.CancelledError) as error:
            count(self.outcomes, "unknown")
            self._fail(batch)
            if isinstance(error, asyncio.CancelledError):
                raise
        except Exception as error:  # noqa: BLE001 - one document that cannot be encoded is no fault of the others
            if len(batch) == 1:
                count(self.outcomes, "error")
                batch[0].land(0, error)
            else:
                for flight in batch:
                    await self._write([flight])
        else:
            if "writeErrors" in reply or "writeConcernError" in reply:
                count(self.outcomes, "partial")
                self._land_until(batch, reply.get("writeErrors"), unsure="writeConcernError" in reply)
            elif reply["n"] != len(documents):  # says no server that is known
                count(self.outcomes, "unknown")
                self._fail(batch)
            else:
                count(self.outcomes, "ok")
                for flight in batch:
                    flight.land(len(flight.documents))

    async def _insert(self, documents: list[Document]) -> Mapping[str, Any]:
        """MongoDB's answer, in which it may refuse one of them. Raises `PyMongoError` when nobody knows.

        Not `insert_many`: MongoDB keeps account of what the driver may repeat, which costs a tenth of the insert, and
        what nobody knows about is looked up in the log in any case. A command may have 16 MB: a document has at most
        some 20 KB (`chat.sockets.MAX_PACKET`, and what HTTP takes), so `MAX_BATCH` of them fit.
        """
        command = {
            "insert": self._collection.name,
            "documents": documents,
            "ordered": True,
            "writeConcern": self._collection.write_concern.document,
        }
        return await self._collection.database.command(command, codec_options=self._collection.codec_options)

    def _land_until(self, batch: list[_Flight], errors: list[dict[str, Any]] | None, *, unsure: bool) -> None:
        """Land what an ordered batch tried up to its first error; the rest goes again. `unsure`: what was written
        is perhaps not there for good."""
        errors = errors or [{"index": sum(len(flight.documents) for flight in batch)}]
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
