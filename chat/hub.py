"""What one node tells its sockets: new operations, consultations that come or go, receipts, typing.

Hears of commits of this process directly, of other nodes' through hints, and of what both missed through
a sweep. With Redis away delivery between nodes is late by at most two seconds, never lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Sequence
from contextlib import suppress
from typing import Any

import structlog
from redis.asyncio import Redis

from backend.domain.access import Permission, Target, allows
from backend.domain.consultation_operations import Audience, Operation, Party
from backend.domain.consultations import Consultation, SequenceGap, State
from backend.domain.errors import DomainError
from backend.domain.ids import new_id
from backend.rest.consultation_encoding import encoded_operation, json_bytes
from backend.rest.consultation_views import consultation_json, receipt_json
from backend.services.consultation_base import may_read
from backend.services.consultation_reading import Receipt
from backend.services.consultation_turns import Talked
from backend.services.consultations import ConsultationService
from backend.storage.consultations import Belonging
from chat.connections import Connection, Connections
from chat.counters import Counters
from chat.delivery import Feeds, Transport
from chat.hint_messages import Incoming
from chat.hints import HintBus

log = structlog.get_logger()

#: All feeds are looked at so often, which is what bounds the delay of an operation whose hint was lost.
SWEEP_SECONDS = 1.5
#: Receipts of one reader and typing signs within so many seconds go as one.
SIGN_SECONDS = 0.02
#: Desks are told at most so often that a consultation in their list, which they do not follow, goes on.
LIST_SECONDS = 1.0
#: States that are read at once for those whose rights changed.
_STATES = 200


class Hub:
    """The listener of the log on this node."""

    def __init__(
        self,
        *,
        service: ConsultationService,
        transport: Transport,
        connections: Connections,
        redis: Redis,
        prefix: str,
        counters: Counters | None = None,
    ) -> None:
        self._service = service
        self._transport = transport
        self._connections = connections
        self.node = new_id()
        self.counters = counters or Counters()
        self.bus = HintBus(
            redis,
            prefix=prefix,
            node=self.node,
            receive=self._hinted,
            changed=self._changed,
            listening=self._listening,
            resync=self._resync,
            counters=self.counters,
        )
        self.feeds = Feeds(
            transport=transport,
            read_log=service.log_after,
            want=self.bus.want,
            unwant=self.bus.unwant,
            moved=self._look_at,
            counters=self.counters,
        )
        self._receipts: dict[tuple[str, str, str], Receipt] = {}
        self._lists: dict[str, Talked] = {}
        self._sweep_now = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.bus.start()
        self._sweeper = asyncio.create_task(self._sweep(), name="sweep")

    async def stop(self) -> None:
        await self.bus.stop()
        tasks = [t for t in (self._sweeper, *self._tasks) if t is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.feeds.close()

    # --- from this process -----------------------------------------------------------------------

    def committed(self, after: Talked, operations: Sequence[Operation]) -> None:
        """Operations were committed here. Whoever may not see them any more is sent away before they are shown."""
        self.counters.commit(operations)
        encoded = [encoded_operation(o) for o in operations]
        if after.version < operations[0].seq:  # nothing but talk
            self.feeds.committed(encoded)
            self.bus.tell(encoded)
            if after.stage is State.WAITING_ANSWER:
                self._list_later(after)
        else:  # other nodes look at the state before they show it, so the operations do not go with the hint
            state = after.state
            self._expel(state)
            self.feeds.committed(encoded)
            self._checked(state)
            self._place(state)
            self.bus.tell_all(changed=state.id, **_whereabouts(state))

    def receipt(self, consultation_id: str, reader: Party, delivered: int, read: int) -> None:
        """Somebody's watermarks moved here."""
        key = (consultation_id, reader.kind, reader.id)
        if before := self._receipts.get(key):
            delivered, read = max(before.delivered, delivered), max(before.read, read)
        elif not self._receipts:
            asyncio.get_running_loop().call_later(SIGN_SECONDS, self._tell_receipts)
        self._receipts[key] = Receipt(reader, delivered, read)

    def _tell_receipts(self) -> None:
        receipts, self._receipts = self._receipts, {}
        for (consultation_id, _, _), receipt in receipts.items():
            shown = receipt_json(receipt)
            self.feeds.receipt(consultation_id, shown)
            self.bus.tell_receipt(consultation_id, shown)

    def typing(self, connection: Connection, consultation_id: str) -> None:
        """Somebody types here. Gone after five seconds by itself."""
        kind = connection.actor.kind
        self._show_typing(consultation_id, kind, connection)
        self.bus.tell_typing(consultation_id, kind)

    # --- from other nodes ------------------------------------------------------------------------

    def _hinted(self, consultation_id: str, incoming: Incoming) -> None:
        if incoming.operations:
            self._service.passed(consultation_id, incoming.operations[-1].seq)
            self.feeds.told(incoming.operations)
        for receipt in incoming.receipts:
            self.feeds.receipt(consultation_id, receipt)
        for kind in incoming.typing:
            self._show_typing(consultation_id, kind, None)

    def _changed(self, hint: dict[str, Any]) -> None:
        if listed := hint.get("listed"):
            if self._desks_for(hint["post"], hint["department"], listed):
                self._later(self._look_at_listed(listed))
        elif self._concerned(hint):
            self._later(self._look_at(hint["changed"]))

    def _concerned(self, hint: dict[str, Any]) -> bool:
        """Whether anybody here may have to know that a consultation changed hands."""
        if self.feeds.get(hint["changed"]) is not None:
            return True
        if self._connections.of("citizen", hint["citizen"]) or self._connections.of("staff", hint["staff"] or ""):
            return True
        return bool(self._desks_for(hint["post"], hint["department"], hint["changed"]))

    async def _look_at(self, consultation_id: str) -> None:
        """See who may follow it now. A hint says that it changed hands, or the log, before any hint did."""
        state = await self._service.state_of(consultation_id)
        if state is not None:
            self._checked(state)
            self._expel(state)
            self._place(state)
            self.feeds.hinted(state.id, state.last_seq)

    async def _look_at_listed(self, consultation_id: str) -> None:
        state = await self._service.state_of(consultation_id)
        if state is not None and state.state is State.WAITING_ANSWER:
            self._show_waiting(state)

    def _checked(self, state: Consultation) -> None:
        if feed := self.feeds.get(state.id):
            feed.checked = max(feed.checked, state.last_seq)

    def _listening(self, consultation_id: str) -> None:
        self.feeds.listening(consultation_id)

    def _resync(self) -> None:
        """Hints may have been lost: look at all feeds now."""
        self.counters.relistened += 1
        self._sweep_now.set()

    # --- who follows what ------------------------------------------------------------------------

    async def look_at_readers(self, readers: Collection[Connection]) -> None:
        """The rights of these changed: what they may not read any more they follow no longer. Raises `Unavailable`."""
        followed = sorted({c for reader in readers for c in self.feeds.of(reader)})
        for start in range(0, len(followed), _STATES):
            chunk = followed[start : start + _STATES]
            try:
                states = await self._service.states_of(chunk)
            except SequenceGap:  # a damaged log, which nobody can say of who may read it
                for consultation_id in chunk:
                    await self._look_at_damaged(consultation_id, readers)
                continue
            for state in states.values():
                self._expel(state)

    async def _look_at_damaged(self, consultation_id: str, readers: Collection[Connection]) -> None:
        try:
            for state in (await self._service.states_of([consultation_id])).values():
                self._expel(state)
        except SequenceGap:
            log.exception("consultation_log_damaged", consultation_id=consultation_id)
            for reader in self.feeds.readers(consultation_id):
                if reader in readers:
                    self._leave(reader, consultation_id)

    def _leave(self, reader: Connection, consultation_id: str) -> None:
        self.feeds.detach(reader, consultation_id)
        self._transport.push("conv:left", json_bytes({"conv": consultation_id}), [reader])

    def _expel(self, state: Consultation) -> None:
        """Who may not read it any more follows it no longer."""
        for reader in self.feeds.readers(state.id):
            if not may_read(reader.actor, state):
                self._leave(reader, state.id)

    def _place(self, state: Consultation) -> None:
        """Let the right sockets follow a consultation after it changed hands."""
        for connection in self._connections.of("citizen", state.citizen.id):
            self.join(connection, state)
        if state.staff is not None and state.state is not State.CLOSED:
            for connection in self._connections.of("staff", state.staff.id):
                self.join(connection, state)
        if state.state is State.WAITING_ANSWER:
            self._show_waiting(state)

    def join(self, connection: Connection, state: Consultation) -> None:
        """A consultation that is new to a socket that said hello: first the context, then the operations."""
        if not connection.ready or self.feeds.reads(connection, state.id) or not may_read(connection.actor, state):
            return
        self._later(self._join(connection, state))

    async def _join(self, connection: Connection, state: Consultation) -> None:
        if self.feeds.reads(connection, state.id):
            return
        read = await self._service.watermarks([state])
        # another push was faster, or the person's rights changed
        if self.feeds.reads(connection, state.id) or not may_read(connection.actor, state):
            return
        shown = consultation_json(state, read[state.id], connection.audience)
        self._transport.push("conv", json_bytes({"joined": True, **shown}), [connection])
        self.feeds.attach(connection, state.id, 0, state.epoch, state.last_seq)

    def _desks_for(self, post_id: str | None, department_id: str | None, consultation_id: str) -> list[Connection]:
        """The desks that may answer it and do not follow it."""
        target = Target(post_id=post_id, department_id=department_id)
        return [
            desk
            for desk in self._connections.desks()
            if desk.ready
            and allows(desk.actor, Permission.ANSWER, target)
            and not self.feeds.reads(desk, consultation_id)
        ]

    def _show_waiting(self, state: Consultation) -> None:
        """A message to be answered later appears, as it is now, on every desk that may answer it."""
        if desks := self._desks_for(state.post_id, state.department_id, state.id):
            self._later(self._tell_waiting(state, desks))

    async def _tell_waiting(self, state: Consultation, desks: Sequence[Connection]) -> None:
        read = await self._service.watermarks([state])
        shown = consultation_json(state, read[state.id], Audience.STAFF)
        takers = [desk for desk in desks if not self.feeds.reads(desk, state.id)]
        self._transport.push("conv", json_bytes({"joined": False, **shown}), takers)

    def _list_later(self, after: Talked) -> None:
        """More was said in what waits: tell the lists soon, however much that is until then."""
        if after.id not in self._lists:
            asyncio.get_running_loop().call_later(LIST_SECONDS, self._list_now, after.id)
        self._lists[after.id] = after

    def _list_now(self, consultation_id: str) -> None:
        state = self._lists.pop(consultation_id).state
        self._show_waiting(state)
        self.bus.tell_all(listed=state.id, **_whereabouts(state))

    def _show_typing(self, consultation_id: str, kind: str, typist: Connection | None) -> None:
        self.feeds.sign("typing", consultation_id, json_bytes({"conv": consultation_id, "who": kind}), but=typist)

    # --- the sweep -------------------------------------------------------------------------------

    async def _sweep(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._sweep_now.wait()
            self._sweep_now.clear()
            try:
                await self.sweep()
            except DomainError as error:
                log.warning("chat_sweep_waits_for_the_database", error=error.code)
            except Exception:
                log.exception("chat_sweep_failed")

    async def sweep(self) -> None:
        """Find what no hint told: newer operations, and consultations that came to people who are here."""
        for consultation_id, seq in (await self._service.ahead(self.feeds.newest())).items():
            self.counters.swept += self.feeds.hinted(consultation_id, seq, swept=True)
        self.feeds.nudge()
        citizens, staff = self._connections.people("citizen"), self._connections.people("staff")
        if citizens or staff:
            found = await self._service.belonging_to(citizens, staff)
            missing = [belonging.consultation_id for belonging in found if self._is_missing(belonging)]
            for start in range(0, len(missing), _STATES):
                for state in (await self._service.states_of(missing[start : start + _STATES])).values():
                    if state.state is not State.CLOSED:
                        self._place_quietly(state)

    def _is_missing(self, belonging: Belonging) -> bool:
        """Whether a socket that is here should follow it and does not."""
        connections = self._connections.of("citizen", belonging.citizen_id)
        if belonging.staff_id is not None:
            connections += self._connections.of("staff", belonging.staff_id)
        return any(c.ready and not self.feeds.reads(c, belonging.consultation_id) for c in connections)

    def _place_quietly(self, state: Consultation) -> None:
        for connection in self._connections.of("citizen", state.citizen.id):
            self.join(connection, state)
        if state.staff is not None:
            for connection in self._connections.of("staff", state.staff.id):
                self.join(connection, state)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine without waiting for it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        with suppress(asyncio.CancelledError):
            if error := task.exception():
                log.warning("chat_push_failed", error=type(error).__name__)


def _whereabouts(state: Consultation) -> dict[str, str | None]:
    """By what another node finds out whether anybody there is concerned."""
    return {
        "citizen": state.citizen.id,
        "staff": state.staff.id if state.staff else None,
        "post": state.post_id,
        "department": state.department_id,
    }
