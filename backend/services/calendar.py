"""The district's calendar: the State Council's with the district's own exceptions.

Every process asks `current` before it reckons. It looks at the calendar's revision at most once a second and
reads the days again when somebody changed them: a change is everybody's within about a second.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from datetime import date

import structlog

from backend.domain.access import Actor, Permission, require
from backend.domain.calendar import NATIONAL, Calendar, is_published, legal_day
from backend.domain.errors import EditConflict, NotFound
from backend.domain.local_calendar import (
    DayKind,
    LocalDay,
    NotableDay,
    calendar_of,
    check_local_day,
    check_not_past,
    notable_days,
)
from backend.ports import Clock
from backend.services.audit import Audit
from backend.storage.calendar import CalendarStore
from backend.storage.database import Session

log = structlog.get_logger()

AGGREGATE = "calendar_day"
#: Seconds for which a process goes by what it read.
_FRESH = 1.0


@dataclass(frozen=True, slots=True)
class CalendarYear:
    """A year as the calendar knows it. `published`: the State Council's arrangement is known."""

    year: int
    published: bool
    today: date
    days: list[NotableDay]


class CalendarService:
    """Reckoned with by all, kept by administrators; every change is recorded."""

    def __init__(self, *, audit: Audit, calendar: CalendarStore, clock: Clock) -> None:
        self._audit = audit
        self._store = calendar
        self._clock = clock
        self._known = NATIONAL
        self._looked = float("-inf")
        self._lock = asyncio.Lock()

    # --- reckoning ---

    @property
    def known(self) -> Calendar:
        """The calendar as it was last read: for what follows `current` without waiting in between."""
        return self._known

    async def current(self) -> Calendar:
        """The calendar to reckon with now. Raises the store's errors."""
        if time.monotonic() - self._looked >= _FRESH:
            await self.refresh()
        return self._known

    async def refresh(self) -> Calendar:
        """The calendar as it is in the database at this moment."""
        async with self._lock:
            looked = time.monotonic()
            revision = await self._store.revision()
            if revision != self._known.revision:
                self._known = calendar_of(await self._store.all(), revision)
                log.info("calendar_known", revision=revision)
            self._looked = looked
            return self._known

    # --- keeping ---

    async def year(self, actor: Actor, year: int | None) -> CalendarYear:
        """Every day of a year (the present one when None) that is no ordinary one."""
        require(actor, Permission.READ_ORGANISATION)
        today = legal_day(self._clock.now())
        year = year or today.year
        days = notable_days(year, await self._store.all())
        return CalendarYear(year, is_published(year), today, days)

    async def set_day(self, actor: Actor, day: date, kind: DayKind, reason: str, *, version: int | None) -> NotableDay:
        """Close or open a day from today on. `version` is what was read, None for a day without an exception;
        the same exception again changes nothing.

        Raises `PastDay`, `InvalidInput`, `EditConflict`.
        """
        require(actor, Permission.MANAGE_ORGANISATION)
        reason = reason.strip()
        read = await self._store.get(day.isoformat())
        if read is not None and (read.kind, read.reason) == (kind, reason):
            return _notable(read)
        check_local_day(day, kind, reason, today=legal_day(self._clock.now()))
        if version != (read.version if read is not None and read.kind is not None else None):
            raise EditConflict
        number = read.version + 1 if read is not None else 1
        return _notable(await self._save(actor, LocalDay(day, kind, reason, number, 0), "set"))

    async def clear_day(self, actor: Actor, day: date, *, version: int) -> None:
        """Take an exception back. Raises `NotFound`, `PastDay`, `EditConflict`."""
        require(actor, Permission.MANAGE_ORGANISATION)
        read = await self._store.get(day.isoformat())
        if read is None or read.kind is None:
            raise NotFound("这一天没有本地安排。")
        check_not_past(day, today=legal_day(self._clock.now()))
        if read.version != version:
            raise EditConflict
        await self._save(actor, replace(read, kind=None, version=version + 1), "cleared")

    async def _save(self, actor: Actor, item: LocalDay, what: str) -> LocalDay:
        saved = item

        async def write(session: Session) -> None:
            nonlocal saved
            saved = replace(item, revision=await self._store.next_revision(session))
            await self._store.save(saved, session)

        changes = {"kind": item.kind, "reason": item.reason}
        await self._audit.save(actor, AGGREGATE, item.id, what, version=item.version, changes=changes, write=write)
        log.info("calendar_changed", day=item.id, kind=item.kind, by=actor.id)
        await self.refresh()
        return saved


def _notable(item: LocalDay) -> NotableDay:
    return next(found for found in notable_days(item.day.year, [item]) if found.what.day == item.day)
