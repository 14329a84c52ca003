"""Reading consultations: states, the log from a cursor on, receipts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from backend.domain.access import Actor, Permission, Role, allows, require
from backend.domain.consultation_operations import Operation, Party, view_for
from backend.domain.consultations import Consultation, State, Watermarks
from backend.domain.errors import NotFound, Unavailable
from backend.services.consultation_base import ConsultationBase, audience_of, may_read, party_of, target_of
from backend.services.consultation_turns import Outcome
from backend.storage.consultations import Belonging
from backend.storage.receipts import Moved

MAX_OPS = 200
OPEN_STATES = (State.ACTIVE, State.OFFERED, State.QUEUED, State.WAITING_ANSWER)


@dataclass(frozen=True, slots=True)
class Receipt:
    """Up to which number somebody was sent and has read."""

    reader: Party
    delivered: int
    read: int


class ConsultationReading(ConsultationBase):
    async def get(self, actor: Actor, consultation_id: str) -> Consultation:
        """The present state. Raises `NotFound` for someone else's as for none."""
        require(actor, Permission.READ_CONSULTATION)
        state = await self._store.state(consultation_id)
        if state is None or not may_read(actor, state):
            raise NotFound
        return state

    async def read_for(self, actor: Actor, consultation_id: str, what: str) -> Consultation:
        """The present state for somebody who is about to read `what` of it; recorded where it must be."""
        state = await self.get(actor, consultation_id)
        await self._readings.note(actor, state, what)
        return state

    async def readable(self, actor: Actor, consultation_ids: Sequence[str], what: str) -> dict[str, Consultation]:
        """As `read_for`, of all of these that the actor may read."""
        if not consultation_ids:
            return {}
        require(actor, Permission.READ_CONSULTATION)
        found = await self._store.states(consultation_ids)
        states = {c: found[c] for c in consultation_ids if c in found and may_read(actor, found[c])}
        await asyncio.gather(*(self._readings.note(actor, state, what) for state in states.values()))
        return states

    async def operations(
        self, actor: Actor, consultation_id: str, *, after: int, limit: int = MAX_OPS
    ) -> tuple[list[Operation], Consultation]:
        """What follows number `after`, as this reader may see it, and the state it belongs to."""
        state = await self.read_for(actor, consultation_id, "operations")
        found = await self._store.read(consultation_id, after, min(limit, MAX_OPS))
        return [view_for(o, audience_of(actor)) for o in found], state

    async def mine(self, actor: Actor, *, limit: int, before: tuple[datetime, str] | None = None) -> list[Consultation]:
        """A citizen's consultations, newest first."""
        require(actor, Permission.ASK)
        return await self._store.of_citizen(actor.id, limit=limit, before=before)

    async def desk(
        self,
        actor: Actor,
        *,
        states: Sequence[State] = OPEN_STATES,
        limit: int,
        before: tuple[datetime, str] | None = None,
    ) -> list[Consultation]:
        """What lies on a clerk's desk: assigned to them, of their posts, of the department they lead."""
        require(actor, Permission.ANSWER)
        return await self._store.of_desk(
            staff_id=actor.id,
            post_ids=actor.post_ids,
            department_id=actor.department_id if Role.LEAD in actor.roles else None,
            everything=Role.TRIAGE in actor.roles,
            states=states,
            limit=limit,
            before=before,
        )

    async def open_for(self, actor: Actor, limit: int = 100) -> list[Consultation]:
        """What somebody who connects has under way, newest first."""
        if allows(actor, Permission.ASK):
            found = await self._store.of_citizen(actor.id, limit=limit)
            return [state for state in found if state.state is not State.CLOSED]
        if allows(actor, Permission.ANSWER):
            return await self.desk(actor, limit=limit)
        return []

    async def watermarks(self, states: Sequence[Consultation]) -> dict[str, Watermarks]:
        """Up to where each side has read, for each of these, with one look."""
        found = await self._store.receipts.watermarks([state.id for state in states]) if states else {}
        return {state.id: found.get(state.id, Watermarks()) for state in states}

    # --- receipts --------------------------------------------------------------------------------

    async def receive(
        self, actor: Actor, consultation_id: str, *, delivered: int, read: int, committed: tuple[int, int] = (0, 0)
    ) -> Receipt:
        """Move one's own watermarks forward, never back, and tell the other side.

        Only of those who may talk here: who supervises, and who handed it over, reads without being shown as the side
        that has read.
        `committed` is an epoch and a number the caller knows to be in its log: up to it nothing has to be read.
        Nobody receives what is not there. Returns when it is written; raises as `get`, and `Unavailable`.
        """
        require(actor, Permission.SPEAK)
        state = await self.get(actor, consultation_id)
        require(actor, Permission.SPEAK, target_of(state))
        self._log.learned(state)
        newest = _newest(state, state.last_seq, committed)
        reader = party_of(actor)
        moved = await self._store.receipts.move(
            consultation_id, state.epoch, reader, min(delivered, newest), min(read, newest)
        )
        return self._received(consultation_id, reader, moved)

    def begin_receive(
        self,
        actor: Actor,
        consultation_id: str,
        *,
        delivered: int,
        read: int,
        committed: tuple[int, int],
        outcome: Outcome[Receipt],
    ) -> bool:
        """The same without waiting, for somebody who follows it by a right that was looked at, where nothing has to
        be read for it; else False, and nothing was done."""
        require(actor, Permission.SPEAK)
        known = self._log.settled(consultation_id)
        if known is None:
            return False
        state, last_seq = known
        if max(delivered, read) > _newest(state, last_seq, committed):
            return False
        if not allows(actor, Permission.SPEAK, target_of(state)):
            return False  # by what is known here, which may be old
        reader = party_of(actor)

        def heard(moved: Moved | Unavailable) -> None:
            if isinstance(moved, Unavailable):
                outcome.refused(moved)
            else:
                outcome.done(self._received(consultation_id, reader, moved))

        self._store.receipts.begin_move(consultation_id, state.epoch, reader, delivered, read, heard)
        return True

    def may_be_typing(self, actor: Actor, consultation_id: str) -> bool:
        """Whether somebody who reads it may speak in it, too, by what is known here: a sign is worth no query."""
        known = self._log.settled(consultation_id)
        return allows(actor, Permission.SPEAK, target_of(known[0]) if known is not None else None)

    def _received(self, consultation_id: str, reader: Party, moved: Moved) -> Receipt:
        if moved.forward:
            self._log.announce_receipt(consultation_id, reader, moved.delivered, moved.read)
        return Receipt(reader, moved.delivered, moved.read)

    async def receipts(self, actor: Actor, consultation_id: str) -> list[Receipt]:
        """Every reader's watermarks."""
        await self.get(actor, consultation_id)
        return [Receipt(*row) for row in await self._store.receipts.of(consultation_id)]

    # --- for delivery: no actor, what is read is filtered for each reader by `view_for` and `may_read` --

    async def log_after(self, consultation_id: str, after: int) -> list[Operation]:
        """The log itself from a cursor on, for pushing to those whose right was checked."""
        found = await self._store.read(consultation_id, after, MAX_OPS)
        self._log.followed(consultation_id, found)
        return found

    def passed(self, consultation_id: str, seq: int) -> None:
        """Another node says that it wrote up to a number."""
        self._log.passed(consultation_id, seq)

    async def state_of(self, consultation_id: str) -> Consultation | None:
        """The state itself, for checking a reader's right."""
        return await self._store.state(consultation_id)

    async def states_of(self, consultation_ids: Sequence[str]) -> dict[str, Consultation]:
        """As `state_of`, of all of these that exist."""
        return await self._store.states(consultation_ids)

    async def ahead(self, cursors: Mapping[str, int]) -> dict[str, int]:
        """Which consultations have more than these numbers, and up to where."""
        return await self._store.ahead(cursors)

    async def belonging_to(self, citizen_ids: set[str], staff_ids: set[str]) -> list[Belonging]:
        """Whose the open consultations of these people are that changed within the last minute."""
        since = self._clock.now() - timedelta(minutes=1)
        return await self._store.belonging_to(citizen_ids, staff_ids, since)


def _newest(state: Consultation, last_seq: int, committed: tuple[int, int]) -> int:
    epoch, number = committed
    return max(last_seq, number) if epoch == state.epoch else last_seq
