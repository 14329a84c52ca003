"""What the index knows of a matter, and the filters a search may carry."""

from __future__ import annotations

from dataclasses import dataclass

from backend.domain.matters import Audience, Matter, ProjectType, TaskType


@dataclass(frozen=True, slots=True)
class SearchEntry:
    """The searchable part of a matter. `fileable` is false for what can only be read about."""

    id: str
    name: str
    short_name: str | None = None
    everyday_names: tuple[str, ...] = ()
    parent_name: str | None = None
    department: str = ""
    department_id: str = ""
    summary: str = ""
    themes: tuple[str, ...] = ()
    materials: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    audiences: frozenset[Audience] = frozenset()
    task_type: TaskType = TaskType.PUBLIC_SERVICE
    area_code: str = ""
    fileable: bool = True


@dataclass(frozen=True, slots=True)
class SearchFilters:
    """Every field that is given must hold; None means any. `area_code` is a prefix (4401 = the city)."""

    department_id: str | None = None
    theme: str | None = None
    audience: Audience | None = None
    task_type: TaskType | None = None
    area_code: str | None = None

    def allow(self, entry: SearchEntry) -> bool:
        """Whether `entry` passes."""
        return (
            (self.department_id is None or entry.department_id == self.department_id)
            and (self.theme is None or self.theme in entry.themes)
            and (self.audience is None or self.audience in entry.audiences)
            and (self.task_type is None or entry.task_type == self.task_type)
            and (self.area_code is None or entry.area_code.startswith(self.area_code))
        )


def entry_of(matter: Matter) -> SearchEntry:
    """The searchable part of `matter`."""
    guide = matter.guide
    return SearchEntry(
        id=matter.id,
        name=guide.name,
        short_name=guide.short_name,
        everyday_names=guide.everyday_names,
        parent_name=guide.parent_name,
        department=matter.department_name,
        department_id=matter.department_id,
        summary=guide.summary,
        themes=guide.themes,
        materials=tuple(material.name for material in guide.materials),
        conditions=guide.conditions,
        audiences=frozenset(guide.audiences),
        task_type=guide.task_type,
        area_code=matter.area_code,
        fileable=guide.project_type is not ProjectType.INFORMATION,
    )
