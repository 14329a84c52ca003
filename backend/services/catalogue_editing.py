"""Editors at the catalogue: write a guide, publish it now or from a day on, suspend, resume and cancel.

What editors hold of a matter (`MatterEdit`) and what is published (`Matter`) are saved in one transaction
with the event that says who changed what. Every action states the edit version that was read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import structlog

from backend.domain.access import SYSTEM, Actor, Permission, require
from backend.domain.calendar import legal_day
from backend.domain.catalogue import MatterDraft, publish
from backend.domain.codes import parse_matter_code
from backend.domain.errors import EditConflict, InvalidInput, InvalidTransition, NotFound
from backend.domain.guide_checks import GuideProblem, Severity, files_of, problems_of
from backend.domain.guide_drafts import GuideDraft, differences, draft_of, guide_of, with_known_keys
from backend.domain.ids import derived_id
from backend.domain.matter_edits import (
    Draft,
    MatterEdit,
    Scheduled,
    as_draft,
    begin_of_day,
    check_move,
    effective_day,
    has_ended,
    state_in_force,
)
from backend.domain.matters import Guide, Matter, MatterState
from backend.domain.organisation import Post
from backend.ports import Clock
from backend.services.audit import Audit
from backend.services.catalogue import Catalogue
from backend.services.editable import Editable, NewMatter, first_edit, refuse
from backend.storage.database import Session
from backend.storage.documents import utc
from backend.storage.kept import AlreadyThere
from backend.storage.matter_edits import MatterEditStore
from backend.storage.matters import MatterStore
from backend.storage.organisation import OrganisationStore

log = structlog.get_logger()

AGGREGATE = "matter"


class CatalogueEditing:
    """What an editor does with one matter."""

    def __init__(
        self,
        *,
        matters: MatterStore,
        edits: MatterEditStore,
        organisation: OrganisationStore,
        catalogue: Catalogue,
        audit: Audit,
        clock: Clock,
    ) -> None:
        self._matters = matters
        self._edits = edits
        self._organisation = organisation
        self._catalogue = catalogue
        self._audit = audit
        self._clock = clock

    # --- reading -----------------------------------------------------------------------------

    async def get(self, actor: Actor, matter_id: str) -> Editable:
        """Raises `NotFound`."""
        require(actor, Permission.EDIT_CATALOGUE)
        matter, edit = await self._matters.get(matter_id), await self._edits.get(matter_id)
        if matter is None and (edit is None or (edit.draft is None and edit.scheduled is None)):
            raise NotFound("没有找到这个事项。")
        return await self._seen(matter_id, matter, edit)

    async def _read(self, actor: Actor, matter_id: str, version: int) -> Editable:
        found = await self.get(actor, matter_id)
        if found.version != version:
            raise EditConflict
        return found

    async def _seen(self, matter_id: str, matter: Matter | None, edit: MatterEdit | None) -> Editable:
        guide = edit.draft.guide if edit is not None and edit.draft is not None else None
        place = matter or edit
        if place is None:
            raise NotFound("没有找到这个事项。")
        shown = guide or (edit.scheduled.guide if edit is not None and edit.scheduled is not None else None)
        mode = shown.reception_mode if shown is not None else matter.guide.reception_mode if matter else None
        post = await self._organisation.post_for(
            matter_id=matter_id, department_id=place.department_id, area_code=place.area_code, reception_mode=mode
        )
        department = await self._organisation.department(place.department_id)
        problems = await self._problems(edit.draft, matter, post) if edit is not None and edit.draft else ()
        name = matter.department_name if matter is not None else department.name if department is not None else ""
        return Editable(matter_id, matter, edit, name, post, problems)

    async def _problems(self, draft: Draft, matter: Matter | None, post: Post | None) -> tuple[GuideProblem, ...]:
        known = await self._matters.known_files(files_of(draft.guide))
        found = list(problems_of(draft.guide, known_files=known, today=legal_day(self._clock.now())))
        if post is None:
            detail = "没有岗位负责这个事项，咨询和办件会无人接手：请先在“责任分工”里为这个部门或事项指定岗位。"
            found.append(GuideProblem("responsible", "nobody-responsible", detail))
        elif not post.holders:
            detail = f"负责的岗位“{post.name}”目前没有人员，咨询会转给部门值班负责人。"
            found.append(GuideProblem("responsible", "unstaffed", detail, Severity.ADVICE))
        if matter is not None and matter.version != draft.base_version:
            detail = f"起草之后，这个事项已经更新到第 {matter.version} 版，请核对后再发布。"
            found.append(GuideProblem("base_version", "outdated", detail))
        return tuple(found)

    # --- writing -----------------------------------------------------------------------------

    async def create(self, actor: Actor, new: NewMatter) -> Editable:
        """A new matter, as a draft. Raises `InvalidInput`, and `AlreadyThere` for a code in use."""
        require(actor, Permission.EDIT_CATALOGUE)
        try:
            code = parse_matter_code(new.code)
        except InvalidInput as error:
            raise InvalidInput(error.detail, field="code") from error
        department = await self._organisation.department(new.department_id)
        if department is None:
            raise InvalidInput("没有这个部门。", field="department_id")
        matter_id, now = derived_id("matter", code.code), utc(self._clock.now())
        known, matter = await self._edits.get(matter_id), await self._matters.get(matter_id)
        if matter is not None or (known is not None and (known.draft or known.scheduled)):
            raise AlreadyThere("已经有这个编码的事项。", field="code", matter_id=matter_id)
        edit = MatterEdit(
            id=matter_id,
            code=code.code,
            base_code=code.base_code,
            department_id=department.id,
            area_code=new.area_code or department.area_code,
            version=known.version + 1 if known is not None else 1,
            updated_at=now,
            draft=Draft(new.guide, 0, actor.id, now),
        )
        await self._save(actor, edit, "created", differences(None, new.guide))
        return await self.get(actor, matter_id)

    async def save_draft(
        self, actor: Actor, matter_id: str, guide: GuideDraft, *, version: int, base_version: int | None = None
    ) -> Editable:
        """Keep a draft, complete or not.

        `base_version` is the published version it takes into account; None: as before, for a new draft the
        present one. Raises `EditConflict`, and `InvalidTransition` while a version waits for its day.
        """
        found = await self._read(actor, matter_id, version)
        edit = found.edit or first_edit(found)
        if edit.scheduled is not None:
            day = edit.scheduled.effective_from
            raise InvalidTransition(f"已有定于 {day.isoformat()} 生效的版本；要修改，请先撤回。")
        before = edit.draft.guide if edit.draft is not None else found.matter.guide if found.matter else None
        if base_version is not None and base_version > found.published_version:
            raise InvalidInput("还没有这个版本。", field="base_version")
        if base_version is None:
            base_version = edit.draft.base_version if edit.draft is not None else found.published_version
        draft = Draft(guide, base_version, actor.id, utc(self._clock.now()))
        await self._save(actor, self._next(edit, draft=draft), "draft_saved", differences(before, guide))
        return await self.get(actor, matter_id)

    async def discard_draft(self, actor: Actor, matter_id: str, *, version: int) -> None:
        """Throw the draft away; a matter that was never published is gone with it. Raises `EditConflict`."""
        found = await self._read(actor, matter_id, version)
        if found.edit is None or found.edit.draft is None:
            raise NotFound("没有草稿。")
        changes = {"draft": {"old": found.edit.draft.guide, "new": None}}
        await self._save(actor, self._next(found.edit, draft=None), "draft_discarded", changes)

    # --- publishing --------------------------------------------------------------------------

    async def publish(
        self, actor: Actor, matter_id: str, *, version: int, effective_from: date | None = None
    ) -> Editable:
        """Put the draft in force: today (or None) at once, a later day when that day begins.

        Raises `EditConflict`, `InvalidTransition` without a draft or without a change, and `InvalidInput`
        whose `errors` name what keeps the draft from being published.
        """
        found = await self._read(actor, matter_id, version)
        edit, now = found.edit, utc(self._clock.now())
        if edit is None or edit.draft is None:
            raise InvalidTransition("没有可以发布的草稿。")
        day = effective_day(effective_from, now=now)
        refuse(found)
        guide = guide_of(edit.draft.guide)
        if found.matter is not None:
            guide = with_known_keys(guide, found.matter.guide)
        if effective_from is not None or (guide.effective_from is not None and guide.effective_from > day):
            guide = replace(guide, effective_from=day)
        if guide.effective_to is not None and guide.effective_to < day:
            raise InvalidInput("停止办理的日期早于生效日期。", field="effective_from")
        changes = differences(found.matter.guide if found.matter else None, guide)
        if found.matter is not None and not changes and found.matter.state is state_in_force(found.matter):
            raise InvalidTransition("草稿与现行版本相同，没有需要发布的内容。")
        if day > legal_day(now):
            scheduled = Scheduled(guide, day, begin_of_day(day), edit.draft.base_version, actor.id, now)
            await self._save(actor, self._next(edit, draft=None, scheduled=scheduled), "scheduled", changes)
        else:
            await self._put(actor, found, self._next(edit, draft=None), guide, "published", changes)
        return await self.get(actor, matter_id)

    async def unschedule(self, actor: Actor, matter_id: str, *, version: int) -> Editable:
        """Take back the version that waits for its day: it is the draft again. Raises `EditConflict`."""
        found = await self._read(actor, matter_id, version)
        if found.edit is None or found.edit.scheduled is None:
            raise NotFound("没有等待生效的版本。")
        await self._save(actor, self._taken_back(found.edit, found.matter), "unscheduled", {})
        return await self.get(actor, matter_id)

    def _taken_back(self, edit: MatterEdit, matter: Matter | None) -> MatterEdit:
        waiting = edit.scheduled
        if waiting is None:
            return self._next(edit)
        # the day was chosen for this publication: the draft must not carry it into the next one
        since = matter.guide.effective_from if matter is not None else None
        guide = draft_of(replace(waiting.guide, effective_from=since))
        return self._next(edit, draft=Draft(guide, waiting.base_version, waiting.by, waiting.at), scheduled=None)

    async def put_due_in_force(self, limit: int = 100) -> int:
        """Put in force what waited for a day that has begun, and end what had its last day; how many that were.

        Any number of nodes may do it at the same time: the first to save wins, the others find nothing left.
        """
        now, count = self._clock.now(), 0
        for edit in await self._edits.due(now, limit=limit):
            count += await self._alone(edit.id, self._put_in_force)
        for matter_id in await self._matters.ended(legal_day(now), limit=limit):
            count += await self._alone(matter_id, self._end)
        return count

    async def _alone(self, matter_id: str, act: Callable[[str], Awaitable[None]]) -> int:
        """One of them must not keep the others waiting."""
        try:
            await act(matter_id)
        except EditConflict:
            return 0
        except (InvalidInput, InvalidTransition, NotFound):
            log.exception("matter_not_put_in_force", matter_id=matter_id)
            return 0
        return 1

    async def _put_in_force(self, matter_id: str) -> None:
        found = await self.get(SYSTEM, matter_id)
        edit = found.edit
        if edit is None or edit.scheduled is None or edit.scheduled.due_at > self._clock.now():
            raise EditConflict
        guide = edit.scheduled.guide
        changes = differences(found.matter.guide if found.matter else None, guide)
        await self._put(
            SYSTEM, found, self._next(edit, scheduled=None), guide, "in_force", changes, by=edit.scheduled.by
        )

    async def _end(self, matter_id: str) -> None:
        found = await self.get(SYSTEM, matter_id)
        if found.matter is None or not has_ended(found.matter.guide, now=self._clock.now()):
            raise EditConflict
        last = found.matter.guide.effective_to
        reason = f"这个事项办理到 {last.year} 年 {last.month} 月 {last.day} 日为止。" if last is not None else None
        edit = self._next(found.edit or first_edit(found))
        await self._move(SYSTEM, found, edit, MatterState.CANCELLED, "ended", reason)

    # --- states ------------------------------------------------------------------------------

    async def move(self, actor: Actor, matter_id: str, target: MatterState, *, reason: str, version: int) -> Editable:
        """Suspend, cancel or resume a published matter; citizens read the reason.

        Cancelling takes back what waits for its day. Raises `EditConflict`, `InvalidTransition`.
        """
        found = await self._read(actor, matter_id, version)
        if not reason.strip():
            raise InvalidInput("请写明原因，群众会看到。", field="reason")
        if found.matter is None:
            raise InvalidTransition("这个事项还没有发布。")
        check_move(found.matter, target, now=self._clock.now())
        edit = found.edit or first_edit(found)
        edit = self._taken_back(edit, found.matter) if target is MatterState.CANCELLED else self._next(edit)
        kind = "resumed" if target is MatterState.ACTIVE else target.value
        await self._move(actor, found, edit, target, kind, reason.strip())
        return await self.get(actor, matter_id)

    async def _move(
        self, actor: Actor, found: Editable, edit: MatterEdit, target: MatterState, kind: str, reason: str | None
    ) -> None:
        matter = found.matter
        if matter is None:
            raise NotFound("没有找到这个事项。")
        changes = {
            "state": {"old": matter.state, "new": target},
            "state_reason": {"old": matter.state_reason, "new": reason},
        }
        await self._put(actor, found, edit, matter.guide, kind, changes, state=target, reason=reason)

    # --- saving with the record of it --------------------------------------------------------

    def _next(self, edit: MatterEdit, **changes: Any) -> MatterEdit:
        return replace(edit, version=edit.version + 1, updated_at=utc(self._clock.now()), **changes)

    async def _save(self, actor: Actor, edit: MatterEdit, kind: str, changes: Mapping[str, Any]) -> None:
        await self._audit.save(
            actor,
            AGGREGATE,
            edit.id,
            kind,
            version=edit.version,
            changes=changes,
            write=lambda session: self._edits.save(edit, session=session),
        )
        log.info("matter_edited", matter_id=edit.id, kind=kind, by=actor.id)

    async def _put(
        self,
        actor: Actor,
        found: Editable,
        edit: MatterEdit,
        guide: Guide,
        kind: str,
        changes: Mapping[str, Any],
        *,
        by: str | None = None,
        state: MatterState | None = None,
        reason: str | None = None,
    ) -> None:
        """Publish `guide` and save `edit`, both or neither. Raises `EditConflict` when the matter changed."""
        now, wanted = utc(self._clock.now()), state or state_in_force(found.matter)

        def decide(current: Mapping[str, Matter]) -> list[Matter]:
            there = current.get(edit.id)
            if (there.version if there is not None else 0) != found.published_version:
                raise EditConflict
            draft = (
                as_draft(there, guide=guide, state=wanted)
                if there is not None
                else MatterDraft(
                    code=edit.code,
                    base_code=edit.base_code,
                    department_code="",
                    known_department_id=edit.department_id,
                    department_name=found.department_name,
                    area_code=edit.area_code,
                    guide=guide,
                    state=wanted,
                )
            )
            made = publish(there, draft, now=now, by=by or actor.id, reason=reason)
            return [made] if made is not None else []

        async def write(session: Session) -> None:
            fresh = await self._matters.publish_within(session, [edit.id], decide)
            kept = edit
            if fresh and edit.draft is not None and edit.draft.base_version == found.published_version:
                # only the state changed: the draft still knows everything that was published
                kept = replace(edit, draft=replace(edit.draft, base_version=fresh[0].version))
            await self._edits.save(kept, session=session)

        await self._audit.save(actor, AGGREGATE, edit.id, kind, version=edit.version, changes=changes, write=write)
        log.info("matter_published", matter_id=edit.id, kind=kind, by=actor.id)
        await self._catalogue.refresh()
