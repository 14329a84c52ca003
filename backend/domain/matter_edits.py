"""The editors' side of a matter: what is being written, what is to come into force, and when it ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time

from backend.domain.calendar import SHANGHAI, legal_day
from backend.domain.catalogue import MatterDraft
from backend.domain.errors import InvalidInput, InvalidTransition
from backend.domain.guide_drafts import GuideDraft
from backend.domain.matters import Guide, Matter, MatterState


@dataclass(frozen=True, slots=True)
class Draft:
    """A guide being written. `base_version` is the published version it takes into account, 0 for none."""

    guide: GuideDraft
    base_version: int
    by: str  # staff
    at: datetime


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A finished guide that comes into force when `effective_from` begins in Asia/Shanghai (`due_at`)."""

    guide: Guide
    effective_from: date
    due_at: datetime
    base_version: int
    by: str  # staff
    at: datetime


@dataclass(frozen=True, slots=True)
class MatterEdit:
    """What editors hold of one matter. `id` is the matter's.

    `version` counts every action of an editor on the matter, and is the sequence number of its event; the
    published versions are counted apart. Code, department and area are those a new matter will have: once
    it is published, the matter's own hold.
    """

    id: str
    code: str
    base_code: str | None
    department_id: str
    area_code: str
    version: int
    updated_at: datetime
    draft: Draft | None = None
    scheduled: Scheduled | None = None


def begin_of_day(day: date) -> datetime:
    """The first moment of a legal day."""
    return datetime.combine(day, time(), SHANGHAI)


def effective_day(wanted: date | None, *, now: datetime) -> date:
    """The day from which a publication holds; None means today. Raises `InvalidInput` for the past."""
    today = legal_day(now)
    if wanted is not None and wanted < today:
        raise InvalidInput("生效日期不能早于今天。", field="effective_from")
    return wanted or today


def has_ended(guide: Guide, *, now: datetime) -> bool:
    """Whether the last day of a guide (`effective_to`) is over in Asia/Shanghai."""
    return guide.effective_to is not None and guide.effective_to < legal_day(now)


def state_in_force(current: Matter | None) -> MatterState:
    """The state in which a new version comes into force: publishing brings a cancelled matter back into
    use, and leaves a suspended one suspended."""
    suspended = current is not None and current.state is MatterState.SUSPENDED
    return MatterState.SUSPENDED if suspended else MatterState.ACTIVE


_MOVES = {
    MatterState.SUSPENDED: (frozenset({MatterState.ACTIVE}), "只有在用的事项可以暂停。"),
    MatterState.ACTIVE: (
        frozenset({MatterState.SUSPENDED, MatterState.CANCELLED}),
        "只有暂停或取消的事项可以恢复。",
    ),
    MatterState.CANCELLED: (
        frozenset({MatterState.ACTIVE, MatterState.SUSPENDED}),
        "这个事项已经取消。",
    ),
}


def check_move(matter: Matter, target: MatterState, *, now: datetime) -> None:
    """Raises `InvalidTransition` when a matter cannot be brought into the state `target` by an editor."""
    allowed, refusal = _MOVES[target]
    if matter.state not in allowed:
        raise InvalidTransition(refusal)
    if target is MatterState.ACTIVE and has_ended(matter.guide, now=now):
        raise InvalidTransition("指南写明的停止办理日期已过，请先修改日期并发布新版本。")


def as_draft(matter: Matter, *, guide: Guide | None = None, state: MatterState | None = None) -> MatterDraft:
    """A published matter to be published again, with another guide or in another state."""
    return MatterDraft(
        code=matter.code,
        base_code=matter.base_code,
        department_code="",
        known_department_id=matter.department_id,
        department_name=matter.department_name,
        area_code=matter.area_code,
        guide=guide or matter.guide,
        warnings=matter.warnings if guide is None else (),
        state=state,
    )
