"""A whole deployment on one machine: replica set, Redis, WeChat stand-in, nodes, load balancers, people.

    with Deployment(tmp_path, nodes=2) as deployment:
        async with deployment.people() as people:
            desk, phone = await people.clerk(), await people.citizen("xiaoming")
            async with phone.device(deployment.nodes[0].url) as client: ...

Everything that runs for a while is synchronous: from an async test call it with `asyncio.to_thread`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from backend.composition import open_services
from backend.domain.access import SYSTEM, Role
from backend.domain.calendar import NATIONAL, SHANGHAI, add_working_days
from backend.services.staff import NewStaff, generate_password
from backend.storage import schema
from chat.client import ChatClient
from config.settings import Settings
from tests.chat.conftest import Office, found_office
from tests.cluster.nodes import ServeNode, Standin
from tests.cluster.stores import Redis, ReplicaSet

DATABASE = "banshi_cluster"


class Person:
    """Somebody who is logged in; the token holds on every node."""

    def __init__(self, http: aiohttp.ClientSession, namespace: str, token: str, actor_id: str) -> None:
        self._http = http
        self.namespace = namespace
        self.token = token
        self.actor_id = actor_id

    async def request(self, method: str, url: str, **options: Any) -> tuple[int, Any]:
        """(status, document) of one request to an absolute address. Raises aiohttp's errors."""
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        async with self._http.request(method, url, headers=headers, **options) as response:
            return response.status, await response.json(content_type=None) if "json" in response.content_type else None

    def device(self, url: str, **options: Any) -> ChatClient:
        """A device that reaches the deployment at `url`, a node's or a balancer's; not connected yet."""

        async def ticket() -> str:
            status, answer = await self.request("POST", f"{url}/api/socket-tickets")
            if status != 201:
                raise ConnectionError(f"no ticket: {status} {answer}")
            return str(answer["ticket"])

        return ChatClient(url, ticket, namespace=self.namespace, **{"longest_pause": 1.0, **options})


class People:
    """Logs people in. The office has one clerk, 王敏, and a colleague, 陈强."""

    def __init__(self, deployment: Deployment, http: aiohttp.ClientSession) -> None:
        self._deployment = deployment
        self._http = http

    async def citizen(self, name: str, url: str | None = None) -> Person:
        """The citizen whose phone has this name (lower-case letters, digits, hyphens)."""
        standin, url = self._deployment.standin.url, url or self._deployment.nodes[0].url
        async with self._http.post(f"{standin}/standin/users", json={"id": name}) as response:
            assert response.status in (200, 201)
        async with self._http.post(f"{standin}/standin/users/{name}/login-codes") as response:
            code = (await response.json())["code"]
        answer = await self._login(f"{url}/api/citizen/login", {"code": code, "device": ""})
        return Person(self._http, "/citizen", answer["access_token"], answer["citizen"]["id"])

    async def clerk(self, username: str = "wangmin", url: str | None = None) -> Person:
        """王敏 (`wangmin`) or 陈强 (`chenqiang`)."""
        url = url or self._deployment.nodes[0].url
        body = {"username": username, "password": self._deployment.password}
        answer = await self._login(f"{url}/api/staff/login", body)
        return Person(self._http, "/clerk", answer["access_token"], self._deployment.staff_ids[username])

    async def _login(self, url: str, body: dict[str, Any]) -> dict[str, Any]:
        async with self._http.post(url, json=body) as response:
            answer: dict[str, Any] = await response.json(content_type=None)
            assert response.status == 200, answer
            return answer


class Deployment:
    """`nodes` hosts with `workers` server processes each, on three database members and one Redis."""

    def __init__(self, folder: Path, *, nodes: int = 2, workers: int = 1, members: int = 3, **settings: str) -> None:
        """`settings` are more of the nodes' environment, such as `BANSHI_DRAIN_SECONDS`."""
        self.folder = folder
        self.database_name = DATABASE
        self.password = generate_password()
        self.replica_set = ReplicaSet(folder, members)
        self.redis = Redis("redis", folder / "redis")
        self.standin = Standin("standin", folder / "standin")
        day = add_working_days(datetime.now(SHANGHAI).date(), 1, NATIONAL).day
        self.ahead: timedelta = datetime.combine(day, time(10, 30), SHANGHAI) - datetime.now(UTC)
        """The nodes' clocks: half past ten on the next working day."""
        environment = {
            "BANSHI_MODE": "test",
            "BANSHI_MONGO_DATABASE": DATABASE,
            "MONGO_URL": self.replica_set.url,
            "REDIS_URL": self.redis.url,
            "BANSHI_WECHAT_BASE_URL": self.standin.url,
            "BANSHI_RATE_PER_MINUTE": "1000000",
            "BANSHI_LOGIN_RATE_PER_MINUTE": "1000000",
            "BANSHI_CHAT_EVENTS_PER_SECOND": "1000",
            **settings,
        }
        self.nodes = [
            ServeNode(f"node-{number}", folder / f"node-{number}", environment, workers=workers)
            for number in range(1, nodes + 1)
        ]
        self.office: Office | None = None
        self.staff_ids: dict[str, str] = {}
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._exits.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    @property
    def settings(self) -> Settings:
        """As the nodes have them, for opening services beside them."""
        return Settings(
            mode="test",
            var=self.folder / "beside",
            mongo_url=self.replica_set.url,
            mongo_database=DATABASE,
            redis_url=self.redis.url,
            wechat_base_url=self.standin.url,
        )

    def keep(self, program: Any) -> None:
        """Kill this program, too, at the end."""
        self._exits.callback(program.kill)

    def start(self) -> None:
        """Stores, office, nodes: in this order, the nodes side by side."""
        for program in (*self.nodes, *self.replica_set.members, self.redis, self.standin):
            self.keep(program)
        self.redis.launch()
        self.standin.launch()
        self.replica_set.start()
        self.redis.wait_ready()
        self.standin.wait_ready()
        (self.folder / "beside").mkdir(exist_ok=True)
        with ThreadPoolExecutor(1) as beside:  # whether or not a loop runs here
            beside.submit(lambda: asyncio.run(self._found())).result()
        for node in self.nodes:
            node.warp(self.ahead)
            node.launch()
        for node in self.nodes:
            node.wait_ready(120)

    async def _found(self) -> None:
        (self.folder / "beside" / "clock-offset").write_text(str(self.ahead.total_seconds()))
        async with open_services(self.settings) as services:
            await schema.mark_first_start(services.database)
            self.office = office = await found_office(services)
            for username, name, staff_id in (
                ("wangmin", "王敏", office.clerk_id),
                ("chenqiang", "陈强", office.colleague_id),
            ):
                clerk = NewStaff(
                    id=staff_id,
                    username=username,
                    name=name,
                    roles=frozenset({Role.CLERK}),
                    department_id=office.bureau.id,
                    password=self.password,
                )
                await services.staff.create(SYSTEM, clerk)
                self.staff_ids[username] = staff_id

    @asynccontextmanager
    async def people(self) -> AsyncIterator[People]:
        """Somebody to log in as. Keeps no connections open: nodes come and go."""
        connector = aiohttp.TCPConnector(force_close=True, limit=0)
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
            yield People(self, http)
