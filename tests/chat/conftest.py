"""A small office: one bureau with a post and its holders, a hall for triage, one matter, a Monday morning."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, time
from typing import Any, Protocol

import pytest
from aiohttp.test_utils import TestServer

from backend.app import create_app
from backend.composition import Services, open_services
from backend.domain.access import Role
from backend.domain.calendar import SHANGHAI
from backend.domain.ids import new_id
from backend.domain.matters import Guide, Level, Matter, MatterState, ProjectType, TaskType
from backend.domain.organisation import Department, DepartmentKind, DutySpan, Holder, Post, Responsibility
from backend.integrations.clock import WarpedClock
from backend.storage.matters import MatterStore
from backend.storage.organisation import OrganisationStore
from chat.client import ChatClient, LocalLog
from config.settings import Settings
from tests.callers import Caller
from tests.conftest import LoginCitizen, LoginStaff, set_clock

MONDAY = datetime(2026, 3, 16, 10, tzinfo=SHANGHAI)
SUNDAY = datetime(2026, 3, 15, 10, tzinfo=SHANGHAI)
HOURS = (DutySpan(time(9), time(12)), DutySpan(time(14), time(17)))


@dataclass(frozen=True)
class Office:
    matter: Matter
    bureau: Department
    post: Post
    other_post: Post
    clerk_id: str
    colleague_id: str


@pytest.fixture
async def office(services: Services, clock: WarpedClock) -> Office:
    """The small office; it is Monday, 10 o'clock."""
    set_clock(clock, MONDAY)
    return await found_office(services)


async def found_office(services: Services) -> Office:
    """民政局 with the post 婚姻登记岗 held by a clerk (A) and a colleague (B)."""
    organisation = OrganisationStore(services.database)
    bureau = Department(new_id(), "001", "民政局", DepartmentKind.BUREAU, "440105", duty_spans=HOURS)
    hall = Department(new_id(), "000", "政务服务中心", DepartmentKind.HALL, "440105", duty_spans=HOURS)
    clerk_id, colleague_id = new_id(), new_id()
    post = Post(new_id(), bureau.id, "婚姻登记岗", (Holder(clerk_id, 1), Holder(colleague_id, 2)))
    other = Post(new_id(), bureau.id, "收养登记岗")
    await organisation.departments.add_missing([bureau, hall])
    await organisation.posts.add_missing([post, other])
    matter = Matter(
        id=new_id(),
        code="1" * 31,
        base_code=None,
        department_id=bureau.id,
        department_name=bureau.name,
        area_code="440105",
        version=3,
        state=MatterState.ACTIVE,
        guide=Guide("结婚登记", TaskType.CONFIRMATION, Level.COUNTY, ProjectType.INSTANT),
        content_hash="x",
        published_at=MONDAY,
    )
    await MatterStore(services.database).publish([matter.id], lambda _: [matter])
    await organisation.responsibilities.add_missing([Responsibility(new_id(), bureau.id, post.id, matter_id=matter.id)])
    return Office(matter, bureau, post, other, clerk_id, colleague_id)


@pytest.fixture
async def citizen(login_citizen: LoginCitizen, office: Office) -> Caller:
    return await login_citizen("xiaoming")


@pytest.fixture
async def stranger(login_citizen: LoginCitizen, office: Office) -> Caller:
    return await login_citizen("lisi")


@pytest.fixture
async def clerk(login_staff: LoginStaff, office: Office) -> Caller:
    return await login_staff(Role.CLERK, department_id=office.bureau.id, staff_id=office.clerk_id, name="王敏")


@pytest.fixture
async def colleague(login_staff: LoginStaff, office: Office) -> Caller:
    return await login_staff(Role.CLERK, department_id=office.bureau.id, staff_id=office.colleague_id, name="陈强")


class Connect(Protocol):
    async def __call__(self, caller: Caller, at: TestServer | None = None, **options: Any) -> ChatClient: ...


@pytest.fixture
async def connect(server: TestServer) -> AsyncIterator[Connect]:
    """`await connect(citizen)`: a device of this person, connected and greeted; it stays so until the end."""
    async with AsyncExitStack() as stack:

        async def opened(caller: Caller, at: TestServer | None = None, **options: Any) -> ChatClient:
            client = device(caller, at or server, **options)
            return await stack.enter_async_context(client)

        yield opened


def device(caller: Caller, at: TestServer, **options: Any) -> ChatClient:
    """A device that is not connected yet."""

    async def ticket() -> str:
        status, answer = await caller.post("/api/socket-tickets")
        assert status == 201, answer
        return str(answer["ticket"])

    namespace = "/citizen" if "citizen" in caller.login else "/clerk"
    return ChatClient(str(at.make_url("")), ticket, namespace=namespace, longest_pause=1.0, **options)


GREETING = "您好"


async def question(phone: ChatClient, office: Office, subject: str = "咨询") -> str:
    """A consultation about the matter of the office, with a greeting: its id."""
    return str((await phone.open(subject, matter_id=office.matter.id, text=GREETING))["conv"])


async def follow(conv: str, *desks: ChatClient) -> None:
    """The desks follow a `question`, and have it."""
    for desk in desks:
        await desk.follow(conv)
        await desk.until_texts(conv, GREETING)


@asynccontextmanager
async def node(settings: Settings, **changes: Any) -> AsyncIterator[TestServer]:
    """One more node on the same database."""
    own = settings.model_copy(update=changes)
    async with open_services(own) as services, TestServer(create_app(own, services)) as running:
        assert isinstance(running, TestServer)
        yield running


def kinds(log: LocalLog) -> list[str]:
    return [op["kind"] for op in log.ops]
