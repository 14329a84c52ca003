"""What every test stands on: a real MongoDB, a real Redis, a real server, real HTTP."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pymongo import MongoClient

from backend.app import create_app
from backend.composition import Services, open_services
from backend.domain.access import SYSTEM, Role
from backend.domain.ids import new_id
from backend.embedded import EmbeddedMongo, EmbeddedRedis
from backend.integrations.clock import WarpedClock
from backend.services.staff import NewStaff, generate_password
from backend.storage.database import Database
from backend.wechat_standin import create_standin_app
from config.settings import Settings
from tests.callers import Caller
from tests.claims import ClaimsPlugin
from tests.order import OrderPlugin

ROOT = Path(__file__).parent.parent


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(ClaimsPlugin(), "banshi-claims")
    config.pluginmanager.register(OrderPlugin(), "banshi-order")


def pytest_xdist_auto_num_workers() -> int | None:
    """One process more than there are cores: tests of faults wait for what is to happen, and others work meanwhile."""
    return None if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else len(os.sched_getaffinity(0)) + 1


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the checkout."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the shared data folder is not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """(MongoDB URL, Redis URL): those of the environment, else embedded ones of this session."""
    folder = tmp_path_factory.mktemp("servers")
    with ExitStack() as stack:
        mongo = os.environ.get("MONGO_URL") or stack.enter_context(EmbeddedMongo(folder / "mongo")).url
        # Tests live in other times than the database, which would clear away what is still good for them.
        with MongoClient[dict[str, Any]](mongo) as client:
            client.admin.command("setParameter", 1, ttlMonitorEnabled=False)
        redis = os.environ.get("REDIS_URL") or stack.enter_context(EmbeddedRedis(folder / "redis")).url
        yield mongo, redis


@pytest.fixture(scope="session")
def database_name() -> str:
    return f"test_{new_id()[-12:]}"


@pytest.fixture
async def wechat_standin() -> AsyncIterator[str]:
    """The address of a WeChat stand-in of this test, with the appid and secret of the settings."""
    settings = Settings.model_construct()
    app = create_standin_app(appid=settings.wechat_appid, secret=settings.wechat_secret.get_secret_value())
    async with TestServer(app) as running:
        yield str(running.make_url("")).rstrip("/")


@pytest.fixture
async def settings(servers: tuple[str, str], database_name: str, tmp_path: Path, wechat_standin: str) -> Settings:
    """Settings of one test. The database is shared by the session and emptied before each test."""
    mongo, redis = servers
    return Settings(
        mode="test",
        var=tmp_path / "var",
        mongo_url=mongo,
        mongo_database=database_name,
        redis_url=redis,
        wechat_base_url=wechat_standin,
        rate_per_minute=100_000,
        login_rate_per_minute=100_000,
        photo_wait_seconds=30,  # other tests may run beside; what happens when it is over has tests of its own
    )


@pytest.fixture(scope="session")
def upgraded() -> set[str]:
    """The databases of this session whose schema is up to date: once is enough, `tests/storage` looks at the rest."""
    return set()


@pytest.fixture
async def services(settings: Settings, upgraded: set[str]) -> AsyncIterator[Services]:
    """All services on an empty database and an empty Redis."""
    async with open_services(settings, upgrade=settings.mongo_database not in upgraded) as opened:
        upgraded.add(settings.mongo_database)
        await _empty(opened.database)
        await opened.redis.flushdb()
        yield opened


async def _empty(database: Database) -> None:
    """Delete all documents. One question tells which collections have any: mostly it is few of them."""
    first, *others = [
        name for name in await database.collections() if name != "meta" and not name.startswith("system.")
    ]

    def of(name: str) -> list[dict[str, Any]]:
        return [{"$limit": 1}, {"$project": {"_id": 0, "name": {"$literal": name}}}]

    unions = [{"$unionWith": {"coll": name, "pipeline": of(name)}} for name in others]
    for filled in await database[first].aggregate([*of(first), *unions]).to_list(None):
        await database[filled["name"]].delete_many({})


@pytest.fixture
def clock(services: Services) -> WarpedClock:
    """The clock of all processes of this test."""
    assert isinstance(services.clock, WarpedClock)
    return services.clock


def set_clock(clock: WarpedClock, moment: datetime) -> None:
    """Make it `moment` (aware) now; time goes on from there."""
    clock.warp(timedelta())
    clock.warp(moment - clock.now())


@pytest.fixture
async def server(settings: Settings, services: Services) -> AsyncIterator[TestServer]:
    """A running node on a real port."""
    app: web.Application = create_app(settings, services)
    async with TestServer(app) as running:
        assert isinstance(running, TestServer)
        yield running


@pytest.fixture
async def http(server: TestServer) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the running node, without any login: `await http.get("/api/…")`."""
    async with aiohttp.ClientSession(
        str(server.make_url("")), cookie_jar=aiohttp.DummyCookieJar(), json_serialize=_dumps
    ) as session:
        yield session


LoginCitizen = Callable[..., Awaitable[Caller]]
LoginStaff = Callable[..., Awaitable[Caller]]


@pytest.fixture
def login_citizen(http: aiohttp.ClientSession, wechat_standin: str) -> LoginCitizen:
    """`await login_citizen("xiaoming")`: the citizen whose phone has this name (lower-case letters,
    digits, hyphens) is logged in on one more device."""

    async def login(name: str = "xiaoming", device: str = "") -> Caller:
        async with aiohttp.ClientSession() as phone:
            async with phone.post(f"{wechat_standin}/standin/users", json={"id": name}) as response:
                assert response.status in (200, 201)
            async with phone.post(f"{wechat_standin}/standin/users/{name}/login-codes") as response:
                code = (await response.json())["code"]
        caller = Caller(http)
        status, answer = await caller.post("/api/citizen/login", {"code": code, "device": device})
        assert status == 200, answer
        caller.actor_id, caller.token, caller.login = answer["citizen"]["id"], answer["access_token"], answer
        return caller

    return login


@pytest.fixture
def login_staff(http: aiohttp.ClientSession, services: Services) -> LoginStaff:
    """`await login_staff(Role.CLERK, department_id=…)`: a new member of the staff, logged in."""

    async def login(
        *roles: Role | str,
        department_id: str | None = None,
        username: str | None = None,
        name: str = "测试人员",
        staff_id: str | None = None,
    ) -> Caller:
        username, password = username or f"staff-{new_id()[-12:]}", generate_password()
        made = await services.staff.create(
            SYSTEM,
            NewStaff(
                id=staff_id,
                username=username,
                name=name,
                roles=frozenset(Role(role) for role in roles or (Role.CLERK,)),
                department_id=department_id,
                password=password,
            ),
        )
        caller = Caller(http, made.staff.id)
        status, answer = await caller.post("/api/staff/login", {"username": username, "password": password})
        assert status == 200, answer
        caller.token, caller.login = answer["access_token"], {**answer, "password": password}
        return caller

    return login


def _dumps(value: object) -> str:
    import orjson

    return orjson.dumps(value).decode()
