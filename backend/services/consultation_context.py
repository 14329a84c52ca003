"""What a clerk wants to know around a consultation: the citizen, the matter, the case, what was before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from backend.domain.access import TABLE, Actor, Permission, Scope, require
from backend.domain.accounts import Citizen
from backend.domain.cases import Case
from backend.domain.consultations import Consultation
from backend.domain.errors import Forbidden, NotFound
from backend.domain.matters import Guide, Matter
from backend.services.consultation_base import Readings, may_read
from backend.storage.consultations import ConsultationStore

#: Of a citizen's cases the newest so many are looked at.
_CASES = 50


class Citizens(Protocol):
    async def get(self, citizen_id: str) -> Citizen | None: ...


class Matters(Protocol):
    async def get(self, matter_id: str) -> Matter | None: ...


class Desk(Protocol):
    """Cases, as the actor may see them (`backend.services.case_desk.CaseDesk`)."""

    async def open(self, actor: Actor, case_id: str) -> tuple[Case, Guide]: ...

    async def of_citizen(self, actor: Actor, citizen_id: str, *, limit: int) -> list[Case]: ...


@dataclass(frozen=True, slots=True)
class Context:
    """`matter` is the present version of what the consultation is about; `case` is None when there is none, or
    none that the actor may see; `earlier_count` counts all earlier consultations of the citizen."""

    state: Consultation
    citizen: Citizen | None
    earlier_count: int
    matter: Matter | None
    case: Case | None
    other_cases: list[Case]
    earlier: list[Consultation]


class ConsultationContext:
    def __init__(
        self, *, store: ConsultationStore, citizens: Citizens, matters: Matters, desk: Desk, readings: Readings
    ) -> None:
        self._readings = readings
        self._store = store
        self._citizens = citizens
        self._matters = matters
        self._desk = desk

    async def of(
        self, actor: Actor, consultation_id: str, *, limit: int, before: tuple[datetime, str] | None = None
    ) -> Context:
        """Everything at once; `earlier` is a page of `limit`, from the (updated_at, id) `before` on.

        Raises `Forbidden` for citizens, `NotFound` for whoever may not read the consultation.
        """
        require(actor, Permission.READ_CONSULTATION)
        if actor.kind != "staff":
            raise Forbidden
        state = await self._store.state(consultation_id)
        if state is None or not may_read(actor, state):
            raise NotFound
        await self._readings.note(actor, state, "context")
        cases = await self._desk.of_citizen(actor, state.citizen.id, limit=_CASES)
        scopes = {TABLE[role].get(Permission.READ_CONSULTATION) for role in actor.roles}
        return Context(
            state=state,
            citizen=await self._citizens.get(state.citizen.id),
            earlier_count=await self._store.count_before(state),
            matter=await self._matters.get(state.matter.id) if state.matter else None,
            case=await self._case(actor, state),
            other_cases=[case for case in cases if case.id != state.case_id],
            earlier=await self._store.earlier_of(
                state,
                staff_id=actor.id,
                post_ids=actor.post_ids,
                department_id=actor.department_id if Scope.DEPARTMENT in scopes else None,
                everything=Scope.ANY in scopes,
                limit=limit,
                before=before,
            ),
        )

    async def _case(self, actor: Actor, state: Consultation) -> Case | None:
        if state.case_id is None:
            return None
        try:
            case, _ = await self._desk.open(actor, state.case_id)
        except (NotFound, Forbidden):
            return None
        return case
