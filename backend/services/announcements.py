"""Announcements: kept by editors and administrators, read by everybody while they are in force."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

import structlog

from backend.domain.access import Actor, Permission, require
from backend.domain.announcements import Announcement, AnnouncementLevel, AnnouncementState, check_announcement
from backend.domain.errors import EditConflict, InvalidInput, NotFound
from backend.domain.organisation import Department
from backend.ports import Clock
from backend.services.audit import Audit
from backend.storage.announcements import AnnouncementStore
from backend.storage.documents import utc
from backend.storage.kept import AlreadyThere
from backend.storage.organisation import OrganisationStore

log = structlog.get_logger()

AGGREGATE = "announcement"


class AnnouncementService:
    """Every change states the version it read and is recorded; a withdrawn announcement stays in the record."""

    def __init__(
        self, *, audit: Audit, announcements: AnnouncementStore, organisation: OrganisationStore, clock: Clock
    ) -> None:
        self._audit = audit
        self._store = announcements
        self._organisation = organisation
        self._clock = clock

    # --- everybody ---

    async def in_force(
        self, *, after: tuple[AnnouncementLevel, datetime, str] | None, limit: int
    ) -> list[Announcement]:
        """What holds now, the important ones first. `after` is the last one's (level, publish_from, id)."""
        return await self._store.in_force(self._clock.now(), after=after, limit=limit)

    async def read(self, announcement_id: str) -> Announcement:
        """One that holds now. Raises `NotFound`."""
        item = await self._existing(announcement_id)
        if item.state(self._clock.now()) is not AnnouncementState.PUBLISHED:
            raise NotFound
        return item

    async def announcers(self, items: Collection[Announcement]) -> dict[str, Department]:
        """The departments that announce, by id."""
        wanted = {item.department_id for item in items if item.department_id is not None}
        return await self._organisation.departments.many(wanted) if wanted else {}

    # --- the desk ---

    async def page(
        self, actor: Actor, *, state: AnnouncementState | None, before: tuple[datetime, str] | None, limit: int
    ) -> list[Announcement]:
        """All, or those in one state now, the last made first."""
        require(actor, Permission.MANAGE_ANNOUNCEMENTS)
        return await self._store.page(self._clock.now(), state=state, before=before, limit=limit)

    async def get(self, actor: Actor, announcement_id: str) -> Announcement:
        require(actor, Permission.MANAGE_ANNOUNCEMENTS)
        return await self._existing(announcement_id)

    async def create(
        self,
        actor: Actor,
        announcement_id: str,
        *,
        title: str,
        text: str,
        level: AnnouncementLevel,
        publish_from: datetime | None,
        publish_until: datetime | None,
        department_id: str | None,
    ) -> Announcement:
        """Write one. An id that is there already is answered as it is (a repeated request).

        Raises `InvalidInput`.
        """
        require(actor, Permission.MANAGE_ANNOUNCEMENTS)
        now = utc(self._clock.now())
        item = Announcement(
            id=announcement_id,
            title=title.strip(),
            text=text.strip(),
            level=level,
            created_at=now,
            updated_at=now,
            publish_from=utc(publish_from) if publish_from else None,
            publish_until=utc(publish_until) if publish_until else None,
            department_id=department_id,
        )
        await self._check(item)
        try:
            await self._audit.save(
                actor,
                AGGREGATE,
                item.id,
                "created",
                version=1,
                changes=_fields(item),
                write=lambda session: self._store.kept.add(item, session),
            )
        except AlreadyThere:
            return await self._existing(item.id)
        log.info("announcement_created", id=item.id, by=actor.id)
        return item

    async def update(
        self, actor: Actor, announcement_id: str, changes: Mapping[str, Any], *, version: int
    ) -> Announcement:
        """Change the named fields. Raises `EditConflict`, `InvalidInput`."""
        require(actor, Permission.MANAGE_ANNOUNCEMENTS)
        read = await self._current(announcement_id, version)
        wanted: dict[str, Any] = {
            name: utc(value) if isinstance(value, datetime) else value for name, value in changes.items()
        }
        changed = replace(read, **wanted, updated_at=utc(self._clock.now()), version=version + 1)
        await self._check(changed)
        await self._audit.save(
            actor,
            AGGREGATE,
            changed.id,
            "changed",
            version=changed.version,
            changes=wanted,
            write=lambda session: self._store.kept.save(changed, read_version=version, session=session),
        )
        log.info("announcement_changed", id=changed.id, by=actor.id, fields=sorted(wanted))
        return changed

    async def withdraw(self, actor: Actor, announcement_id: str, *, version: int) -> None:
        """Take it away; what it said stays in the record of changes. Raises `NotFound`, `EditConflict`."""
        require(actor, Permission.MANAGE_ANNOUNCEMENTS)
        item = await self._current(announcement_id, version)
        await self._audit.save(
            actor,
            AGGREGATE,
            item.id,
            "withdrawn",
            version=version + 1,
            changes=_fields(item),
            write=lambda session: self._store.kept.delete(item.id, read_version=version, session=session),
        )
        log.info("announcement_withdrawn", id=item.id, by=actor.id)

    async def seed(self, actor: Actor, items: Iterable[Announcement]) -> int:
        """Add what is not there yet and change nothing else; how many were added."""
        require(actor, Permission.MANAGE_ANNOUNCEMENTS)
        return await self._store.kept.add_missing(items)

    def state(self, item: Announcement) -> AnnouncementState:
        """Where it stands now."""
        return item.state(self._clock.now())

    async def _check(self, item: Announcement) -> None:
        check_announcement(item)
        if item.department_id is not None and await self._organisation.department(item.department_id) is None:
            raise InvalidInput("没有这个部门。", field="department_id")

    async def _existing(self, announcement_id: str) -> Announcement:
        item = await self._store.kept.get(announcement_id)
        if item is None:
            raise NotFound
        return item

    async def _current(self, announcement_id: str, version: int) -> Announcement:
        item = await self._existing(announcement_id)
        if item.version != version:
            raise EditConflict
        return item


def _fields(item: Announcement) -> dict[str, Any]:
    return {field.name: getattr(item, field.name) for field in fields(item)}
