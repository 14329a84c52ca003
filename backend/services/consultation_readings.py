"""Who read what without being part of it: supervision leaves a record, too.

Citizens, who answered, and the post that is responsible read their own. Anybody else whom the table of rights
lets in is recorded before anything is given: one event for each reading, numbered per consultation.
"""

from __future__ import annotations

from backend.domain.access import Actor, Permission, Target, allows
from backend.domain.consultations import Consultation, State
from backend.domain.errors import EditConflict, Unavailable
from backend.domain.events import Event, record
from backend.ports import Clock
from backend.storage.documents import utc
from backend.storage.events import EventStore

AGGREGATE = "consultation_reading"
_ATTEMPTS = 10


def is_outsider(actor: Actor, state: Consultation) -> bool:
    """Whether somebody who may read a consultation is neither a party of it nor one who is to answer it."""
    if actor.kind != "staff":
        return False
    if actor.id in state.past_staff_ids or (state.staff is not None and state.staff.id == actor.id):
        return False
    if state.post_id is not None and state.post_id in actor.post_ids:
        return False
    unanswered = state.state in (State.QUEUED, State.OFFERED, State.WAITING_ANSWER)
    target = Target(citizen_id=state.citizen.id, post_id=state.post_id, department_id=state.department_id)
    return not (unanswered and allows(actor, Permission.ANSWER, target))


class ConsultationReadings:
    def __init__(self, *, events: EventStore, clock: Clock) -> None:
        self._events = events
        self._clock = clock

    async def note(self, actor: Actor, state: Consultation, what: str) -> None:
        """Record that an outsider reads `what` of a consultation; nothing for everybody else.

        Raises `Unavailable` when it cannot be recorded: then it is not to be read either.
        """
        if not is_outsider(actor, state):
            return
        for _ in range(_ATTEMPTS):
            latest = await self._events.latest(AGGREGATE, state.id, limit=1)
            event = record(
                AGGREGATE,
                state.id,
                latest[0].sequence + 1 if latest else 1,
                what,
                at=utc(self._clock.now()),
                by=actor,
                changes={"last_seq": state.last_seq},
            )
            try:
                await self._events.append(event, announce=False)
            except EditConflict:
                continue  # another reading at the same moment has this number
            return
        raise Unavailable

    async def of(self, consultation_id: str, *, limit: int) -> list[Event]:
        """The last readings by outsiders, the newest first."""
        return await self._events.latest(AGGREGATE, consultation_id, limit=limit)
