"""Who is responsible: matter, area and reception mode → rule → post → people."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from backend.domain.calendar import Calendar
from backend.domain.errors import NotFound
from backend.domain.matters import Matter
from backend.domain.organisation import Department, Post, candidates, triage_of
from backend.domain.routing import Situation
from backend.storage.accounts import StaffStore
from backend.storage.organisation import OrganisationStore


class Calendars(Protocol):
    """The district's calendar, which may change at any time."""

    async def current(self) -> Calendar: ...


FindMatter = Callable[[str], Awaitable[Matter]]


class DirectoryService:
    """Looks up what the router decides on. `find_matter` raises `NotFound`."""

    def __init__(
        self, *, organisation: OrganisationStore, staff: StaffStore, find_matter: FindMatter, calendars: Calendars
    ) -> None:
        self._organisation = organisation
        self._staff = staff
        self._find_matter = find_matter
        self._calendars = calendars

    async def matter(self, matter_id: str) -> Matter:
        """The matter as it is in force. Raises `NotFound`."""
        return await self._find_matter(matter_id)

    async def responsible(self, matter: Matter | None, area_code: str | None) -> Situation:
        """The post and department that answer for a matter; for None, triage alone."""
        if matter is None:
            return await self._situation(None, None)
        post = await self._organisation.post_for(
            matter_id=matter.id,
            department_id=matter.department_id,
            area_code=area_code,
            reception_mode=matter.guide.reception_mode,
        )
        department_id = post.department_id if post else matter.department_id
        return await self._situation(post, await self._organisation.department(department_id))

    async def situation(self, post_id: str | None, department_id: str | None) -> Situation:
        """The same for a post or a department that is known. Raises `NotFound` for a post that is not there."""
        post = await self._organisation.post(post_id) if post_id else None
        if post_id and post is None:
            raise NotFound("没有这个岗位。", field="post_id")
        known = post.department_id if post else department_id
        return await self._situation(post, await self._organisation.department(known) if known else None)

    async def _situation(self, post: Post | None, department: Department | None) -> Situation:
        halls = await self._organisation.halls()
        triage = triage_of(halls)
        asked = [c.staff_id for c in candidates(post, department, triage)]
        people = await self._staff.many(asked)
        return Situation(
            post=post,
            department=department,
            triage=triage,
            triage_department=halls[0] if halls else None,
            calendar=await self._calendars.current(),
            names={staff_id: person.name for staff_id, person in people.items()},
        )
