"""What the office sees around a case: how long is left, who handles it, who did what, what was asked about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from backend.domain.access import Actor, Permission
from backend.domain.accounts import Staff
from backend.domain.cases import Case
from backend.domain.consultations import Consultation
from backend.domain.deadlines import days_left
from backend.domain.events import Event
from backend.domain.limits import format_limit
from backend.domain.organisation import Post
from backend.domain.procedure import NEXT_STEPS, CaseAction, CaseEventKind, allowed, rules_of
from backend.services.case_steps import CaseSteps
from backend.services.consultation_base import may_read
from backend.storage.consultations import ConsultationStore

#: Of the consultations about a case the newest so many are shown.
_CONSULTATIONS = 20


class Posts(Protocol):
    async def post(self, post_id: str) -> Post | None: ...


class People(Protocol):
    async def many(self, staff_ids: Iterable[str]) -> dict[str, Staff]: ...


@dataclass(frozen=True, slots=True)
class Handling:
    """Who handles a case: the post's name and the people, who stand in where `unstaffed`."""

    post_name: str | None
    people: tuple[str, ...]
    unstaffed: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """`days_left` see `deadlines.days_left`. `actions` are those that the actor may take now."""

    handling: Handling
    days_left: int | None
    overdue: bool
    next_step: str | None
    actions: tuple[CaseAction, ...]
    not_accepted_appeal: str
    refusal_appeal: str
    correction_limit: str
    consultations: tuple[Consultation, ...]


class CaseOverview:
    def __init__(self, *, steps: CaseSteps, posts: Posts, people: People, consultations: ConsultationStore) -> None:
        self._steps = steps
        self._posts = posts
        self._people = people
        self._consultations = consultations

    async def left(self, cases: Iterable[Case]) -> list[int | None]:
        """How many days are left for each; None where nothing is due."""
        calendar, now = await self._steps.calendars.current(), self._steps.clock.now()
        return [days_left(case.due, now, calendar) if case.due else None for case in cases]

    async def handling(self, cases: Iterable[Case]) -> list[Handling]:
        """Who handles each of these."""
        cases = list(cases)
        known: dict[tuple[str | None, str | None], Handling] = {}
        for case in cases:
            place = (case.post_id, case.target.department_id)
            if place not in known:
                known[place] = await self._handling(*place)
        return [known[case.post_id, case.target.department_id] for case in cases]

    async def _handling(self, post_id: str | None, department_id: str | None) -> Handling:
        post = await self._posts.post(post_id) if post_id else None
        stand_ins = await self._steps.office.stand_ins(post_id, department_id)
        holders = [holder.staff_id for holder in post.holders] if post and not stand_ins else sorted(stand_ins)
        people = await self._people.many(holders)
        names = tuple(people[staff_id].name for staff_id in holders if staff_id in people and people[staff_id].active)
        return Handling(post.name if post else None, names, unstaffed=bool(stand_ins) or not names)

    async def of(self, actor: Actor, case: Case) -> Overview:
        """Everything about a case that the actor was given to read."""
        rules, now = rules_of(case.rule_pack), self._steps.clock.now()
        rows = allowed(case.rule_pack, case.state, instant=case.instant, corrections=len(case.corrections))
        asked = await self._consultations.about_case(case.citizen_id, case.id, limit=_CONSULTATIONS)
        return Overview(
            handling=(await self.handling([case]))[0],
            days_left=(await self.left([case]))[0],
            overdue=case.due is not None and case.due.due_at < now,
            next_step=NEXT_STEPS.get(case.state),
            actions=tuple(
                [row.action for row in rows if "staff" in row.by and await self._steps.may(actor, row.permission, case)]
            ),
            not_accepted_appeal=rules.not_accepted_appeal,
            refusal_appeal=rules.refusal_appeal,
            correction_limit=format_limit(rules.correction_limit),
            consultations=tuple(state for state in asked if may_read(actor, state)),
        )

    async def timeline(self, actor: Actor, case_id: str) -> list[tuple[Event, str | None]]:
        """The events of a case from submission on, with the names of the staff who acted. Raises `NotFound`."""
        case = await self._steps.load(actor, case_id, Permission.READ_CASE)
        events = await self._steps.events.of("case", case.id)
        handed_in = next((n for n, event in enumerate(events) if event.kind == CaseEventKind.SUBMITTED), 0)
        events = events[handed_in:]  # how the draft came about is the citizen's own affair
        people = await self._people.many({event.actor_id for event in events if event.actor_kind == "staff"})
        return [(event, people[event.actor_id].name if event.actor_id in people else None) for event in events]
