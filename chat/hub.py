"""What one node tells its sockets: new operations, consultations that come or go, receipts, typing.

Hears of commits of this process directly, of other nodes' through hints, and of what both missed through
a sweep every two seconds. With Redis away delivery between nodes is late by at most that, never lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any

import structlog
from redis.asyncio import Redis

from backend.domain.access import Permission, Target, allows
from backend.domain.consultation_operations import Audience, Operation, Party
from backend.domain.consultations import Consultation, State, changes_state
from backend.domain.errors import DomainError
from backend.domain.ids import new_id
from backend.rest.consultation_views import consultation_json, receipt_json
from backend.services.consultation_base import may_read
from backend.services.consultation_reading import Receipt
from backend.services.consultations import ConsultationService
from chat.connections import Connection, Connections
from chat.delivery import Feeds, Transport
from chat.hints import Hint, HintBus

log = structlog.get_logger()

SWEEP_SECONDS = 2.0


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
    ) -> None:
        self._service = service
        self._transport = transport
        self._connections = connections
        self.node = new_id()
        self.bus = HintBus(redis, prefix=prefix, node=self.node, receive=self._hinted, resync=self._resync)
        self.feeds = Feeds(
            transport=transport,
            read_log=service.log_after,
            want=self.bus.want,
            unwant=self.bus.unwant,
        )
        self._watermarks: dict[str, dict[tuple[str, str], tuple[int, int]]] = {}
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

    def committed(self, state: Consultation, operations: Sequence[Operation]) -> None:
        """Operations were committed here."""
        self.feeds.committed(operations)
        self.bus.tell(state.id, seq=operations[-1].seq)
        if any(changes_state(o.payload) for o in operations):
            self._place(state)
            self.bus.tell_all(
                changed=state.id,
                citizen=state.citizen.id,
                staff=state.staff.id if state.staff else None,
                post=state.post_id,
                department=state.department_id,
            )

    def receipt(self, consultation_id: str, reader: Party, delivered: int, read: int) -> None:
        """Somebody's watermarks moved here."""
        self._show_receipt(Receipt(reader, delivered, read), consultation_id)
        who = {"kind": reader.kind, "id": reader.id, "name": reader.name}
        self.bus.tell(consultation_id, rcpt=who, delivered=delivered, read=read)

    def typing(self, connection: Connection, consultation_id: str) -> None:
        """Somebody types here. Gone after five seconds by itself."""
        kind = connection.actor.kind
        self._show_typing(consultation_id, kind, connection)
        self.bus.tell(consultation_id, typing=kind)

    # --- from other nodes ------------------------------------------------------------------------

    def _hinted(self, hint: Hint) -> None:
        if changed := hint.get("changed"):
            if self._concerned(hint):
                self._later(self._look_at(changed))
            return
        consultation_id = hint["conv"]
        if "seq" in hint:
            self.feeds.hinted(consultation_id, hint["seq"])
        elif "rcpt" in hint:
            self._show_receipt(Receipt(Party(**hint["rcpt"]), hint["delivered"], hint["read"]), consultation_id)
        elif "typing" in hint:
            self._show_typing(consultation_id, hint["typing"], None)

    def _concerned(self, hint: Hint) -> bool:
        """Whether anybody here may have to know that a consultation changed hands."""
        if self.feeds.get(hint["changed"]) is not None:
            return True
        if self._connections.of("citizen", hint["citizen"]) or self._connections.of("staff", hint["staff"] or ""):
            return True
        target = Target(post_id=hint["post"], department_id=hint["department"])
        return any(allows(desk.actor, Permission.ANSWER, target) for desk in self._connections.desks())

    async def _look_at(self, consultation_id: str) -> None:
        state = await self._service.state_of(consultation_id)
        if state is not None:
            self._place(state)
            self.feeds.hinted(state.id, state.last_seq)

    def _resync(self) -> None:
        self.feeds.resync()

    # --- who follows what ------------------------------------------------------------------------

    def _place(self, state: Consultation) -> None:
        """Let the right sockets follow a consultation after it changed hands, and no others."""
        for reader in self.feeds.readers(state.id):
            if not may_read(reader.actor, state):
                self.feeds.detach(reader, state.id)
                self._later(self._transport.emit("conv:left", {"conv": state.id}, [reader]))
        for connection in self._connections.of("citizen", state.citizen.id):
            self.join(connection, state)
        if state.staff is not None and state.state is not State.CLOSED:
            for connection in self._connections.of("staff", state.staff.id):
                self.join(connection, state)
        if state.state is State.WAITING_ANSWER:
            self._show_waiting(state)

    def join(self, connection: Connection, state: Consultation) -> None:
        """A consultation that is new to a socket that said hello: first the context, then the operations."""
        if not connection.ready or self.feeds.reads(connection, state.id):
            return
        self._later(self._join(connection, state))

    async def _join(self, connection: Connection, state: Consultation) -> None:
        if self.feeds.reads(connection, state.id):
            return
        read = await self._service.watermarks([state])
        if self.feeds.reads(connection, state.id):  # another push was faster
            return
        shown = consultation_json(state, read[state.id], connection.audience)
        await self._transport.emit("conv", {"joined": True, **shown}, [connection])
        self.feeds.attach(connection, state.id, 0)

    def _show_waiting(self, state: Consultation) -> None:
        """A message to be answered later appears on every desk that may answer it."""
        target = Target(post_id=state.post_id, department_id=state.department_id)
        desks = [
            desk for desk in self._connections.desks() if desk.ready and allows(desk.actor, Permission.ANSWER, target)
        ]
        if desks:
            self._later(self._tell_waiting(state, desks))

    async def _tell_waiting(self, state: Consultation, desks: Sequence[Connection]) -> None:
        read = await self._service.watermarks([state])
        shown = consultation_json(state, read[state.id], Audience.STAFF)
        await self._transport.emit("conv", {"joined": False, **shown}, desks)

    def _show_receipt(self, receipt: Receipt, consultation_id: str) -> None:
        """Show how far somebody has read, unless more was shown already: those of several devices on several
        nodes overtake each other on their way here."""
        readers = self.feeds.readers(consultation_id)
        if not readers:
            return
        shown = self._watermarks.setdefault(consultation_id, {})
        key = (receipt.reader.kind, receipt.reader.id)
        delivered, read = shown.get(key, (0, 0))
        if receipt.delivered <= delivered and receipt.read <= read:
            return
        receipt = Receipt(receipt.reader, max(receipt.delivered, delivered), max(receipt.read, read))
        shown[key] = (receipt.delivered, receipt.read)
        self._later(self._transport.emit("rcpt", {"conv": consultation_id, **receipt_json(receipt)}, readers))

    def _show_typing(self, consultation_id: str, kind: str, typist: Connection | None) -> None:
        others = [r for r in self.feeds.readers(consultation_id) if r is not typist]
        if others:
            self._later(self._transport.emit("typing", {"conv": consultation_id, "who": kind}, others))

    # --- the sweep -------------------------------------------------------------------------------

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                await self.sweep()
            except DomainError as error:
                log.warning("chat_sweep_waits_for_the_database", error=error.code)
            except Exception:
                log.exception("chat_sweep_failed")

    async def sweep(self) -> None:
        """Find what no hint told: newer operations, and consultations that came to people who are here."""
        for consultation_id, seq in (await self._service.ahead(self.feeds.newest())).items():
            self.feeds.hinted(consultation_id, seq)
        self.feeds.nudge()
        self._watermarks = {c: shown for c, shown in self._watermarks.items() if self.feeds.get(c) is not None}
        citizens, staff = self._connections.people("citizen"), self._connections.people("staff")
        if citizens or staff:
            for state in await self._service.belonging_to(citizens, staff):
                self._place_quietly(state)

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
