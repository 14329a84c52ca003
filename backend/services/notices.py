"""What the outbox makes of events for citizens: notices in the app."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from backend.domain.access import Actor, Permission, require
from backend.domain.events import Event
from backend.domain.ids import derived_id
from backend.ports import Clock
from backend.storage.documents import utc
from backend.storage.notices import Notice, NoticeStore

_TITLES = {
    "submitted": "申请已提交",
    "resubmitted": "补正已提交",
    "withdrawn": "申请已撤回",
    "accepted": "申请已受理",
    "deemed_accepted": "申请视为受理",
    "not_accepted": "申请不予受理",
    "correction_requested": "申请需要补正",
    "correction_expired": "补正期限已过",
    "approved": "申请已通过",
    "refused": "申请未通过",
    "closed": "申请已办结",
    "deadline_approaching": "期限提醒",
    "deadlines_moved": "办理期限有调整",
}


class NoticeService:
    """Also a consumer of the outbox: an event that comes twice is one notice."""

    name = "notices"

    def __init__(self, *, notices: NoticeStore, clock: Clock) -> None:
        self._notices = notices
        self._clock = clock

    async def consume(self, event: Event) -> None:
        """Make a notice of an event that has a text for a citizen."""
        citizen_id = event.data.get("citizen_id")
        if not event.text or not isinstance(citizen_id, str):
            return
        await self._notices.add(
            Notice(
                id=derived_id("notice", event.id),
                citizen_id=citizen_id,
                subject=event.aggregate,
                subject_id=event.aggregate_id,
                kind=event.kind,
                title=_TITLES.get(event.kind, "办理进度"),
                text=event.text,
                at=event.at,
            )
        )

    async def list(
        self, actor: Actor, *, unread: bool, before: tuple[datetime, str] | None, limit: int
    ) -> list[Notice]:
        """One's own notices, newest first."""
        require(actor, Permission.FILE_CASE)
        return await self._notices.of_citizen(actor.id, unread=unread, before=before, limit=limit)

    async def unread(self, actor: Actor) -> int:
        require(actor, Permission.FILE_CASE)
        return await self._notices.unread(actor.id)

    async def mark_read(self, actor: Actor, ids: Collection[str] | None) -> int:
        """Mark some of one's notices, or all with None, as read; how many were unread. Those of others are
        not touched."""
        require(actor, Permission.FILE_CASE)
        return await self._notices.mark_read(actor.id, ids, utc(self._clock.now()))
