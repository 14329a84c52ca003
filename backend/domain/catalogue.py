"""How a catalogue changes: drafts become published versions, equal drafts change nothing."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from datetime import datetime

from backend.domain.ids import derived_id
from backend.domain.matters import Guide, LimitUnit, Matter, MatterState, TimeLimit


@dataclass(frozen=True, slots=True)
class MatterDraft:
    """A matter as an importer or an editor hands it in, before it has a version.

    `department_code` identifies the department at its source, `known_department_id` says that it is there
    already. `warnings` are Chinese sentences about what is odd but usable. `state` None leaves a matter in
    the state it is in; a new one is in use.
    """

    code: str
    base_code: str | None
    department_code: str
    department_name: str
    area_code: str
    guide: Guide
    warnings: tuple[str, ...] = ()
    state: MatterState | None = None
    known_department_id: str | None = None

    @property
    def id(self) -> str:
        """The matter's id: the one its code derives, so that importing twice means the same matter."""
        return derived_id("matter", self.code)

    @property
    def department_id(self) -> str:
        return self.known_department_id or derived_id("department", self.department_code)


def content_hash(draft: MatterDraft, state: MatterState) -> str:
    """SHA-256 over everything a citizen is told: the guide, whose it is, where it holds, its state."""
    content = [
        dataclasses.asdict(draft.guide),
        draft.base_code,
        draft.department_id,
        draft.department_name,
        draft.area_code,
        state,
    ]
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def publish(
    current: Matter | None, draft: MatterDraft, *, now: datetime, by: str = "", reason: str | None = None
) -> Matter | None:
    """The version that publishing `draft` makes, or None when it says what `current` says already.

    `reason` is kept where the state changes.
    """
    state = draft.state or (current.state if current is not None else MatterState.ACTIVE)
    digest = content_hash(draft, state)
    moved = current is not None and current.state is not state
    if current is not None and current.content_hash == digest:
        return None
    return Matter(
        id=draft.id,
        code=draft.code,
        base_code=draft.base_code,
        department_id=draft.department_id,
        department_name=draft.department_name,
        area_code=draft.area_code,
        version=current.version + 1 if current else 1,
        state=state,
        guide=draft.guide,
        content_hash=digest,
        published_at=now,
        warnings=draft.warnings,
        published_by=by,
        state_reason=reason if moved or current is None else current.state_reason,
        state_since=now if moved else current.state_since if current is not None else None,
    )


def oddities(guide: Guide) -> tuple[str, ...]:
    """What is odd in a guide but does not forbid publishing it, as Chinese sentences."""
    found = []
    if guide.visits > 0 and not guide.visit_reason:
        found.append(f"需要到现场 {guide.visits} 次，但没有写明原因。")
    if _longer(guide.promised_limit, guide.statutory_limit):
        found.append("承诺时限比法定时限长。")
    if guide.effective_from and guide.effective_to and guide.effective_to < guide.effective_from:
        found.append("取消日期早于生效日期。")
    return tuple(found)


def _longer(promised: TimeLimit | None, statutory: TimeLimit | None) -> bool:
    if promised is None or statutory is None or promised.unit is LimitUnit.INSTANT:
        return False
    return promised.unit is statutory.unit and promised.amount > statutory.amount
