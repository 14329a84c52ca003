"""What every test stands on: a real MongoDB, a real Redis, a real server, real HTTP."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from backend.app import create_app
from backend.composition import Services, open_services
from backend.domain.ids import new_id
from backend.embedded import EmbeddedMongo, EmbeddedRedis
from backend.integrations.clock import WarpedClock
from config.settings import Settings
from tests.claims import ClaimsPlugin

ROOT = Path(__file__).parent.parent


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(ClaimsPlugin(), "banshi-claims")


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
        redis = os.environ.get("REDIS_URL") or stack.enter_context(EmbeddedRedis(folder / "redis")).url
        yield mongo, redis


@pytest.fixture(scope="session")
def database_name() -> str:
    return f"test_{new_id()[-12:]}"


@pytest.fixture
def settings(servers: tuple[str, str], database_name: str, tmp_path: Path) -> Settings:
    """Settings of one test. The database is shared by the session and emptied before each test."""
    mongo, redis = servers
    return Settings(
        mode="test",
        var=tmp_path / "var",
        mongo_url=mongo,
        mongo_database=database_name,
        redis_url=redis,
        wechat_base_url="http://127.0.0.1:9",
        rate_per_minute=100_000,
        login_rate_per_minute=100_000,
    )


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    """All services on an empty database and an empty Redis."""
    async with open_services(settings) as opened:
        for name in await opened.database.collections():
            if name != "meta" and not name.startswith("system."):
                await opened.database[name].delete_many({})
        await opened.redis.flushdb()
        yield opened


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


def _dumps(value: object) -> str:
    import orjson

    return orjson.dumps(value).decode()
