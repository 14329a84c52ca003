"""Writing to the log of a consultation: one writer at a time in this process, the unique index between processes.

A decision is made on a state and written under the next number. If another process took that number, the
log is read again and the decision made anew, so that every operation was allowed by exactly the state
before it. The listener hears of what is committed, never of anything else.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from backend.domain.consultation_operations import (
    SYSTEM_PARTY,
    Operation,
    Party,
    Payload,
    Recall,
    Visibility,
)
from backend.domain.consultations import Consultation, apply, changes_state
from backend.domain.errors import DomainError, IdempotencyConflict, NotFound, Unavailable
from backend.domain.ids import new_id
from backend.ports import Clock
from backend.storage.consultations import ClientIdTaken, ConsultationStore, NumberTaken
from backend.storage.documents import utc

log = structlog.get_logger()

_MAX_LIVE = 20_000  # consultations whose state is kept in memory
_MAX_ATTEMPTS = 50
FIRST_EPOCH = 1
#: How far lists may lag behind the talk; a consultation that is talked in is written once in that time.
_REFRESH_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Draft:
    """An operation before it has a number. `own` carries the client id of the request; the others are the
    system's."""

    payload: Payload
    own: bool = True
    visibility: Visibility = Visibility.ALL


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks for an operation, under which client id, and the fingerprint of what is asked."""

    sender: Party
    cid: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Committed:
    """What was written. `operation` is the one that carries the client id; `dup` says it was there before."""

    state: Consultation
    operation: Operation
    operations: tuple[Operation, ...]
    dup: bool = False


class CommitListener(Protocol):
    """Is told of what was committed in this process; must return at once."""

    def committed(self, state: Consultation, operations: Sequence[Operation]) -> None: ...

    def receipt(self, consultation_id: str, reader: Party, delivered: int, read: int) -> None: ...


Decide = Callable[[Consultation], Awaitable[Sequence[Draft]]]


class _Live:
    """A consultation that is written to in this process. `state` None: to be read again."""

    __slots__ = ("lock", "state")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.state: Consultation | None = None


class ConsultationLog:
    """Numbers, commits and announces operations."""

    def __init__(self, *, store: ConsultationStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._live: OrderedDict[str, _Live] = OrderedDict()
        self._listeners: list[CommitListener] = []
        self._stale: dict[str, Consultation] = {}
        self._refresh: asyncio.Task[None] | None = None

    def listen(self, listener: CommitListener) -> None:
        self._listeners.append(listener)

    def forget(self, listener: CommitListener) -> None:
        self._listeners.remove(listener)

    async def close(self) -> None:
        """Write what is still to be written to the cached states."""
        if self._refresh is not None:
            await asyncio.gather(self._refresh, return_exceptions=True)
        await self._store.close()

    async def commit(self, consultation_id: str, request: Request, decide: Decide) -> Committed:
        """Write what `decide` answers for the present state.

        The lock is fair and nothing is awaited before it, so operations of one caller keep their order.
        Raises what `decide` raises, `NotFound`, `IdempotencyConflict` for a client id that was used for
        something else, `Unavailable` when the outcome is unknown: the same client id again is then right.
        """
        live = self._entry(consultation_id)
        async with live.lock:
            try:
                return await self._commit(consultation_id, live, request, decide)
            except BaseException:
                live.state = None
                raise

    async def _commit(self, consultation_id: str, live: _Live, request: Request, decide: Decide) -> Committed:
        for _ in range(_MAX_ATTEMPTS):
            state = live.state or await self._store.state(consultation_id)
            if state is None:
                raise NotFound
            live.state = state
            try:
                drafts = await decide(state)
            except DomainError:
                # what was committed stays so, even if it would not be allowed any more
                if before := await self._before(state, request):
                    return before
                raise
            operations, after = self.number(state, drafts, request)
            try:
                await self._write(operations, after)
            except NumberTaken:
                live.state = None
                continue
            except ClientIdTaken:
                if before := await self._before(state, request):
                    return before
                break  # there, but not yet on the majority
            live.state = after
            self.announce(after, operations)
            return Committed(after, _own(operations, request), operations)
        raise Unavailable("系统繁忙，操作尚未完成，请稍后重试。")

    def number(
        self, state: Consultation | None, drafts: Sequence[Draft], request: Request, consultation_id: str = ""
    ) -> tuple[tuple[Operation, ...], Consultation]:
        """The drafts as the next operations, and the state after them."""
        now = utc(self._clock.now())
        operations: list[Operation] = []
        for draft in drafts:
            operation = Operation(
                id=new_id(),
                consultation_id=state.id if state else consultation_id,
                epoch=state.epoch if state else FIRST_EPOCH,
                seq=(state.last_seq if state else 0) + 1,
                cid=request.cid if draft.own else new_id(),
                sender=request.sender if draft.own else SYSTEM_PARTY,
                at=now,
                payload=draft.payload,
                visibility=draft.visibility,
                fingerprint=request.fingerprint if draft.own else "",
            )
            state = apply(state, operation)
            operations.append(operation)
        if state is None:
            raise ValueError("nothing to write")
        return tuple(operations), state

    async def _write(self, operations: Sequence[Operation], after: Consultation) -> None:
        talk = len(operations) == 1 and not changes_state(operations[0].payload)
        if talk and not isinstance(operations[0].payload, Recall):
            await self._store.append(operations[0])
            self._stale[after.id] = after
            if self._refresh is None or self._refresh.done():
                self._refresh = asyncio.create_task(self._save_states(), name="save-states")
        else:
            await self._store.append_with_state(operations, after)
            self._stale.pop(after.id, None)

    async def _save_states(self) -> None:
        """Bring the lists up to date behind the commits. A failure costs nothing: they are folded when read."""
        while self._stale:
            await asyncio.sleep(_REFRESH_SECONDS)
            states, self._stale = list(self._stale.values()), {}
            try:
                await self._store.save_states(states)
            except Exception as error:  # noqa: BLE001 - the next talk tries again, the log is the truth
                # the type alone: the driver's message may hold the documents, and they hold what people said
                log.warning("consultation_states_not_refreshed", count=len(states), error=type(error).__name__)

    async def _before(self, state: Consultation, request: Request) -> Committed | None:
        found = await self._store.by_client_id(state.id, request.sender, request.cid)
        if found is None:
            return None
        same_or_conflict(found, request)
        return Committed(state, found, (found,), dup=True)

    def announce(self, state: Consultation, operations: Sequence[Operation]) -> None:
        """Tell the listeners; one that fails is logged, since the operation is committed."""
        for listener in self._listeners:
            try:
                listener.committed(state, operations)
            except Exception:
                log.exception("commit_listener_failed")

    def announce_receipt(self, consultation_id: str, reader: Party, delivered: int, read: int) -> None:
        for listener in self._listeners:
            try:
                listener.receipt(consultation_id, reader, delivered, read)
            except Exception:
                log.exception("commit_listener_failed")

    def _entry(self, consultation_id: str) -> _Live:
        live = self._live.get(consultation_id)
        if live is None:
            live = self._live[consultation_id] = _Live()
            while len(self._live) > _MAX_LIVE and not next(iter(self._live.values())).lock.locked():
                self._live.popitem(last=False)
        else:
            self._live.move_to_end(consultation_id)
        return live


def same_or_conflict(found: Operation, request: Request) -> None:
    """Raises `IdempotencyConflict` when the client id stands for something else."""
    if found.fingerprint != request.fingerprint:
        raise IdempotencyConflict("这个消息编号已经用于另一条消息。", field="cid")


def _own(operations: Sequence[Operation], request: Request) -> Operation:
    return next(o for o in operations if o.cid == request.cid)
