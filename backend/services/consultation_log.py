"""Writing to the log of a consultation: one flight at a time in this process, the unique index between processes.

What is asked of a consultation is decided in the order in which it came. Messages that queued while a flight
was under way go as the next one: they change nothing by which the next is decided but its number. Whatever else
there is, or has to look something up first, is a flight of its own in its turn. If another process took a number,
the log is read again and what was not written decided anew, so that every operation was allowed by the state
before it. A flight belongs to nobody: a caller that goes away does not keep it from being finished and announced.
The listener hears of what is committed, never of anything else.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

import structlog

from backend.domain.consultation_operations import SYSTEM_PARTY, Message, Operation, Party
from backend.domain.consultations import Consultation, SequenceGap, apply, apply_all
from backend.domain.errors import DomainError, IdempotencyConflict, NotFound, Unavailable, may_be_retried
from backend.domain.ids import new_id
from backend.ports import Clock
from backend.services.consultation_lists import LaggingLists
from backend.services.consultation_turns import (
    Awaited,
    CommitListener,
    Committed,
    Decide,
    Draft,
    Live,
    Outcome,
    Request,
    Rule,
    Talked,
    Turn,
    is_plain,
)
from backend.storage.consultation_epochs import FIRST_EPOCH
from backend.storage.consultations import ClientIdTaken, ConsultationStore, Landed, NumberTaken
from backend.storage.documents import utc

__all__ = ["CommitListener", "Committed", "ConsultationLog", "Draft", "Request", "same_or_conflict"]

log = structlog.get_logger()

_MAX_LIVE = 20_000  # consultations whose state is kept in memory
_MAX_ATTEMPTS = 50
_MAX_FLIGHT = 100  # operations of one consultation that go together


class ConsultationLog:
    """Numbers, commits and announces operations."""

    def __init__(self, *, store: ConsultationStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._live: OrderedDict[str, Live] = OrderedDict()
        self._listeners: list[CommitListener] = []
        self._lists = LaggingLists(store)
        self._serving: set[asyncio.Task[None]] = set()

    def listen(self, listener: CommitListener) -> None:
        self._listeners.append(listener)

    def forget(self, listener: CommitListener) -> None:
        self._listeners.remove(listener)

    async def close(self) -> None:
        """Finish what was asked for, and write what is still to be written to the cached states."""
        while any(live.busy for live in self._live.values()):
            await asyncio.gather(*self._serving, return_exceptions=True)
            await self._store.close()
            await asyncio.sleep(0)  # what landed goes on from callbacks
        await self._lists.close()
        await self._store.close()

    def commit(self, consultation_id: str, request: Request, decide: Decide) -> asyncio.Future[Committed]:
        """Write what `decide` answers for the present state.

        It has its place when this returns, so operations of one caller keep their order. To await it raises what
        `decide` raises, `NotFound`, `IdempotencyConflict` for a client id that was used for something else,
        `Unavailable` when it was not written or nobody knows: the same client id again is then right.
        """
        outcome = Awaited()
        self._queue(consultation_id, Turn(request, outcome, decide=decide))
        return outcome.future

    def say(
        self, consultation_id: str, request: Request, message: Message, rule: Rule, outcome: Outcome[Committed]
    ) -> None:
        """Write a message; `outcome` hears what became of it. As `commit`, and as many messages as are there go
        in one flight."""
        self._queue(consultation_id, Turn(request, outcome, message=message, rule=rule))

    def settled(self, consultation_id: str) -> tuple[Consultation, int] | None:
        """The state as this process knows it, but for what messages change, and its last number: a true one,
        perhaps not the newest."""
        live = self._live.get(consultation_id)
        return (live.settled, live.last_seq) if live is not None and live.settled is not None else None

    def learned(self, state: Consultation) -> None:
        """A state that was read: the next decision may start from it."""
        live = self._entry(state.id)
        if not live.busy and (live.settled is None or live.last_seq < state.last_seq):
            live.state, live.stale = state, live.doubt

    def passed(self, consultation_id: str, seq: int) -> None:
        """Another node is said to have written up to a number: what is known here is read again before it is
        used, rather than after the database refused what was decided on it."""
        live = self._live.get(consultation_id)
        if live is not None and live.last_seq < seq and not live.busy:
            live.stale = True

    def followed(self, consultation_id: str, operations: Sequence[Operation]) -> None:
        """Committed operations that were read, of whichever node: the known state goes along."""
        live = self._live.get(consultation_id)
        if live is None or live.busy or live.doubt or (state := live.state) is None:
            return
        later = [o for o in operations if o.seq > state.last_seq]
        if later and later[0].seq == state.last_seq + 1 and later[0].epoch == state.epoch:
            try:
                live.state, live.stale = apply_all(state, later), live.stuck
            except SequenceGap:
                live.stale = True

    # --- turns and flights -----------------------------------------------------------------------

    def _queue(self, consultation_id: str, turn: Turn) -> None:
        live = self._entry(consultation_id)
        live.turns.append(turn)
        if not live.busy:
            self._advance(live)

    def _advance(self, live: Live) -> None:
        """Let the next flight go: at once when it is messages on a known state, else from a task."""
        if not (live.turns or live.doubt):
            return
        live.busy = True
        if not (live.stale or live.doubt) and (flight := self._gather(live)):
            self._store.begin_append(flight, lambda landed: self._came_down(live, flight, landed))
        else:
            task = asyncio.create_task(self._serve(live), name="consultation-turns")
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)

    def _came_down(self, live: Live, flight: list[Operation], landed: Landed) -> None:
        try:
            self._said(live, flight, landed)
        finally:
            live.busy = False
            self._advance(live)

    def _gather(self, live: Live) -> list[Operation]:
        """The messages at the head of the queue with their numbers. One that is refused, or that something has
        to be written before, ends them: `_alone` is for that."""
        flight: list[Operation] = []
        state, seq = live.settled, live.last_seq
        assert state is not None
        now = utc(self._clock.now())
        for turn in live.turns:
            message = turn.message
            if message is None or turn.rule is None or turn.written or turn.attempts > _MAX_ATTEMPTS:
                break
            if len(flight) == _MAX_FLIGHT:
                break
            try:
                if turn.rule(state, seq):
                    break
            except Exception:  # noqa: BLE001 - decided again, and told, when it is its turn
                break
            seq += 1
            request = turn.request
            flight.append(
                Operation(
                    new_id(),
                    state.id,
                    state.epoch,
                    seq,
                    request.cid,
                    request.sender,
                    now,
                    message,
                    fingerprint=request.fingerprint,
                )
            )
        return flight

    def _said(self, live: Live, flight: list[Operation], landed: Landed) -> None:
        """Take over the messages that were committed, announce and answer them; sort out what was not."""
        done = flight[: landed.committed]
        afters = [live.say(message) for message in done]
        turns = [live.turns.popleft() for _ in done]
        if landed.error is not None:
            self._not_landed(live, len(flight) - len(done), landed.error, sent=landed.sent)
        if done:
            self._lists.talked(live)
            self.announce(afters[-1], done)
            for turn, after, message in zip(turns, afters, done, strict=True):
                turn.answer(Committed(after, message, (message,)))

    def _landed(
        self, live: Live, turn: Turn, operations: tuple[Operation, ...], state: Consultation, landed: Landed
    ) -> None:
        """The same for what was decided alone, with the state after it."""
        if landed.error is not None:
            self._not_landed(live, 1, landed.error, sent=landed.sent)
            return
        live.state = state
        after = Talked(state)
        if is_plain(operations):
            self._lists.talked(live)
        else:
            self._lists.changed(live.id)
        live.turns.popleft()
        own = next(operation for operation in operations if operation.cid == turn.request.cid)
        self.announce(after, operations)
        turn.answer(Committed(after, own, operations))

    def _not_landed(self, live: Live, missing: int, error: Exception, *, sent: bool) -> None:
        """What is at the head of the queue was not written, or nobody knows; `missing` turns went with it."""
        head = live.turns[0]
        head.attempts += 1
        if isinstance(error, ClientIdTaken):
            head.written = True
        elif isinstance(error, NumberTaken):
            live.stale = live.stuck = True
        else:
            if sent:
                live.stale = live.doubt = True
            live.fail_after(list(live.turns)[:missing], error)

    async def _serve(self, live: Live) -> None:
        """Take turn by turn until none is left."""
        try:
            while live.turns or live.doubt:
                fresh = False
                if live.stale or live.doubt or live.settled is None:
                    try:
                        await self._read(live)
                    except Exception as error:  # noqa: BLE001 - told to each who waits
                        live.fail_all(error)
                        if isinstance(error, NotFound):
                            self._live.pop(live.id, None)
                        break
                    fresh = True
                if not live.turns:
                    continue
                if flight := self._gather(live):
                    self._said(live, flight, await self._store.append(flight))
                else:
                    await self._alone(live, live.turns[0], fresh=fresh)
        finally:
            if live.turns:  # the process ends in the middle
                live.fail_all(Unavailable("操作尚未完成，请稍后重试。"))
            live.busy = False

    async def _alone(self, live: Live, turn: Turn, *, fresh: bool) -> None:
        """Let one turn decide and write by itself, or hear why not."""
        state = live.state
        assert state is not None
        try:
            if turn.attempts > _MAX_ATTEMPTS:
                raise Unavailable("系统繁忙，操作尚未完成，请稍后重试。")
            if turn.written:
                await self._answer_again(live, turn, state)
                return
            try:
                drafts = await turn.drafts(state)
            except DomainError:
                if not fresh:  # refused by what another process may have changed
                    live.stale = True
                    return
                # what was committed stays so, even if it would not be allowed any more
                before = await self._before(state, turn.request)
                if before is None:
                    raise
                live.turns.popleft()
                turn.answer(before)
                return
            operations, after = self.number(state, drafts, turn.request)
        except Exception as error:  # noqa: BLE001 - told to the one who asked
            if may_be_retried(error):  # a photograph was not found out about, say
                live.fail_after([turn], error)
            else:
                live.turns.popleft()
                turn.fail(error)
            return
        landed = await self._write(operations, after)
        if landed.error is not None and not is_plain(operations):
            live.doubt = True  # a transaction that was run again may have met itself
        self._landed(live, turn, operations, after, landed)

    async def _write(self, operations: tuple[Operation, ...], after: Consultation) -> Landed:
        if is_plain(operations):
            return await self._store.append(operations)
        try:
            await self._store.append_with_state(operations, after)
        except Exception as error:  # noqa: BLE001 - told to the one who asked
            return Landed(0, error)
        return Landed(1)

    async def _answer_again(self, live: Live, turn: Turn, state: Consultation) -> None:
        """Answer with what the log has under this client id. Raises `IdempotencyConflict`."""
        before = await self._before(state, turn.request)
        if before is None:  # there, but not yet on the majority
            await self._store.settle(live.id)
            before = await self._before(state, turn.request)
        if before is None:  # it was taken back by a change of the primary
            turn.written, live.stale = False, True
            return
        live.turns.popleft()
        turn.answer(before)
        if before.operation.seq > state.last_seq:  # perhaps of ours, from a commit whose outcome was not known
            live.stale = live.doubt = True

    async def _read(self, live: Live) -> None:
        """Bring the state up to date. What is found after an unknown outcome, or in the place of ours, may be ours, and
        nobody may have heard of it: it is announced, and lists follow."""
        if live.doubt:  # what is there must be readable before anybody can say what is not
            await self._store.settle(live.id)
        state, news = await self._caught_up(live.state)
        if live.stuck and not news:
            await self._store.settle(live.id)
            state, news = await self._caught_up(live.state)
        if state is None or (live.stuck and not news):
            state = await self._store.state(live.id)
        if state is None:
            raise NotFound
        unsure = live.doubt or live.stuck
        live.doubt = live.stale = live.stuck = False
        live.state = state
        if unsure and news:
            self._lists.talked(live)
            self.announce(Talked(state), news)

    async def _caught_up(self, state: Consultation | None) -> tuple[Consultation | None, list[Operation]]:
        """The state after what was written since. None when it was not known, or the log is another one."""
        news: list[Operation] = []
        if state is None:
            return None, news
        while later := await self._store.read(state.id, state.last_seq):
            try:
                state = apply_all(state, later)
            except SequenceGap:
                return None, []
            news += later
        return state, news

    # --- operations ------------------------------------------------------------------------------

    def number(
        self,
        state: Consultation | None,
        drafts: Sequence[Draft],
        request: Request,
        consultation_id: str = "",
        epoch: int = FIRST_EPOCH,
    ) -> tuple[tuple[Operation, ...], Consultation]:
        """The drafts as the next operations, and the state after them; `epoch` is for one that is opened."""
        now = utc(self._clock.now())
        operations: list[Operation] = []
        for draft in drafts:
            operation = Operation(
                id=new_id(),
                consultation_id=state.id if state else consultation_id,
                epoch=state.epoch if state else epoch,
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

    async def _before(self, state: Consultation, request: Request) -> Committed | None:
        found = await self._store.by_client_id(state.id, request.sender, request.cid)
        if found is None:
            return None
        same_or_conflict(found, request)
        return Committed(Talked(state), found, (found,), dup=True)

    def announce(self, after: Talked, operations: Sequence[Operation]) -> None:
        """Tell the listeners; one that fails is logged, since the operation is committed."""
        for listener in self._listeners:
            try:
                listener.committed(after, operations)
            except Exception:
                log.exception("commit_listener_failed")

    def announce_receipt(self, consultation_id: str, reader: Party, delivered: int, read: int) -> None:
        for listener in self._listeners:
            try:
                listener.receipt(consultation_id, reader, delivered, read)
            except Exception:
                log.exception("commit_listener_failed")

    def _entry(self, consultation_id: str) -> Live:
        live = self._live.get(consultation_id)
        if live is None:
            live = self._live[consultation_id] = Live(consultation_id)
            while len(self._live) > _MAX_LIVE and not next(iter(self._live.values())).busy:
                self._live.popitem(last=False)
        else:
            self._live.move_to_end(consultation_id)
        return live


def same_or_conflict(found: Operation, request: Request) -> None:
    """Raises `IdempotencyConflict` when the client id stands for something else."""
    if found.fingerprint != request.fingerprint:
        raise IdempotencyConflict("这个消息编号已经用于另一条消息。", field="cid")
