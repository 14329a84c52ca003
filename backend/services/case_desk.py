"""Cases as the office uses them: the work list, the clerk's steps, and what the clocks do by themselves.

The citizen's side is in `backend.services.cases`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import datetime, timedelta

from backend.domain import case_decisions as office
from backend.domain.access import SYSTEM, TABLE, Actor, Permission, Scope, require
from backend.domain.calendar import end_of_day, legal_day
from backend.domain.case_steps import Step
from backend.domain.cases import Case, Timer, TimerKind, timers_of
from backend.domain.errors import Forbidden, NotFound
from backend.domain.matters import Guide
from backend.domain.procedure import CaseAction, CaseState, rules_of
from backend.services.case_reckoning import CaseReckoning
from backend.services.case_steps import NO_TAP, CaseSteps, Tap
from backend.storage.cases import DeskCounts, DeskFilter


class CaseDesk:
    def __init__(self, *, steps: CaseSteps) -> None:
        self._steps = steps
        self._reckoning = CaseReckoning(steps=steps)

    # --- the work list ---

    async def work_list(
        self,
        actor: Actor,
        *,
        states: Collection[CaseState] = (),
        due: str | None = None,
        is_open: bool | None = True,
        matter_id: str | None = None,
        search: str | None = None,
        after: tuple[datetime, str] | None = None,
        limit: int = 20,
    ) -> list[tuple[Case, datetime]]:
        """The cases an actor answers for, what is due first in front: those of one's posts, a duty lead's
        those of the department, a supervisor's all. `due` is "overdue" or "today"; `search` see `DeskFilter`.

        Raises `Forbidden` for who has no work list.
        """
        chosen = self._reach(actor)
        now = self._steps.clock.now()
        due_from = due_before = None
        if due == "overdue":
            due_before = now
        elif due == "today":
            due_from, due_before = now, _tomorrow(now)
        return await self._steps.store.desk(
            DeskFilter(
                post_ids=chosen.post_ids,
                department_id=chosen.department_id,
                states=frozenset(states),
                is_open=is_open,
                matter_id=matter_id,
                search=search,
                due_from=due_from,
                due_before=due_before,
            ),
            after=after,
            limit=limit,
        )

    async def counts(self, actor: Actor) -> DeskCounts:
        """How many cases of the work list stand where. Raises `Forbidden` for who has none."""
        now = self._steps.clock.now()
        return await self._steps.store.desk_counts(self._reach(actor), now=now, until=_tomorrow(now))

    @staticmethod
    def _reach(actor: Actor) -> DeskFilter:
        """Whose cases the actor's widest reading right covers."""
        require(actor, Permission.READ_CASE)
        if actor.kind != "staff":
            raise Forbidden
        scopes = {TABLE[role].get(Permission.READ_CASE) for role in actor.roles}
        if Scope.ANY in scopes:
            return DeskFilter()
        if Scope.DEPARTMENT in scopes and actor.department_id is not None:
            return DeskFilter(department_id=actor.department_id)
        return DeskFilter(post_ids=actor.post_ids)

    async def open(self, actor: Actor, case_id: str) -> tuple[Case, Guide]:
        """A case with the guide it is pinned to, for the one who handles it."""
        if actor.kind != "staff":
            require(actor, Permission.READ_CASE)
            raise Forbidden
        case = await self._steps.load(actor, case_id, Permission.READ_CASE)
        return case, await self._steps.guide(case)

    async def of_citizen(self, actor: Actor, citizen_id: str, *, limit: int) -> list[Case]:
        """Of a citizen's newest cases those that the actor may read; drafts are nobody's but the citizen's."""
        require(actor, Permission.READ_CASE)
        found = await self._steps.store.of_citizen(citizen_id, phase="submitted", limit=limit)
        return [case for case in found if await self._steps.may(actor, Permission.READ_CASE, case)]

    # --- the clerk ---

    async def accept(self, actor: Actor, case_id: str, tap: Tap = NO_TAP) -> Case:
        return await self._steps.step(
            actor,
            case_id,
            CaseAction.ACCEPT,
            tap,
            lambda case, guide, now: office.accept(case, guide=guide, by=actor, now=now, calendar=self._steps.calendar),
        )

    async def not_accept(self, actor: Actor, case_id: str, reason: str, tap: Tap = NO_TAP) -> Case:
        return await self._steps.step(
            actor,
            case_id,
            CaseAction.NOT_ACCEPT,
            tap,
            lambda case, _, now: office.not_accept(case, by=actor, now=now, reason=reason),
        )

    async def request_correction(self, actor: Actor, case_id: str, items: Mapping[str, str], tap: Tap = NO_TAP) -> Case:
        return await self._steps.step(
            actor,
            case_id,
            CaseAction.REQUEST_CORRECTION,
            tap,
            lambda case, guide, now: office.request_correction(
                case, items, guide=guide, by=actor, now=now, calendar=self._steps.calendar
            ),
        )

    async def approve(self, actor: Actor, case_id: str, result: str | None, tap: Tap = NO_TAP) -> Case:
        return await self._steps.step(
            actor,
            case_id,
            CaseAction.APPROVE,
            tap,
            lambda case, _, now: office.approve(case, by=actor, now=now, calendar=self._steps.calendar, result=result),
        )

    async def refuse(self, actor: Actor, case_id: str, reason: str, tap: Tap = NO_TAP) -> Case:
        return await self._steps.step(
            actor,
            case_id,
            CaseAction.REFUSE,
            tap,
            lambda case, _, now: office.refuse(case, by=actor, now=now, reason=reason),
        )

    async def close(self, actor: Actor, case_id: str, tap: Tap = NO_TAP) -> Case:
        return await self._steps.step(
            actor,
            case_id,
            CaseAction.CLOSE,
            tap,
            lambda case, _, now: office.close(case, by=actor, now=now),
        )

    # --- the clock ---

    async def fire(self, case_id: str, timer: Timer) -> None:
        """A timer's moment has passed: do what it stands for. Firing again does nothing.

        What the calendar has meanwhile is looked at first: the timer may have moved.
        """
        await self._reckoning.catch_up(case_id)

        def decide(case: Case, guide: Guide, now: datetime) -> Step:
            if timer.key not in {known.key for known in timers_of(case, self._steps.calendar)}:
                raise _Stale
            if timer.kind is TimerKind.CORRECTION_OVER:
                return office.expire_correction(case, by=SYSTEM, now=now)
            if timer.kind is TimerKind.ACCEPTANCE_OVER and rules_of(case.rule_pack).deemed_acceptance:
                return office.deem_accepted(case, guide=guide, by=SYSTEM, now=now, calendar=self._steps.calendar)
            return office.warn(case, timer, by=SYSTEM, now=now)

        with suppress(_Stale, NotFound):
            await self._steps.step(SYSTEM, case_id, CaseAction.WARN, NO_TAP, decide)


def _tomorrow(now: datetime) -> datetime:
    return end_of_day(legal_day(now)) + timedelta(seconds=1)


class _Stale(Exception):
    """The case has moved on, and the timer means nothing any more."""
