"""What a district says from the first day: announcements, and quick replies for its desks (words.yaml)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints

from backend.domain.announcements import Announcement, AnnouncementLevel
from backend.domain.ids import derived_id
from backend.domain.organisation import Department
from backend.domain.quick_replies import QuickReply, ReplyScope

_Key = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$")]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    key: _Key
    text: Annotated[str, StringConstraints(min_length=1, max_length=2000)]
    department: str | None = None


class _Announcement(_Entry):
    title: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    level: AnnouncementLevel


class _Reply(_Entry):
    title: Annotated[str, StringConstraints(min_length=1, max_length=30)]
    shortcut: Annotated[str, StringConstraints(pattern=r"^[a-z]{1,12}$")] | None = None


class _Words(BaseModel):
    model_config = ConfigDict(extra="forbid")

    announcements: list[_Announcement] = []
    quick_replies: list[_Reply] = []


@dataclass(frozen=True, slots=True)
class AnnouncementSeed:
    """An announcement that is in force from the moment it is stored."""

    id: str
    title: str
    text: str
    level: AnnouncementLevel
    department_id: str | None

    def published(self, now: datetime) -> Announcement:
        """The announcement as it is stored at `now`."""
        return Announcement(
            id=self.id,
            title=self.title,
            text=self.text,
            level=self.level,
            created_at=now,
            updated_at=now,
            publish_from=now,
            department_id=self.department_id,
        )


@dataclass(frozen=True, slots=True)
class SampleWords:
    announcements: tuple[AnnouncementSeed, ...] = ()
    quick_replies: tuple[QuickReply, ...] = ()


def read_words(raw: Any, departments: Mapping[str, Department]) -> SampleWords:
    """The words in `raw`, with `departments` by their keys. Raises `ValueError` for anything that is not right."""
    words = _Words.model_validate(raw)
    for kind in (words.announcements, words.quick_replies):
        keys = [entry.key for entry in kind]
        if len(set(keys)) < len(keys):
            raise ValueError(f"a key is there twice: {keys}")

    def department_id(entry: _Entry) -> str | None:
        if entry.department is None:
            return None
        if entry.department not in departments:
            raise ValueError(f"{entry.key}: department {entry.department} is not known")
        return departments[entry.department].id

    return SampleWords(
        announcements=tuple(
            AnnouncementSeed(
                id=derived_id("announcement", entry.key),
                title=entry.title,
                text=entry.text,
                level=entry.level,
                department_id=department_id(entry),
            )
            for entry in words.announcements
        ),
        quick_replies=tuple(
            QuickReply(
                id=derived_id("quick_reply", entry.key),
                scope=ReplyScope.DEPARTMENT if entry.department else ReplyScope.DISTRICT,
                owner_id=department_id(entry),
                title=entry.title,
                text=entry.text,
                position=position,
                shortcut=entry.shortcut,
            )
            for position, entry in enumerate(words.quick_replies)
        ),
    )
