"""An office that handles a few matters, and the people around it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from backend.composition import Services
from backend.domain.access import SYSTEM, Actor, Role
from backend.domain.calendar import SHANGHAI
from backend.domain.catalogue import MatterDraft
from backend.domain.ids import derived_id, new_id
from backend.domain.matters import (
    Guide,
    Level,
    LimitUnit,
    MaterialRequirement,
    Necessity,
    ProjectType,
    TaskType,
    TimeLimit,
)
from backend.domain.organisation import Department, DepartmentKind, Holder, Post, Responsibility
from backend.integrations.clock import WarpedClock
from backend.jobs.outbox import Outbox
from backend.jobs.timers import TimerSweep
from tests.callers import Caller

DEPARTMENT_CODE = "D1"
CODE = "11440105MB155808114{}"


def local(*parts: int) -> datetime:
    """A moment in Shanghai."""
    return datetime(*parts, tzinfo=SHANGHAI)  # type: ignore[misc, arg-type]


def guide(**changes: Any) -> Guide:
    """A licence with one required material."""
    defaults: dict[str, Any] = {
        "name": "食品经营许可",
        "task_type": TaskType.LICENSING,
        "level": Level.COUNTY,
        "project_type": ProjectType.PROMISED,
        "online": True,
        "statutory_limit": TimeLimit(20, LimitUnit.WORKING_DAY),
        "promised_limit": TimeLimit(5, LimitUnit.WORKING_DAY),
        "materials": (
            MaterialRequirement("id-card", "身份证"),
            MaterialRequirement("floor-plan", "平面布局图", Necessity.OPTIONAL),
        ),
    }
    return Guide(**(defaults | changes))


#: Matters of the office by name.
GUIDES = {
    "licence": guide(),
    "instant": guide(
        name="开具证明",
        task_type=TaskType.PUBLIC_SERVICE,
        project_type=ProjectType.INSTANT,
        statutory_limit=None,
        promised_limit=TimeLimit(0, LimitUnit.INSTANT),
        materials=(),
    ),
    "service": guide(name="社会保障卡申领", task_type=TaskType.PUBLIC_SERVICE, statutory_limit=None),
    "information": guide(name="查询窗口地址", project_type=ProjectType.INFORMATION),
}

APPLICANT = {"name": "王小四", "id_number": "11010519491231002X", "phone": "15612345677"}


def matter_draft(number: int, content: Guide) -> MatterDraft:
    return MatterDraft(
        code=CODE.format(f"{number:012d}"),
        base_code=f"{number:012d}",
        department_code=DEPARTMENT_CODE,
        department_name="市场监督管理局",
        area_code="440105",
        guide=content,
    )


@dataclass
class Office:
    """A department with a post, its clerk, its duty lead, and a clerk from elsewhere."""

    services: Services
    clock: WarpedClock
    enter: Callable[[str], Awaitable[Caller]]
    citizen_login: Callable[..., Awaitable[Caller]]
    department_id: str
    post_id: str
    matters: dict[str, str] = field(default_factory=dict)

    def at(self, *parts: int) -> None:
        """Set the clock of all processes to a moment in Shanghai."""
        self.clock.warp(timedelta())
        self.clock.warp(local(*parts) - self.clock.now())

    async def citizen(self, name: str = "xiaoming") -> Caller:
        """A fresh login: tokens end when the clock is moved by days."""
        return await self.citizen_login(name)

    async def staff(self, who: str = "clerk") -> Caller:
        """A fresh login of "clerk", "lead" or "stranger"."""
        return await self.enter(who)

    async def draft(self, citizen: Caller, matter: str = "licence") -> dict[str, Any]:
        """A draft with everything that submitting asks for."""
        status, case = await citizen.post("/api/cases", {"matter_id": self.matters[matter]})
        assert status == 201, case
        status, case = await citizen.patch(f"/api/cases/{case['id']}", {"expected_version": 1, "applicant": APPLICANT})
        assert status == 200, case
        if GUIDES[matter].materials:
            await self.put_pages(citizen, case["id"], "id-card", [new_id()])
        return dict(case)

    async def put_pages(self, citizen: Caller, case_id: str, key: str, pages: list[str]) -> None:
        actor = Actor("citizen", citizen.actor_id, frozenset({Role.CITIZEN}))
        await self.services.cases.change_pages(actor, case_id, key, lambda _: pages)

    async def submitted(self, citizen: Caller, matter: str = "licence") -> dict[str, Any]:
        case = await self.draft(citizen, matter)
        status, case = await citizen.post(f"/api/cases/{case['id']}/submit", {})
        assert status == 200, case
        return dict(case)

    async def republish(self, matter: str, **changes: Any) -> None:
        """A new version of a matter."""
        number = 104002000 + list(GUIDES).index(matter)
        await self.services.matters.publish(SYSTEM, [matter_draft(number, replace(GUIDES[matter], **changes))])

    async def relay(self) -> int:
        """What the worker's relay would do now."""
        outbox = Outbox(events=self.services.events, consumers=[self.services.notices], clock=self.clock)
        return await outbox.drain()

    async def sweep(self) -> int:
        """What the worker's sweep would do now."""
        return await TimerSweep(timers=self.services.timers, target=self.services.case_desk, clock=self.clock).sweep()


@pytest.fixture
async def office(
    services: Services,
    clock: WarpedClock,
    login_citizen: Callable[..., Awaitable[Caller]],
    login_staff: Callable[..., Awaitable[Caller]],
) -> Office:
    """The office, on Monday 2 March 2026, ten o'clock."""
    clock.warp(local(2026, 3, 2, 10) - clock.now())
    department_id, elsewhere_id = derived_id("department", DEPARTMENT_CODE), derived_id("department", "D2")
    departments = [
        Department(department_id, DEPARTMENT_CODE, "市场监督管理局", DepartmentKind.BUREAU, "440105"),
        Department(elsewhere_id, "D2", "教育局", DepartmentKind.BUREAU, "440105"),
    ]
    await services.organisation.seed(SYSTEM, departments=departments)
    people = {"clerk": await login_staff(Role.CLERK, department_id=department_id, username="clerk")}
    others = {
        "lead": ((Role.CLERK, Role.LEAD), department_id),
        "stranger": ((Role.CLERK,), elsewhere_id),
    }
    post = Post(new_id(), department_id, "许可岗", (Holder(people["clerk"].actor_id, 1),))
    rule = Responsibility(new_id(), department_id, post.id)
    await services.organisation.seed(SYSTEM, posts=[post], responsibilities=[rule])
    drafts = {
        name: matter_draft(number, content) for number, (name, content) in enumerate(GUIDES.items(), start=104002000)
    }
    await services.matters.publish(SYSTEM, list(drafts.values()))

    async def enter(who: str) -> Caller:
        if who not in people:
            roles, department = others[who]
            people[who] = await login_staff(*roles, department_id=department, username=who)
        known = people[who]
        caller = Caller(known.http, known.actor_id)
        body = {"username": who, "password": known.login["password"]}
        status, answer = await caller.post("/api/staff/login", body)
        assert status == 200, answer
        caller.token = answer["access_token"]
        return caller

    return Office(
        services,
        clock,
        enter,
        login_citizen,
        department_id,
        post.id,
        {name: draft.id for name, draft in drafts.items()},
    )
