"""A guide while somebody is still writing it: every part may be missing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Any

from backend.domain.matters import (
    Audience,
    Fee,
    Guide,
    HandlingArea,
    LegalBasis,
    Level,
    MaterialRequirement,
    ProjectType,
    QuestionAnswer,
    ReceptionMode,
    Result,
    Step,
    TaskType,
    TimeLimit,
    Window,
)


@dataclass(frozen=True, slots=True)
class GuideDraft:
    """The fields of `Guide`, those that a guide must have may be missing. Texts inside may be empty."""

    name: str = ""
    task_type: TaskType | None = None
    level: Level | None = None
    project_type: ProjectType | None = None
    short_name: str | None = None
    everyday_names: tuple[str, ...] = ()
    summary: str = ""
    parent_name: str | None = None
    themes: tuple[str, ...] = ()
    audiences: tuple[Audience, ...] = ()
    basis: tuple[LegalBasis, ...] = ()
    conditions: tuple[str, ...] = ()
    materials: tuple[MaterialRequirement, ...] = ()
    steps: tuple[Step, ...] = ()
    statutory_limit: TimeLimit | None = None
    promised_limit: TimeLimit | None = None
    fees: tuple[Fee, ...] = ()
    visits: int = 0
    visit_reason: str | None = None
    result: Result | None = None
    windows: tuple[Window, ...] = ()
    questions: tuple[QuestionAnswer, ...] = ()
    online: bool = False
    online_address: str | None = None
    handling_area: HandlingArea = HandlingArea.DISTRICT
    reception_mode: ReceptionMode = ReceptionMode.DEPARTMENT
    consult_phone: str | None = None
    complaint_phone: str | None = None
    special_procedures: tuple[str, ...] = ()
    co_departments: tuple[str, ...] = ()
    courier: bool = False
    effective_from: date | None = None
    effective_to: date | None = None


_FIELDS = tuple(field.name for field in fields(Guide))


def draft_of(guide: Guide) -> GuideDraft:
    """A published guide, to be written on."""
    return GuideDraft(**{name: getattr(guide, name) for name in _FIELDS})


def guide_of(draft: GuideDraft) -> Guide:
    """The finished guide. Only for a draft whose type, level and kind are there (`ValueError` otherwise)."""
    if draft.task_type is None or draft.level is None or draft.project_type is None:
        raise ValueError("the draft is not complete")
    return Guide(**{name: getattr(draft, name) for name in _FIELDS})


def with_known_keys(guide: Guide, published: Guide) -> Guide:
    """`guide` with the keys that its materials have in `published`, where one of the same name lost its key.

    What citizens have handed in hangs on a material's key: taking a material out of a guide and writing it
    down again must not make it another one.
    """
    taken = {material.key for material in guide.materials}
    names = Counter(material.name for material in guide.materials)
    free = {material.name: material.key for material in published.materials if material.key not in taken}
    known = {material.key for material in published.materials}
    kept = tuple(
        replace(material, key=free[material.name])
        if material.key not in known and material.name in free and names[material.name] == 1
        else material
        for material in guide.materials
    )
    return replace(guide, materials=kept)


def differences(old: Guide | GuideDraft | None, new: Guide | GuideDraft) -> dict[str, dict[str, Any]]:
    """Field → its old and its new value, for every field that is not the same. All fields for a first one."""
    before = old if old is not None else GuideDraft()
    return {
        name: {"old": getattr(before, name), "new": getattr(new, name)}
        for name in _FIELDS
        if getattr(before, name) != getattr(new, name)
    }
