"""Cases as citizens use them: draft, fill in, hand in, correct, take back, look up.

The office's side is in `backend.services.case_desk`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Protocol

from backend.domain import case_steps as steps
from backend.domain.access import Actor, Permission, require
from backend.domain.calendar import legal_day
from backend.domain.case_steps import Edit, Step
from backend.domain.cases import Case, Channel
from backend.domain.errors import EditConflict, IdempotencyConflict, NotFound
from backend.domain.events import Event
from backend.domain.ids import new_id
from backend.domain.matters import Guide, MatterState, ReceptionMode
from backend.domain.procedure import CaseAction, CaseEventKind, CaseState
from backend.services.case_steps import NO_TAP, CaseSteps, Tap
from backend.services.organisation import Responsible
from backend.storage.cases import Phase, Progress
from backend.storage.database import Session, retry_transient
from backend.storage.documents import utc


class Office(Protocol):
    """Who answers for a matter."""

    async def responsible(
        self,
        *,
        matter_id: str | None,
        department_id: str | None,
        area_code: str | None = None,
        reception_mode: ReceptionMode | None = None,
    ) -> Responsible: ...


class Pages(Protocol):
    """The records of uploaded pages."""

    async def mark_removed(self, page_ids: Sequence[str], at: datetime) -> None: ...


#: Two who save at once: who throws away looks again this many times.
_ATTEMPTS = 5


class CaseService:
    def __init__(self, *, steps: CaseSteps, office: Office, pages: Pages) -> None:
        self._steps = steps
        self._office = office
        self._pages = pages

    # --- steps ---

    async def create(
        self, actor: Actor, matter_id: str, *, case_id: str | None = None, channel: Channel = Channel.WECHAT
    ) -> Case:
        """A new draft for a matter. With `case_id`, a repetition answers with the draft of the first time.

        Raises `NotFound` for an unknown matter and `NotFilable` for one that cannot be filed.
        """
        require(actor, Permission.FILE_CASE)
        matter = await self._steps.matters.get(matter_id)
        if matter is None or matter.state is MatterState.DRAFT:
            raise NotFound("没有找到这个事项。", field="matter_id")
        case, event = steps.draft(
            case_id or new_id(), matter, by=actor, now=utc(self._steps.clock.now()), channel=channel
        )

        async def save() -> None:
            async with self._steps.database.transaction() as session:
                await self._steps.store.insert(case, event, session)

        try:
            await retry_transient(save)
        except EditConflict:
            known = await self._steps.load(actor, case.id, Permission.FILE_CASE)
            if known.matter_id != matter_id:
                raise IdempotencyConflict(
                    "同一个 Idempotency-Key 已用于另一份申请。", field="Idempotency-Key"
                ) from None
            return known
        return case

    async def edit(self, actor: Actor, case_id: str, change: Edit, tap: Tap = NO_TAP) -> Case:
        """Fill in a draft or a case sent back for correction."""
        return await self._steps.step(
            actor,
            case_id,
            CaseAction.EDIT,
            tap,
            lambda case, _, now: steps.edit(case, change, by=actor, now=now),
        )

    async def editable(self, actor: Actor, case_id: str, material_key: str) -> Case:
        """The case, if the actor may put pages into this material's slot now: nothing is changed.

        Raises `NotFound`, `InvalidTransition` and `InvalidInput` as `change_pages` would.
        """
        case = await self._steps.load(actor, case_id, Permission.ATTACH_MATERIAL)
        guide = await self._steps.guide(case)
        steps.place_pages(
            case, material_key, case.pages(material_key), guide=guide, by=actor, now=self._steps.clock.now()
        )
        return case

    async def change_pages(
        self,
        actor: Actor,
        case_id: str,
        material_key: str,
        change: Callable[[tuple[str, ...]], Sequence[str]],
    ) -> Case:
        """Change which pages lie in a slot: `change` gets the present page ids and returns the new ones.

        It may be called again when somebody saved in between. No change is no event.
        """

        def decide(case: Case, guide: Guide, now: datetime) -> Step:
            return steps.place_pages(
                case, material_key, change(case.pages(material_key)), guide=guide, by=actor, now=now
            )

        return await self._steps.step(
            actor, case_id, CaseAction.EDIT, NO_TAP, decide, permission=Permission.ATTACH_MATERIAL
        )

    async def submit(self, actor: Actor, case_id: str, tap: Tap = NO_TAP) -> Case:
        """Hand a draft in: number, responsible post and the acceptance clock follow.

        Raises `IncompleteCase` with everything that is missing.
        """
        case = await self._steps.load(actor, case_id, Permission.FILE_CASE)
        found = await self._office.responsible(
            matter_id=case.matter_id,
            department_id=case.department_id,
            area_code=case.area_code,
            reception_mode=case.reception_mode,
        )
        post_id = found.post.id if found.post else None
        handling = found.post.department_id if found.post else None

        def decide(case: Case, guide: Guide, now: datetime, number: str = "") -> Step:
            return steps.submit(
                case,
                guide=guide,
                by=actor,
                now=now,
                calendar=self._steps.calendar,
                number=number,
                post_id=post_id,
                handling_department_id=handling,
            )

        async def numbered(case: Case, guide: Guide, now: datetime, session: Session) -> Step:
            decide(case, guide, now)  # what cannot be submitted takes no number
            day = legal_day(now)
            # here, where the day is known for certain: midnight may have passed since the request came
            await self._steps.store.prepare_serial(case.matter_code, day)
            return decide(case, guide, now, await self._steps.store.next_number(case.matter_code, day, session))

        return await self._steps.step(actor, case_id, CaseAction.SUBMIT, tap, decide, within=numbered)

    async def discard(self, actor: Actor, case_id: str) -> None:
        """Throw a draft away: its pages are spare, its events stay. Again is the same.

        Raises `InvalidTransition` for what was handed in.
        """
        for attempt in range(_ATTEMPTS):
            try:
                case = await self._steps.load(actor, case_id, Permission.FILE_CASE)
            except NotFound:
                if await self._was_discarded(actor, case_id):
                    return
                raise
            now = utc(self._steps.clock.now())
            after, event = steps.discard(case, by=actor, now=now)
            # before the draft goes: a page that is marked and still in a slot is found to be so and kept
            await self._pages.mark_removed([page for slot in case.materials for page in slot.page_ids], now)
            try:
                await retry_transient(partial(self._remove, after, event))
            except EditConflict:
                if attempt == _ATTEMPTS - 1:
                    raise
                continue
            return

    async def _remove(self, case: Case, event: Event) -> None:
        async with self._steps.database.transaction() as session:
            await self._steps.store.remove(case, event, session)

    async def _was_discarded(self, actor: Actor, case_id: str) -> bool:
        events = await self._steps.events.of("case", case_id)
        last = events[-1] if events else None
        return last is not None and (last.kind, last.actor_id) == (CaseEventKind.DISCARDED.value, actor.id)

    async def resubmit(
        self, actor: Actor, case_id: str, tap: Tap = NO_TAP, answers: Mapping[str, str] | None = None
    ) -> Case:
        """Hand a corrected case in again; `answers` are by the key of the item."""
        return await self._steps.step(
            actor,
            case_id,
            CaseAction.RESUBMIT,
            tap,
            lambda case, guide, now: steps.resubmit(
                case, guide=guide, by=actor, now=now, calendar=self._steps.calendar, answers=answers
            ),
        )

    async def withdraw(self, actor: Actor, case_id: str, reason: str | None, tap: Tap = NO_TAP) -> Case:
        """Take a case back before it is decided."""
        return await self._steps.step(
            actor,
            case_id,
            CaseAction.WITHDRAW,
            tap,
            lambda case, _, now: steps.withdraw(case, by=actor, now=now, reason=reason),
        )

    # --- reading ---

    async def get(self, actor: Actor, case_id: str) -> Case:
        """A case the actor may read; else `NotFound`."""
        return await self._steps.load(actor, case_id, Permission.READ_CASE)

    async def readable(self, actor: Actor, case_id: str) -> Case:
        """A case whose materials the actor may see; else `NotFound`."""
        return await self._steps.load(actor, case_id, Permission.READ_MATERIAL)

    async def guide(self, actor: Actor, case_id: str) -> tuple[Case, Guide]:
        """A case with the guide it is pinned to."""
        case = await self.get(actor, case_id)
        return case, await self._steps.guide(case)

    async def progress(self, actor: Actor, case_id: str) -> Progress:
        """Where a case stands, from one read of a few fields."""
        require(actor, Permission.READ_CASE)
        found = await self._steps.store.progress(case_id)
        if found is None or (found.state is CaseState.DRAFT and actor.kind == "staff"):
            raise NotFound
        require(actor, Permission.READ_CASE, found.target)
        return found

    async def mine(
        self,
        actor: Actor,
        *,
        states: Collection[CaseState],
        before: tuple[datetime, str] | None,
        limit: int,
        phase: Phase | None = None,
    ) -> list[Case]:
        """A citizen's own cases, newest first, older than the (created_at, id) `before`."""
        require(actor, Permission.FILE_CASE)
        return await self._steps.store.of_citizen(actor.id, states=states, phase=phase, before=before, limit=limit)

    async def timeline(self, actor: Actor, case_id: str) -> list[Event]:
        """What happened: for citizens what concerns them, for the staff every step."""
        case = await self._steps.load(actor, case_id, Permission.READ_CASE)
        return await self._steps.events.of("case", case.id, shown=actor.kind == "citizen")
