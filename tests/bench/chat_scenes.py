"""The scenes of `bench_chat`: who is loaded how, and which rows come of it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from backend.commands.errors import CommandError
from backend.composition import Services, open_services
from backend.embedded import EmbeddedMongo, EmbeddedRedis
from config.settings import Settings
from tests.bench.chat_people import auth_of, citizen, furnish, join_ours, join_peer
from tests.bench.chat_sides import Side, node_peer, peers
from tests.bench.generator import Generator, generator
from tests.bench.processes import Running, cpu_of, memory_of, our_server, peer, until_ready

Tables = dict[str, list[dict[str, object]]]
PER_SECOND = 500.0
_AT_ONCE = 200  # people furnished side by side


@dataclass
class Bench:
    """What all scenes share: our servers a, b and c, the peers, their databases."""

    stack: AsyncExitStack
    folder: Path
    pairs: int
    rounds: int
    seconds: float
    settings: Settings
    services: Services
    http: aiohttp.ClientSession
    ours: dict[str, Running]
    stores: dict[str, int]
    peer_stores: dict[str, int]
    peer_environment: dict[str, str]

    @classmethod
    async def start(cls, stack: AsyncExitStack, folder: Path, pairs: int, rounds: int, seconds: float) -> Bench:
        """Start databases and our three servers; all end with `stack`."""
        enter = stack.enter_context
        mongo, redis = enter(EmbeddedMongo(folder / "mongo")), enter(EmbeddedRedis(folder / "redis"))
        peer_mongo, peer_redis = enter(EmbeddedMongo(folder / "mongo2")), enter(EmbeddedRedis(folder / "redis2"))
        settings = Settings(mode="test", var=folder, mongo_url=mongo.url, redis_url=redis.url, mongo_database="bench")
        services = await stack.enter_async_context(open_services(settings))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        ours = {name: enter(our_server(settings, name, folder)) for name in ("a", "b", "c")}
        for server in ours.values():
            await until_ready(http, server)
        return cls(
            stack=stack,
            folder=folder,
            pairs=pairs,
            rounds=rounds,
            seconds=seconds,
            settings=settings,
            services=services,
            http=http,
            ours=ours,
            stores={"mongod": mongo.pid or 0, "redis": redis.pid or 0},
            peer_stores={"mongod": peer_mongo.pid or 0, "redis": peer_redis.pid or 0},
            peer_environment={"MONGO_URL": peer_mongo.url, "REDIS_URL": peer_redis.url},
        )

    async def our_side(self, stack: AsyncExitStack, name: str, ports: list[tuple[str, str]], **also: int) -> Side:
        """A side of ours: citizens on the first, clerks on the second server; `ports` go around over the pairs."""
        load = await stack.enter_async_context(generator())
        numbers = [(self.ours[x].port, self.ours[y].port) for x, y in ports]
        await join_ours(self.services, load, await furnish(self.services, self.pairs), numbers)
        used = dict.fromkeys(server for pair in ports for server in pair)
        return Side(name, load, {server: self.ours[server].pid for server in used} | self.stores | also)

    async def echo_side(self, stack: AsyncExitStack) -> Side:
        """Bare echo in one process."""
        command = [sys.executable, "-m", "tests.bench.peers.echo"]
        running = stack.enter_context(peer(command, {}, self.folder / "echo.log"))
        load = await stack.enter_async_context(generator())
        await join_peer(load, [running], self.pairs)
        return Side("bare echo", load, {"a": running.pid})

    async def insert_side(self, stack: AsyncExitStack) -> Side:
        """Bare echo with one journaled insert, in one process."""
        command = [sys.executable, "-m", "tests.bench.peers.insert"]
        running = stack.enter_context(peer(command, self.peer_environment, self.folder / "insert.log"))
        load = await stack.enter_async_context(generator())
        await join_peer(load, [running], self.pairs)
        return Side("echo + insert", load, {"a": running.pid, "mongod": self.peer_stores["mongod"]})

    async def peer_side(self, stack: AsyncExitStack, name: str, command: list[str]) -> Side:
        """A durable peer in two processes, senders on one and readers on the other."""
        servers = stack.enter_context(peers(command, self.peer_environment, name.replace(" ", "-"), self.folder))
        load = await stack.enter_async_context(generator())
        await join_peer(load, servers, self.pairs)
        return Side(name, load, {"a": servers[0].pid, "b": servers[1].pid} | self.peer_stores)

    async def interleaved(self, kind: str, sides: list[Side], one: Callable[[Side], Awaitable[None]]) -> None:
        """`rounds` rounds, the sides one after the other in each."""
        for number in range(self.rounds):
            for side in sides if number % 2 == 0 else reversed(sides):
                await one(side)
        print(f"chat: {kind}: done", file=sys.stderr)

    async def closed(self, kind: str, sides: list[Side], *, in_flight: int) -> None:
        """Closed loop on all sides."""
        for side in sides:
            await side.warm_up(kind, self.seconds, in_flight=in_flight)
        await self.interleaved(kind, sides, lambda side: side.closed(kind, in_flight=in_flight))

    async def receipts(self, side: Side) -> None:
        """Closed loop with and without receipts, in turn."""
        kinds = {"no receipts": False, "receipts": True}
        for kind, told in kinds.items():
            await side.warm_up(kind, self.seconds, in_flight=1, receipts=told)
        for _ in range(self.rounds):
            for kind, told in kinds.items():
                await side.closed(kind, in_flight=1, receipts=told)
        print("chat: receipts: done", file=sys.stderr)


async def crossing(bench: Bench) -> Tables:
    """Sender's socket on one worker, reader's on the other, against every peer."""
    async with AsyncExitStack() as stack:
        ours = await bench.our_side(stack, "ours", [("a", "b")], third=bench.ours["c"].pid)
        bare = await bench.echo_side(stack)
        sides = [ours, bare, await bench.peer_side(stack, "stock", [sys.executable, "-m", "tests.bench.peers.stock"])]
        try:
            node, folder = await asyncio.to_thread(node_peer)
            for how in ("naive", "group"):
                command = [node, str(folder / "server.js"), how]
                sides.append(await bench.peer_side(stack, f"node {how}", command))
        except CommandError as error:
            print(f"chat: without Node's rows: {error}", file=sys.stderr)
        await bench.closed("1", sides, in_flight=1)
        await bench.closed("8", sides, in_flight=8)
        paced = [ours, bare, await bench.insert_side(stack), *sides[2:]]
        await bench.interleaved(
            "open", paced, lambda side: side.open("open", per_second=PER_SECOND, seconds=bench.seconds * 1.5)
        )
        await bench.receipts(ours)
        tables = {
            f"{bench.pairs} pairs across two workers, 1 in flight each": [s.row("1", bare) for s in sides],
            f"{bench.pairs} pairs across two workers, 8 in flight each": [s.row("8", bare) for s in sides],
            f"{PER_SECOND:.0f} messages a second, open loop": [s.row("open", bare) for s in paced],
        }
        plain, told = ours.row("no receipts"), ours.row("receipts")
        tables["readers tell receipts, across two workers, 1 in flight"] = [
            plain | {"server": "ours, no receipts"},
            told | {"server": "ours, receipts"},
        ]
        return tables


async def workers(bench: Bench) -> Tables:
    """What a second worker gains: the same pairs on one, and half of them crossing each way between two."""
    async with AsyncExitStack() as stack:
        one = await bench.our_side(stack, "ours, 1 worker", [("c", "c")])
        two = await bench.our_side(stack, "ours, 2 workers", [("a", "b"), ("b", "a")])
        bare = await bench.echo_side(stack)
        sides = [one, two, bare]
        await bench.closed("1", sides, in_flight=1)
        await bench.closed("8", sides, in_flight=8)
        tables: Tables = {}
        for kind in ("1", "8"):
            rows = [side.row(kind, bare) for side in sides]
            alone = one.found[kind]
            busiest = max(two.found[kind].median("a"), two.found[kind].median("b"))
            rows[1] |= {
                "gain_measured": round(two.found[kind].rate / alone.rate, 2),
                "gain_by_cpu": round(alone.median("c") / busiest, 2),
            }
            tables[f"one worker and two, {kind} in flight"] = rows
        return tables


async def idling(bench: Bench, count: int) -> Tables:
    """Active pairs beside `count` idle sockets that offer deflate as browsers do."""
    async with AsyncExitStack() as stack:
        bench.ours["d"] = stack.enter_context(our_server(bench.settings, "d", bench.folder))
        await until_ready(bench.http, bench.ours["d"])
        plain = await bench.our_side(stack, "ours, nobody idle", [("c", "c")])
        full = await bench.our_side(stack, f"ours, {count} idle", [("d", "d")])
        await full.warm_up("1", bench.seconds, in_flight=1)  # so that buffers and caches of the pairs are there
        before, deflated = memory_of(bench.ours["d"].pid), 0
        for begun in range(0, count, 500):
            deflated += await _idlers(bench.services, full.load, bench.ours["d"].port, min(500, count - begun))
        memory = (memory_of(bench.ours["d"].pid) - before) / count
        watched = {"server": bench.ours["d"].pid, "load": full.load.pid} | bench.stores
        spent, seconds = {role: -cpu_of(pid) for role, pid in watched.items()}, bench.seconds * 5
        await asyncio.sleep(seconds)
        spent = {role: round((spent[role] + cpu_of(pid)) / seconds * 1000, 1) for role, pid in watched.items()}
        await bench.closed("1", [plain, full], in_flight=1)
        quiet: dict[str, object] = {
            "server": f"ours, {count} idle and nothing said",
            "memory_kb_per_socket": round(memory / 1000, 1),
            "deflate_accepted": deflated,
            **{f"{role}_cpu_ms_per_s": value for role, value in spent.items()},
            "faults": "",
        }
        return {
            f"{count} idle sockets": [quiet],
            f"{bench.pairs} pairs on one worker beside {count} idle sockets, 1 in flight": [
                plain.row("1"),
                full.row("1"),
            ],
        }


async def _idlers(services: Services, load: Generator, port: int, count: int) -> int:
    """Connect citizens who say hello and no more; how many got deflate."""
    auths = []
    for begun in range(0, count, _AT_ONCE):
        sessions = await asyncio.gather(*(citizen(services) for _ in range(min(_AT_ONCE, count - begun))))
        auths += await asyncio.gather(*(auth_of(services, session) for session in sessions))
    for auth in auths:
        load.socket(port, "/citizen", auth, {"cursors": {}}, deflate=True)
    outcome = await load.connect()
    return int(outcome["deflate_accepted"])
