"""A canary: a consultation between a citizen and a clerk who exist for a minute, to see what is delivered.

It goes by no routing, has no post and no department, is in nobody's lists and in no statistics, and is
deleted, not closed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from backend.domain.access import Actor, Role
from backend.domain.accounts import Staff
from backend.domain.consultation_operations import Assigned, AssignmentCause, Opened, Party
from backend.domain.consultations import Consultation
from backend.domain.ids import new_id
from backend.domain.organisation import DutyTier
from backend.ports import Clock
from backend.services.consultation_log import ConsultationLog, Draft, Request
from backend.services.sessions import SessionService
from backend.storage.canaries import CanaryStore
from backend.storage.consultation_epochs import ConsultationEpochs

#: A canary as old as this was left behind by a command that was killed.
LEFT_BEHIND = timedelta(minutes=30)
_NAME = "系统自检"


@dataclass(frozen=True, slots=True)
class Canary:
    """An open consultation that both may talk in."""

    consultation: Consultation
    citizen: Actor
    clerk: Actor


class CanaryService:
    def __init__(
        self,
        *,
        store: CanaryStore,
        log: ConsultationLog,
        epochs: ConsultationEpochs,
        sessions: SessionService,
        clock: Clock,
    ) -> None:
        self._store = store
        self._log = log
        self._epochs = epochs
        self._sessions = sessions
        self._clock = clock

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Canary]:
        """A canary for as long as the context lasts. Raises `Unavailable`."""
        for left in await self._store.left_behind(LEFT_BEHIND):
            await self._store.remove(*left)
        citizen_id, clerk_id, cid = new_id(), new_id(), new_id()
        clerk = Staff(
            id=clerk_id,
            username=f"canary-{clerk_id}",
            name=_NAME,
            department_id=None,
            roles=frozenset({Role.CLERK}),
            created_at=self._clock.now(),
        )
        citizen = Party("citizen", citizen_id, _NAME)
        drafts = [
            Draft(Opened(citizen, _NAME)),
            Draft(
                Assigned(
                    Party("staff", clerk_id, _NAME), None, None, DutyTier.HOLDER, AssignmentCause.ROUTED, explanation=""
                ),
                own=False,
            ),
        ]
        epoch = await self._epochs.current()
        operations, state = self._log.number(None, drafts, Request(citizen, cid, "canary"), new_id(), epoch)
        try:
            await self._store.add(clerk, state, operations, cid)
            asking = await self._sessions.open_citizen(citizen_id, _NAME, _NAME)
            answering = await self._sessions.open_staff(clerk_id, _NAME)
            yield Canary(
                state,
                await self._sessions.actor_of(asking.session_id),
                await self._sessions.actor_of(answering.session_id),
            )
        finally:
            await self._store.remove(state.id, citizen_id, clerk_id)
