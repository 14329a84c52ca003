"""Announcements (公告): what the district or one department tells everybody, for a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from backend.domain.errors import InvalidInput

#: So much of the text stands in a list; the whole is read one by one.
SUMMARY_LENGTH = 120


class AnnouncementLevel(StrEnum):
    """The order of the names is the order of lists: what is important comes first."""

    IMPORTANT = "important"
    NOTICE = "notice"


class AnnouncementState(StrEnum):
    """Where an announcement stands at a moment."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    PUBLISHED = "published"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Announcement:
    """Plain text in paragraphs. It is in force from `publish_from` (None: still a draft) until just before
    `publish_until` (None: open). `department_id` is who announces; None is the district."""

    id: str
    title: str
    text: str
    level: AnnouncementLevel
    created_at: datetime
    updated_at: datetime
    publish_from: datetime | None = None
    publish_until: datetime | None = None
    department_id: str | None = None
    version: int = 1

    def state(self, now: datetime) -> AnnouncementState:
        """What it is at the moment `now`."""
        if self.publish_from is None:
            return AnnouncementState.DRAFT
        if self.publish_until is not None and self.publish_until <= now:
            return AnnouncementState.ENDED
        return AnnouncementState.PUBLISHED if self.publish_from <= now else AnnouncementState.SCHEDULED

    @property
    def summary(self) -> str:
        """The beginning in one line."""
        line = " ".join(self.text.split())
        return line if len(line) <= SUMMARY_LENGTH else line[: SUMMARY_LENGTH - 1] + "…"


def check_announcement(item: Announcement) -> None:
    """Raises `InvalidInput` for an announcement without words or with an end before its beginning."""
    if not item.title.strip():
        raise InvalidInput("请填写公告标题。", field="title")
    if not item.text.strip():
        raise InvalidInput("请填写公告内容。", field="text")
    if item.publish_from and item.publish_until and item.publish_until <= item.publish_from:
        raise InvalidInput("结束时间应当晚于发布时间。", field="publish_until")
