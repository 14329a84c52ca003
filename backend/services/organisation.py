"""Departments, posts, holders, duty hours, responsibilities: kept by administrators, asked by routing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any, TypeVar

import structlog

from backend.domain.access import Actor, Permission, require
from backend.domain.accounts import Staff
from backend.domain.errors import EditConflict, InvalidInput, NotFound
from backend.domain.events import Event
from backend.domain.matters import ReceptionMode
from backend.domain.organisation import (
    Candidate,
    Department,
    DepartmentKind,
    DutySpan,
    DutyTier,
    Holder,
    Post,
    Responsibility,
    candidates,
    triage_of,
)
from backend.services.audit import Audit
from backend.storage.accounts import StaffStore
from backend.storage.kept import AlreadyThere, Kept, named
from backend.storage.organisation import OrganisationStore, PostCount

log = structlog.get_logger()

T = TypeVar("T", Department, Post, Responsibility)


@dataclass(frozen=True, slots=True)
class Responsible:
    """Who answers: the post, its department, and the people to ask in the order of asking.

    `post` is None where no rule fits. Only active members of the staff are candidates.
    """

    post: Post | None
    department: Department | None
    candidates: tuple[Candidate, ...]


class OrganisationService:
    """The organisation. Every change states the version it read."""

    def __init__(self, *, audit: Audit, organisation: OrganisationStore, staff: StaffStore) -> None:
        self._audit = audit
        self._store = organisation
        self._staff = staff

    # --- asked by routing --------------------------------------------------------------------

    async def responsible(
        self,
        *,
        matter_id: str | None,
        department_id: str | None,
        area_code: str | None = None,
        reception_mode: ReceptionMode | None = None,
    ) -> Responsible:
        """Who answers for a matter, or for a question to a department, or (both None) for anything."""
        post = await self._store.post_for(
            matter_id=matter_id,
            department_id=department_id,
            area_code=area_code,
            reception_mode=reception_mode,
        )
        return await self._behind(post, post.department_id if post is not None else department_id)

    async def _behind(self, post: Post | None, department_id: str | None) -> Responsible:
        department = await self._store.department(department_id) if department_id is not None else None
        found = candidates(post, department, triage_of(await self._store.halls()))
        staff = await self._staff.many(candidate.staff_id for candidate in found)
        return Responsible(
            post,
            department,
            tuple(c for c in found if c.staff_id in staff and staff[c.staff_id].active),
        )

    async def stand_ins(self, post_id: str | None, department_id: str | None) -> frozenset[str]:
        """Who acts for a post without an active holder: its department's duty leads, else the triage desk.

        Empty while somebody holds the post. Ids of staff.
        """
        post = await self._store.post(post_id) if post_id is not None else None
        found = (await self._behind(post, department_id)).candidates
        if not found or found[0].tier is DutyTier.HOLDER:
            return frozenset()
        return frozenset(c.staff_id for c in found if c.tier is found[0].tier)

    # --- first start and imports -------------------------------------------------------------

    async def seed(
        self,
        actor: Actor,
        *,
        departments: Iterable[Department] = (),
        posts: Iterable[Post] = (),
        responsibilities: Iterable[Responsibility] = (),
    ) -> tuple[int, int, int]:
        """Add what is not there yet and change nothing else; how many of each were added."""
        require(actor, Permission.MANAGE_ORGANISATION)
        return (
            await self._store.departments.add_missing(departments),
            await self._store.posts.add_missing(posts),
            await self._store.responsibilities.add_missing(responsibilities),
        )

    # --- departments -------------------------------------------------------------------------

    async def department(self, actor: Actor, department_id: str) -> Department:
        require(actor, Permission.READ_ORGANISATION)
        return _there(await self._store.department(department_id))

    async def page_departments(
        self,
        actor: Actor,
        *,
        after: str | None,
        limit: int,
        kind: DepartmentKind | None = None,
        search: str | None = None,
    ) -> list[Department]:
        """`search` is in the name, or begins the code."""
        require(actor, Permission.READ_ORGANISATION)
        found = named(search, within="name", beginning="code")
        return await self._store.departments.page(after=after, limit=limit, kind=kind.value if kind else None, **found)

    async def count_posts(self, actor: Actor, department_ids: Iterable[str]) -> dict[str, PostCount]:
        """How many posts each of these departments has."""
        require(actor, Permission.READ_ORGANISATION)
        return await self._store.count_posts(department_ids)

    async def people(self, actor: Actor, staff_ids: Iterable[str]) -> dict[str, Staff]:
        """Those of the staff that departments, posts and changes name, by id."""
        require(actor, Permission.READ_ORGANISATION)
        return await self._staff.many(staff_ids)

    async def changes(self, actor: Actor, aggregate: str, item_id: str, *, limit: int) -> list[Event]:
        """Who changed what last, the newest first; nothing for what came with a first start or an import."""
        require(actor, Permission.MANAGE_ORGANISATION)
        return await self._audit.latest(aggregate, item_id, limit=limit)

    async def create_department(self, actor: Actor, department: Department) -> Department:
        """Raises `AlreadyThere` for a code that is taken, `InvalidInput` for unknown leads."""
        require(actor, Permission.MANAGE_ORGANISATION)
        await self._check_department(department)
        return await self._create(actor, "department", self._store.departments, department)

    async def update_department(
        self, actor: Actor, department_id: str, changes: Mapping[str, Any], *, version: int
    ) -> Department:
        """Change the named fields of the dataclass. Raises `EditConflict`, `InvalidInput`."""
        require(actor, Permission.MANAGE_ORGANISATION)
        read = _current(await self._store.department(department_id), version)
        changed = replace(read, **changes, version=version + 1)
        await self._check_department(changed)
        return await self._change(actor, "department", self._store.departments, changed, changes)

    async def _check_department(self, department: Department) -> None:
        _check_spans(department.duty_spans)
        leads = await self._staff.many(department.duty_lead_ids)
        for lead_id in department.duty_lead_ids:
            lead = leads.get(lead_id)
            if lead is None or not lead.active or lead.department_id != department.id:
                raise InvalidInput("值班负责人应当是本部门的在职人员。", field="duty_lead_ids")
        if len(set(department.duty_lead_ids)) != len(department.duty_lead_ids):
            raise InvalidInput("值班负责人重复。", field="duty_lead_ids")

    # --- posts -------------------------------------------------------------------------------

    async def post(self, actor: Actor, post_id: str) -> Post:
        require(actor, Permission.READ_ORGANISATION)
        return _there(await self._store.post(post_id))

    async def page_posts(
        self,
        actor: Actor,
        *,
        after: str | None,
        limit: int,
        department_id: str | None = None,
        unstaffed: bool | None = None,
        holder_id: str | None = None,
    ) -> list[Post]:
        """`unstaffed` True: those without a holder, False: those with one. `holder_id`: those that person holds."""
        require(actor, Permission.READ_ORGANISATION)
        return await self._store.page_posts(
            after=after, limit=limit, department_id=department_id, unstaffed=unstaffed, holder_id=holder_id
        )

    async def create_post(self, actor: Actor, post: Post) -> Post:
        """Raises `InvalidInput` for an unknown department or holder."""
        require(actor, Permission.MANAGE_ORGANISATION)
        if await self._store.department(post.department_id) is None:
            raise InvalidInput("没有这个部门。", field="department_id")
        await self._check_post(post)
        return await self._create(actor, "post", self._store.posts, post)

    async def update_post(self, actor: Actor, post_id: str, changes: Mapping[str, Any], *, version: int) -> Post:
        """Change name, holders or duty hours. Raises `EditConflict`, `InvalidInput`."""
        require(actor, Permission.MANAGE_ORGANISATION)
        read = _current(await self._store.post(post_id), version)
        changed = replace(read, **changes, version=version + 1)
        await self._check_post(changed)
        return await self._change(actor, "post", self._store.posts, changed, changes)

    async def _check_post(self, post: Post) -> None:
        _check_spans(post.duty_spans)
        await self._check_holders(post.holders)

    async def _check_holders(self, holders: Sequence[Holder]) -> None:
        ids = {holder.staff_id for holder in holders}
        if len(ids) != len(holders) or len({holder.rank for holder in holders}) != len(holders):
            raise InvalidInput("同一岗位的人员和次序不能重复。", field="holders")
        staff = await self._staff.many(ids)
        if any(staff_id not in staff or not staff[staff_id].active for staff_id in ids):
            raise InvalidInput("岗位人员应当是在职人员。", field="holders")

    # --- responsibilities --------------------------------------------------------------------

    async def responsibility(self, actor: Actor, rule_id: str) -> Responsibility:
        require(actor, Permission.READ_ORGANISATION)
        return _there(await self._store.responsibilities.get(rule_id))

    async def page_responsibilities(
        self,
        actor: Actor,
        *,
        after: str | None,
        limit: int,
        department_id: str | None = None,
        matter_id: str | None = None,
        post_id: str | None = None,
    ) -> list[Responsibility]:
        require(actor, Permission.READ_ORGANISATION)
        return await self._store.responsibilities.page(
            after=after, limit=limit, department_id=department_id, matter_id=matter_id, post_id=post_id
        )

    async def create_responsibility(self, actor: Actor, rule: Responsibility) -> Responsibility:
        """Raises `AlreadyThere` when the same case has a rule, `InvalidInput` for unknown references."""
        require(actor, Permission.MANAGE_ORGANISATION)
        if await self._store.department(rule.department_id) is None:
            raise InvalidInput("没有这个部门。", field="department_id")
        await self._check_rule(rule)
        return await self._create(actor, "responsibility", self._store.responsibilities, rule)

    async def update_responsibility(
        self, actor: Actor, rule_id: str, changes: Mapping[str, Any], *, version: int
    ) -> Responsibility:
        """Another post, area or reception mode. Raises `EditConflict`, `AlreadyThere`, `InvalidInput`."""
        require(actor, Permission.MANAGE_ORGANISATION)
        read = _current(await self._store.responsibilities.get(rule_id), version)
        changed = replace(read, **changes, version=version + 1)
        await self._check_rule(changed)
        return await self._change(actor, "responsibility", self._store.responsibilities, changed, changes)

    async def delete_responsibility(self, actor: Actor, rule_id: str, *, version: int) -> None:
        """Raises `NotFound`, `EditConflict`."""
        require(actor, Permission.MANAGE_ORGANISATION)
        _current(await self._store.responsibilities.get(rule_id), version)
        await self._audit.save(
            actor,
            "responsibility",
            rule_id,
            "deleted",
            version=version + 1,
            write=lambda session: self._store.responsibilities.delete(rule_id, read_version=version, session=session),
        )

    async def _check_rule(self, rule: Responsibility) -> None:
        if await self._store.post(rule.post_id) is None:
            raise InvalidInput("没有这个岗位。", field="post_id")

    # --- saving with the record of it --------------------------------------------------------

    async def _create(self, actor: Actor, aggregate: str, kept: Kept[T], item: T) -> T:
        """Insert; an item of this id that is there already is answered as it is (a repeated request)."""
        try:
            await self._audit.save(
                actor,
                aggregate,
                item.id,
                "created",
                version=item.version,
                changes=_fields(item),
                write=lambda session: kept.add(item, session),
            )
        except AlreadyThere:
            known = await kept.get(item.id)
            if known is None:
                raise
            return known
        log.info("organisation_created", aggregate=aggregate, id=item.id, by=actor.id)
        return item

    async def _change(self, actor: Actor, aggregate: str, kept: Kept[T], item: T, changes: Mapping[str, Any]) -> T:
        await self._audit.save(
            actor,
            aggregate,
            item.id,
            "changed",
            version=item.version,
            changes=changes,
            write=lambda session: kept.save(item, read_version=item.version - 1, session=session),
        )
        log.info("organisation_changed", aggregate=aggregate, id=item.id, by=actor.id, fields=sorted(changes))
        return item


def _fields(item: Department | Post | Responsibility) -> dict[str, Any]:
    return {field.name: getattr(item, field.name) for field in fields(item)}


def _there(item: T | None) -> T:
    if item is None:
        raise NotFound
    return item


def _current(item: T | None, version: int) -> T:
    found = _there(item)
    if found.version != version:
        raise EditConflict
    return found


def _check_spans(spans: Sequence[DutySpan]) -> None:
    if any(span.start >= span.end for span in spans) or any(
        later.start < earlier.end for earlier, later in pairwise(spans)
    ):
        raise InvalidInput("值班时段应当由早到晚、互不重叠。", field="duty_spans")
