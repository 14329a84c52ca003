"""A system to be broken: two nodes as processes, a small office, people with devices, one history.

People log in through a node of the test's own that no fault touches; their sockets are on the two nodes.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import aiohttp
from aiohttp.test_utils import TestServer
from pymongo import MongoClient
from pymongo.read_concern import ReadConcern

from backend.app import create_app
from backend.composition import Services, open_services
from backend.domain.access import SYSTEM, Role
from backend.domain.ids import new_id
from backend.integrations.clock import WarpedClock
from backend.services.staff import NewStaff, generate_password
from config.settings import Settings
from tests.chat.conftest import MONDAY, Office, found_office
from tests.cluster.processes import LOOPBACK, Program
from tests.conftest import set_clock
from tests.drills.checker import CONVERGED_WITHIN, Log, Violation, check, explain
from tests.drills.device import Device, View
from tests.drills.history import Entry, History
from tests.drills.proxy import Proxy
from tests.drills.results import note

#: How long anything may take that is not judged: this machine may be busy with other things.
PATIENCE = 60.0


class Node(Program):
    """One server process. `bugs` are planted at its next start."""

    def __init__(self, name: str, folder: Path, settings: Settings) -> None:
        super().__init__(name, folder)
        self.bugs: tuple[str, ...] = ()
        self.environment = os.environ | {
            "BANSHI_MODE": "test",
            "BANSHI_VAR": str(settings.var),
            "BANSHI_MONGO_DATABASE": settings.mongo_database,
            "MONGO_URL": settings.mongo_url or "",
            "REDIS_URL": settings.redis_url or "",
            "BANSHI_WECHAT_BASE_URL": settings.wechat_base_url or "",
            "BANSHI_RATE_PER_MINUTE": "1000000",
            "BANSHI_CHAT_EVENTS_PER_SECOND": "5000",
            "BANSHI_SHUTDOWN_GRACE": "2",
        }

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def _command(self) -> Sequence[str]:
        return (sys.executable, "-m", "tests.drills.node", str(self.port), *self.bugs)

    def _environment(self) -> dict[str, str]:
        return dict(self.environment)

    async def up(self) -> None:
        """Start it; return when it serves."""
        await asyncio.to_thread(self.start)

    async def die(self) -> None:
        """kill -9."""
        await asyncio.to_thread(self.kill)


class Place(Protocol):
    """Where a device connects: a node, or a balancer before both."""

    @property
    def url(self) -> str: ...


@dataclass
class Person:
    """Somebody who is logged in. `kind` is the namespace."""

    id: str
    token: str
    namespace: str


@dataclass
class System:
    """What a drill plays with."""

    settings: Settings
    services: Services
    office: Office
    nodes: list[Node]
    history: History
    clerk: Person
    _front: str
    _stack: AsyncExitStack
    devices: list[Device] = field(default_factory=list)
    convs: list[str] = field(default_factory=list)
    _places: dict[str, tuple[Place, Proxy | None]] = field(default_factory=dict)

    # --- people ----------------------------------------------------------------------------------

    async def citizen(self, name: str) -> Person:
        """The citizen whose phone has this name."""
        standin = self.settings.wechat_base_url
        async with aiohttp.ClientSession() as http:
            async with http.post(f"{standin}/standin/users", json={"id": name}) as response:
                assert response.status in (200, 201)
            async with http.post(f"{standin}/standin/users/{name}/login-codes") as response:
                code = (await response.json())["code"]
            async with http.post(f"{self._front}/api/citizen/login", json={"code": code, "device": name}) as response:
                answer = await response.json()
                assert response.status == 200, answer
        return Person(answer["citizen"]["id"], answer["access_token"], "/citizen")

    def device(self, name: str, person: Person, node: Place, *, via: Proxy | None = None, **options: Any) -> Device:
        """A device that is not connected yet; `via` a proxy in front of the node."""

        self.place(name, node, via)

        async def ticket() -> str:
            node, via = self._places[name]
            found.url = (via or node).url
            headers = {"Authorization": f"Bearer {person.token}"}
            timeout = aiohttp.ClientTimeout(total=5)
            async with (
                aiohttp.ClientSession(timeout=timeout, headers=headers) as http,
                http.post(f"{node.url}/api/socket-tickets") as response,
            ):
                answer = await response.json()
                if response.status != 201:
                    raise ConnectionError(str(answer))
                return str(answer["ticket"])

        found = Device(name, node.url, ticket, self.history, namespace=person.namespace, person=person.id, **options)
        self.devices.append(found)
        return found

    def place(self, name: str, node: Place, via: Proxy | None = None) -> None:
        """Where this device connects from its next connection on."""
        self._places[name] = (node, via)

    def node_of(self, name: str) -> Place:
        return self._places[name][0]

    async def join(self, name: str, person: Person, node: Place, **options: Any) -> Device:
        """A device that is connected, and stays so until the end of the drill."""
        device = self.device(name, person, node, **options)
        return await self._stack.enter_async_context(device)

    async def proxy(self, port: int) -> Proxy:
        return await self._stack.enter_async_context(Proxy(port))

    def states(self) -> dict[str, str]:
        """How each device is doing, for the message of a failure."""
        return {
            d.name: f"{'on' if d.online.is_set() else 'off'}line, {len(d.outbox)} to send, {d.last_error!r}"
            for d in self.devices
        }

    # --- judging ---------------------------------------------------------------------------------

    def fault(self, name: str) -> None:
        self.history.note("drill", "fault", name=name)

    async def log(self) -> Log:
        """All consultations as MongoDB holds them."""
        return await asyncio.to_thread(self._read_log)

    def _read_log(self) -> Log:
        found: dict[str, list[Entry]] = {conv: [] for conv in self.convs}
        with MongoClient[dict[str, Any]](self.settings.mongo_url, tz_aware=True) as client:
            database = client.get_database(self.settings.mongo_database, read_concern=ReadConcern("majority"))
            for d in database["consultation_ops"].find().sort([("consultation_id", 1), ("seq", 1)]):
                payload = d["payload"]
                text = payload["content"]["text"] if d["kind"] == "message" else payload.get("text")
                sender = f"{d['sender']['kind']} {d['sender']['id']}"
                hidden = d["visibility"] == "staff"
                entry = Entry(d["seq"], d["_id"], d["cid"], sender, d["kind"], d["at"], text, hidden)
                found.setdefault(d["consultation_id"], []).append(entry)
        return found

    async def settle(self, seconds: float = PATIENCE) -> None:
        """Wait until nothing is left in any outbox."""
        deadline = time.monotonic() + seconds
        while left := {d.name: len(d.outbox) for d in self.devices if d.outbox}:
            assert time.monotonic() < deadline, f"not answered: {left}; {[d.last_error for d in self.devices]}"
            await asyncio.sleep(0.02)

    async def converged(self, *, within: float = CONVERGED_WITHIN, grace: float = 5.0) -> float:
        """Wait until every device has everything there is, and note who has not `within` seconds.

        Returns the seconds it took, of which nobody waits for more than `grace` after `within`. Who was the last
        is noted with what it was at, so that a long time can be told apart: a device that is still on its way, or
        one that listens and is not told.
        """
        since = time.monotonic()
        log = await self.log()
        wanted = {conv: len(entries) for conv, entries in log.items()}
        watching = [d for d in self.devices if d.watched]
        late: set[str] = set()
        last = ""
        while True:
            behind = {
                d.name: {conv: view.seq for conv, view in d.views.items() if view.seq < wanted.get(conv, 0)}
                for d in watching
            }
            behind = {name: have for name, have in behind.items() if have}
            seconds = time.monotonic() - since
            if not behind:
                break
            last = "; ".join(f"{d.name} {d.doing}" for d in watching if d.name in behind)
            if seconds > within:
                for name, have in behind.items():
                    if name not in late:
                        of = {conv: f"{seq} of {wanted[conv]}" for conv, seq in have.items()}
                        self.history.note(name, "late", have=of, seconds=seconds)
                    late.add(name)
            if seconds > within + grace:
                break
            await asyncio.sleep(0.02)
        self.history.convergences.append((seconds, last))
        return seconds

    async def violations(self, patience: float = PATIENCE, grace: float = 5.0) -> list[Violation]:
        """Let somebody fetch everything again from either node, and judge the history."""
        one_each = {device.person: device for device in self.devices}.values()
        fresh = [
            Device(
                f"{one.name} again",
                one.url,
                one.get_ticket,
                self.history,
                namespace=one.namespace,
                person=one.person,
                views={conv: View() for conv in one.views},
            )
            for one in one_each
        ]
        self.devices += fresh
        for device in fresh:
            with suppress(TimeoutError):
                await self._stack.enter_async_context(device)
        await self.converged(within=patience, grace=grace)
        return check(self.history, await self.log())

    async def ended(self, name: str) -> None:
        """The end of a drill: everything is answered and everywhere; print what happened, fail if anything is wrong."""
        await self.settle()
        await self.converged()
        found = await self.violations()
        note(self.history.figures(name, len(found)))
        print(f"\n{name}: {self.history.summary()}, {len(found)} violations")
        assert not found, explain(found, list(self.history.of("fault")))


Begin = Callable[..., AbstractAsyncContextManager[System]]
"""`system` with its folder and stores: what tests/drills/conftest.py gives to every drill."""


@asynccontextmanager
async def system(
    folder: Path,
    *,
    mongo_url: str,
    redis_url: str,
    standin: str,
    bugs: Sequence[str] = (),
    redis_of_nodes: str | None = None,
    mongo_of_first: str | None = None,
    processes: int = 2,
) -> AsyncIterator[System]:
    """Two nodes on a database of their own, with planted `bugs`.

    The first `processes` of them are processes; the others are servers of this process, which start at once
    and cannot be killed.
    """
    settings = Settings(
        mode="test",
        var=folder / "var",
        mongo_url=mongo_url,
        mongo_database=f"drill_{new_id()[-12:]}",
        redis_url=redis_url,
        wechat_base_url=standin,
        rate_per_minute=1_000_000,
        login_rate_per_minute=1_000_000,
        chat_events_per_second=5_000,
    )
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(open_services(settings))
        assert isinstance(services.clock, WarpedClock)
        set_clock(services.clock, MONDAY)
        office = await found_office(services)
        front = TestServer(create_app(settings, services))
        await stack.enter_async_context(front)
        url = str(front.make_url("")).rstrip("/")
        clerk = await _clerk(services, office, url)
        theirs = settings.model_copy(update={"redis_url": redis_of_nodes or redis_url})
        running = [Node(f"node-{number}", folder / f"node-{number}", theirs) for number in (1, 2)]
        for node in running[processes:]:
            beside = await stack.enter_async_context(open_services(theirs))
            server = await stack.enter_async_context(TestServer(create_app(theirs, beside)))
            node.port = server.port or 0
        if mongo_of_first is not None:
            running[0].environment["MONGO_URL"] = mongo_of_first
        for node in running[:processes]:
            node.bugs = tuple(bugs)
            stack.push_async_callback(node.die)
        await asyncio.gather(*(node.up() for node in running[:processes]))
        history = History()
        made = System(settings, services, office, running, history, clerk, url, stack)
        people = await stack.enter_async_context(AsyncExitStack())
        made._stack = people
        try:
            yield made
        finally:
            for node in running:
                node.thaw()
            await services.database.raw.client.drop_database(settings.mongo_database)


async def _clerk(services: Services, office: Office, url: str) -> Person:
    username, password = f"staff-{new_id()[-12:]}", generate_password()
    await services.staff.create(
        SYSTEM,
        NewStaff(
            id=office.clerk_id,
            username=username,
            name="王敏",
            roles=frozenset({Role.CLERK}),
            department_id=office.bureau.id,
            password=password,
        ),
    )
    body = {"username": username, "password": password}
    async with aiohttp.ClientSession() as http, http.post(f"{url}/api/staff/login", json=body) as response:
        answer = await response.json()
        assert response.status == 200, answer
        return Person(office.clerk_id, answer["access_token"], "/clerk")
