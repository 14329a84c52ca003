"""One step of a case, whoever takes it: load, authorise, decide, save.

The rules decide (`backend.domain.case_steps`, `case_decisions`); the case, its event and its timers are
saved in one transaction. Nothing is announced here: the events are the outbox.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Protocol

import structlog

from backend.domain.access import Actor, Permission, Target, allows, require
from backend.domain.calendar import Calendar
from backend.domain.case_steps import Step, permission_for
from backend.domain.cases import Case, timers_of
from backend.domain.errors import EditConflict, IdempotencyConflict, NotFound
from backend.domain.events import Event
from backend.domain.matters import Guide, Matter
from backend.domain.procedure import CaseAction, CaseState
from backend.ports import Clock
from backend.storage.cases import CaseStore
from backend.storage.database import Database, Session, retry_transient
from backend.storage.documents import utc
from backend.storage.events import EventStore

log = structlog.get_logger()

#: Two who save at once: the later one looks again this many times before it gives up.
_ATTEMPTS = 5


class Matters(Protocol):
    """Where matters are read: the newest version, and the one a case is pinned to."""

    async def get(self, matter_id: str) -> Matter | None: ...

    async def version(self, matter_id: str, version: int) -> Matter | None: ...


class Office(Protocol):
    """Who acts for a post that nobody holds."""

    async def stand_ins(self, post_id: str | None, department_id: str | None) -> frozenset[str]: ...


class Calendars(Protocol):
    """The district's calendar, which may change at any time."""

    @property
    def known(self) -> Calendar: ...

    async def current(self) -> Calendar: ...

    async def refresh(self) -> Calendar: ...


@dataclass(frozen=True, slots=True)
class Tap:
    """How a caller names one action: the version it was looking at, and its own id for the action.

    With an id, a repetition is the same action and answers as the first; with a version, an action on a
    case that has moved on is an `EditConflict`.
    """

    expected_version: int | None = None
    request_id: str | None = None


NO_TAP = Tap()

Decide = Callable[[Case, Guide, datetime], Step]
Within = Callable[[Case, Guide, datetime, Session], Awaitable[Step]]


class CaseSteps:
    """Takes cases from one version to the next. Shared by the citizen's and the office's services."""

    def __init__(
        self,
        *,
        database: Database,
        cases: CaseStore,
        events: EventStore,
        matters: Matters,
        office: Office,
        clock: Clock,
        calendars: Calendars,
    ) -> None:
        self.database = database
        self.store = cases
        self.events = events
        self.matters = matters
        self.office = office
        self.clock = clock
        self.calendars = calendars

    @property
    def calendar(self) -> Calendar:
        """What the step that is under way reckons with."""
        return self.calendars.known

    async def step(
        self,
        actor: Actor,
        case_id: str,
        action: CaseAction,
        tap: Tap,
        decide: Decide,
        *,
        permission: Permission | None = None,
        within: Within | None = None,
    ) -> Case:
        """Load, authorise, decide, save. `within` decides inside the transaction instead."""
        for attempt in range(_ATTEMPTS):
            case = await self.load(actor, case_id, permission or permission_for(action))
            if tap.request_id is not None:
                done = await self.events.by_request(case_id, tap.request_id)
                if done is not None:  # perhaps only since the case was read: read again what it made of it
                    present = await self.load(actor, case_id, permission or permission_for(action))
                    return self._same_action(present, done, actor, action)
            if tap.expected_version is not None and tap.expected_version != case.version:
                raise EditConflict(version=case.version)
            guide = await self.guide(case)
            await self.calendars.current()
            now = utc(self.clock.now())
            try:
                save = partial(self._save, case, guide, now, decide, within, tap.request_id)
                after = await retry_transient(save)
            except EditConflict:
                if attempt == _ATTEMPTS - 1:
                    raise
                continue  # read again: it may be this very action, or a version nobody expected
            log.info("case_step", case_id=case_id, action=action.value, state=after.state.value)
            return after
        raise AssertionError("unreachable")

    async def _save(
        self,
        case: Case,
        guide: Guide,
        now: datetime,
        decide: Decide,
        within: Within | None,
        request_id: str | None,
    ) -> Case:
        """One transaction: the step, its event, its timers."""
        # taken before the decision: should the calendar change meanwhile, the case counts as reckoned with the old
        stamp = self.calendar.stamp
        step = decide(case, guide, now) if within is None else None
        if step is not None and _nothing_changed(case, step):
            return case
        async with self.database.transaction() as session:
            if within is not None:
                step = await within(case, guide, now, session)
            assert step is not None
            after, event = step
            event = replace(event, request_id=request_id)
            await self.store.save(after, event, timers_of(after, self.calendar), session, calendar_stamp=stamp)
        return after

    @staticmethod
    def _same_action(case: Case, done: Event, actor: Actor, action: CaseAction) -> Case:
        """What a repeated action answers: the case as it is now."""
        if done.actor_id != actor.id or done.data.get("action") != action.value:
            raise IdempotencyConflict("同一个操作编号已用于另一个操作。", field="action_id")
        return case

    async def load(self, actor: Actor, case_id: str, permission: Permission) -> Case:
        """A case on which the actor has the permission; else `NotFound`. Drafts are not the staff's."""
        require(actor, permission)
        case = await self.store.get(case_id)
        if case is None or (case.state is CaseState.DRAFT and actor.kind == "staff"):
            raise NotFound
        require(actor, permission, await self._target(actor, permission, case))
        return case

    async def may(self, actor: Actor, permission: Permission, case: Case) -> bool:
        """Whether `load` would give the actor this case."""
        return allows(actor, permission, await self._target(actor, permission, case))

    async def _target(self, actor: Actor, permission: Permission, case: Case) -> Target:
        """What access is decided on; a case whose post nobody holds is also assigned to who stands in."""
        target = case.target
        if actor.kind != "staff" or allows(actor, permission, target):
            return target
        return replace(target, staff_ids=await self.office.stand_ins(target.post_id, target.department_id))

    async def guide(self, case: Case) -> Guide:
        """The guide a case is pinned to."""
        matter = await self.matters.version(case.matter_id, case.matter_version)
        if matter is None:
            raise NotFound("没有找到这个事项。")
        return matter.guide


def _nothing_changed(case: Case, step: Step) -> bool:
    """Whether a step would record an edit that edits nothing."""
    changes = {k: v for k, v in step[1].changes.items() if k != "updated_at"}
    return all(getattr(case, name) == value for name, value in changes.items())
