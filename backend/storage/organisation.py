"""Departments, posts with their holders, and responsibilities in MongoDB."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from backend.domain.access import Role
from backend.domain.matters import ReceptionMode
from backend.domain.organisation import Department, DepartmentKind, Post, Responsibility, most_specific
from backend.storage.database import Database, IndexDeclaration, Session
from backend.storage.kept import Kept

INDEXES: list[IndexDeclaration] = [
    ("departments", [("code", 1)], {"unique": True, "name": "code"}),
    ("departments", [("kind", 1)], {"name": "kind"}),
    ("posts", [("department_id", 1), ("_id", 1)], {"name": "department"}),
    ("posts", [("holders.staff_id", 1)], {"name": "holder"}),
    (
        "responsibilities",
        [("department_id", 1), ("matter_id", 1), ("area_code", 1), ("reception_mode", 1)],
        {"unique": True, "name": "rule"},
    ),
    ("responsibilities", [("matter_id", 1)], {"name": "matter"}),
    ("responsibilities", [("post_id", 1)], {"name": "post"}),
]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a member of the staff stands now: the posts held, and the roles that follow from it."""

    post_ids: frozenset[str]
    roles: frozenset[Role]


@dataclass(frozen=True, slots=True)
class PostCount:
    """How many posts a department has, and how many of them nobody holds."""

    posts: int
    unstaffed: int


class OrganisationStore:
    """The three collections, and the questions that go across them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.departments = Kept(database["departments"], Department)
        self.posts = Kept(database["posts"], Post)
        self.responsibilities = Kept(database["responsibilities"], Responsibility)

    async def department(self, department_id: str) -> Department | None:
        return await self.departments.get(department_id)

    async def post(self, post_id: str) -> Post | None:
        return await self.posts.get(post_id)

    async def page_posts(
        self,
        *,
        after: str | None,
        limit: int,
        department_id: str | None,
        unstaffed: bool | None,
        holder_id: str | None = None,
    ) -> list[Post]:
        """In the order of ids; `unstaffed` True are those without a holder, False those with one.
        `holder_id` keeps the posts of one member of the staff."""
        holders: Any = None if unstaffed is None else ([] if unstaffed else {"$ne": []})
        held = {} if holder_id is None else {"holders.staff_id": holder_id}
        return await self.posts.page(after=after, limit=limit, department_id=department_id, holders=holders, **held)

    async def count_posts(self, department_ids: Iterable[str]) -> dict[str, PostCount]:
        """How many posts departments have; those without any are left out."""
        counted = self._database["posts"].aggregate(
            [
                {"$match": {"department_id": {"$in": list(department_ids)}}},
                {
                    "$group": {
                        "_id": "$department_id",
                        "posts": {"$sum": 1},
                        "unstaffed": {"$sum": {"$cond": [{"$eq": ["$holders", []]}, 1, 0]}},
                    }
                },
            ]
        )
        return {found["_id"]: PostCount(found["posts"], found["unstaffed"]) async for found in counted}

    async def post_for(
        self,
        *,
        matter_id: str | None,
        department_id: str | None,
        area_code: str | None,
        reception_mode: ReceptionMode | None,
    ) -> Post | None:
        """The post that answers for a matter, or for a question to a department; None where no rule fits."""
        whole_department = {"matter_id": None, "department_id": department_id}
        rules = await self.responsibilities.find(
            {"$or": [{"matter_id": matter_id}, whole_department]} if matter_id is not None else whole_department
        )
        rule = most_specific(
            rules,
            matter_id=matter_id,
            department_id=department_id,
            area_code=area_code,
            reception_mode=reception_mode,
        )
        return await self.post(rule.post_id) if rule is not None else None

    async def halls(self) -> list[Department]:
        """The departments whose duty leads are the district's triage desk, always in the same order."""
        halls = await self.departments.find({"kind": DepartmentKind.HALL.value})
        return sorted(halls, key=lambda hall: hall.id)

    async def places_of(self, departments: Mapping[str, str | None]) -> dict[str, Place]:
        """By member of the staff, each given with the own department: the posts held now, and the roles a duty lead
        has from the department. Two looks for all."""
        if not departments:
            return {}
        staff_ids, own = list(departments), {d for d in departments.values() if d is not None}
        held, led = await asyncio.gather(
            self.posts.find({"holders.staff_id": {"$in": staff_ids}}),
            self.departments.find({"_id": {"$in": sorted(own)}, "duty_lead_ids": {"$in": staff_ids}}),
        )
        posts: dict[str, set[str]] = {staff_id: set() for staff_id in staff_ids}
        roles: dict[str, set[Role]] = {staff_id: set() for staff_id in staff_ids}
        for post in held:
            for holder in post.holders:
                if holder.staff_id in posts:
                    posts[holder.staff_id].add(post.id)
        for department in led:
            hall = department.kind is DepartmentKind.HALL
            for staff_id in department.duty_lead_ids:
                if departments.get(staff_id) == department.id:
                    roles[staff_id].update({Role.LEAD, Role.TRIAGE} if hall else {Role.LEAD})
        return {staff_id: Place(frozenset(posts[staff_id]), frozenset(roles[staff_id])) for staff_id in staff_ids}

    async def release(self, staff_id: str, *, leaves: bool, session: Session) -> list[tuple[str, str, int]]:
        """Take somebody off the duty leads, and off all posts when the person `leaves` altogether.

        Returns what was changed: (aggregate, id, new version).
        """
        places: list[tuple[str, str, dict[str, Any]]] = [("department", "duty_lead_ids", {"duty_lead_ids": staff_id})]
        if leaves:
            places.append(("post", "holders.staff_id", {"holders": {"staff_id": staff_id}}))
        changed = []
        for aggregate, field, pulled in places:
            collection = self._database[f"{aggregate}s"]
            async for found in collection.find({field: staff_id}, {"version": 1}, session=session):
                await collection.update_one(
                    {"_id": found["_id"]}, {"$pull": pulled, "$inc": {"version": 1}}, session=session
                )
                changed.append((aggregate, str(found["_id"]), int(found["version"]) + 1))
        return changed
