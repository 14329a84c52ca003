"""Lists for editors: matters in every state, the versions of one, and who did what to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from backend.domain.access import Actor, Permission, require
from backend.domain.errors import NotFound
from backend.domain.events import Event
from backend.domain.guide_drafts import differences
from backend.domain.matter_edits import MatterEdit
from backend.domain.matters import Matter, MatterState
from backend.services.catalogue_editing import AGGREGATE
from backend.storage.accounts import StaffStore
from backend.storage.events import EventStore
from backend.storage.matter_edits import MatterEditStore, Work
from backend.storage.matters import EditorFilters, MatterStore
from backend.storage.organisation import OrganisationStore

_IMPORTED = "system"
_LOOK = 200
#: Fields of a matter beside its guide that a version may change.
_OWN = ("department_name", "area_code", "state")


@dataclass(frozen=True, slots=True)
class EditorRow:
    """One matter in the editors' list. `version` None: never published."""

    id: str
    code: str
    name: str
    department_id: str
    department_name: str
    area_code: str
    state: MatterState
    version: int | None
    effective_from: date | None
    effective_to: date | None
    has_draft: bool
    scheduled: date | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class PublishedVersion:
    """A published version and the fields in which it differs from the one before."""

    matter: Matter
    changed: tuple[str, ...]


class CatalogueReading:
    """What editors list."""

    def __init__(
        self,
        *,
        matters: MatterStore,
        edits: MatterEditStore,
        organisation: OrganisationStore,
        staff: StaffStore,
        events: EventStore,
    ) -> None:
        self._matters = matters
        self._edits = edits
        self._organisation = organisation
        self._staff = staff
        self._events = events

    async def page(
        self, actor: Actor, filters: EditorFilters, *, work: Work | None, after: str | None, limit: int
    ) -> list[EditorRow]:
        """Matters in the order of their codes, after the code `after`.

        `work` keeps those with an open draft or with a version that waits for its day.
        """
        require(actor, Permission.EDIT_CATALOGUE)
        rows = {row.id: row for row in await self._open(filters, work=work, after=after, limit=limit)}
        if work is None and filters.state is not MatterState.DRAFT:
            found = await self._matters.all_states(filters, after=after, limit=limit)
            edits = await self._edits.many(matter.id for matter in found)
            rows |= {matter.id: _row(matter, edits.get(matter.id)) for matter in found}
        return sorted(rows.values(), key=lambda row: row.code)[:limit]

    async def _open(
        self, filters: EditorFilters, *, work: Work | None, after: str | None, limit: int
    ) -> list[EditorRow]:
        """Where a draft or a waiting version is, new matters among them."""
        rows: list[EditorRow] = []
        while len(rows) < limit:
            edits = await self._edits.page(filters, work=work, after=after, limit=_LOOK)
            matters = await self._matters.known(edit.id for edit in edits)
            departments = await self._organisation.departments.many({edit.department_id for edit in edits})
            for edit in edits:
                matter, department = matters.get(edit.id), departments.get(edit.department_id)
                row = _row(matter, edit) if matter else _new(edit, department.name if department else "")
                if filters.state in (None, row.state):
                    rows.append(row)
            if len(edits) < _LOOK:
                break
            after = edits[-1].code
        return rows

    async def versions(self, actor: Actor, matter_id: str, *, before: int | None, limit: int) -> list[PublishedVersion]:
        """The newest first. Raises `NotFound` for a matter that is not known at all."""
        require(actor, Permission.EDIT_CATALOGUE)
        found = await self._matters.versions(matter_id, before=before, limit=limit + 1)
        if not found and before is None and await self._edits.get(matter_id) is None:
            raise NotFound("没有找到这个事项。")
        older: list[Matter | None] = [*found[1:], None]
        return [
            PublishedVersion(matter, _changed(earlier, matter)) for matter, earlier in zip(found, older, strict=True)
        ][:limit]

    async def history(self, actor: Actor, matter_id: str, *, before: int | None, limit: int) -> list[Event]:
        """What editors and the product did to the matter, the latest first."""
        require(actor, Permission.EDIT_CATALOGUE)
        events = await self._events.of(AGGREGATE, matter_id)
        return [event for event in reversed(events) if before is None or event.sequence < before][:limit]

    async def names(self, staff_ids: Iterable[str]) -> dict[str, str]:
        """Names of the staff by id; the product itself is 系统."""
        found = await self._staff.many({i for i in staff_ids if i and i != _IMPORTED})
        return {_IMPORTED: "系统"} | {staff.id: staff.name for staff in found.values()}


def _row(matter: Matter, edit: MatterEdit | None) -> EditorRow:
    touched = edit.updated_at if edit is not None else matter.published_at
    return EditorRow(
        id=matter.id,
        code=matter.code,
        name=matter.guide.name,
        department_id=matter.department_id,
        department_name=matter.department_name,
        area_code=matter.area_code,
        state=matter.state,
        version=matter.version,
        effective_from=matter.guide.effective_from,
        effective_to=matter.guide.effective_to,
        has_draft=edit is not None and edit.draft is not None,
        scheduled=edit.scheduled.effective_from if edit is not None and edit.scheduled is not None else None,
        updated_at=max(touched, matter.published_at),
    )


def _new(edit: MatterEdit, department_name: str) -> EditorRow:
    guide = edit.draft.guide if edit.draft is not None else edit.scheduled.guide if edit.scheduled is not None else None
    return EditorRow(
        id=edit.id,
        code=edit.code,
        name=guide.name if guide is not None else "",
        department_id=edit.department_id,
        department_name=department_name,
        area_code=edit.area_code,
        state=MatterState.DRAFT,
        version=None,
        effective_from=guide.effective_from if guide is not None else None,
        effective_to=guide.effective_to if guide is not None else None,
        has_draft=edit.draft is not None,
        scheduled=edit.scheduled.effective_from if edit.scheduled is not None else None,
        updated_at=edit.updated_at,
    )


def _changed(earlier: Matter | None, matter: Matter) -> tuple[str, ...]:
    if earlier is None:
        return ()
    own = [name for name in _OWN if getattr(earlier, name) != getattr(matter, name)]
    return (*differences(earlier.guide, matter.guide), *own)
