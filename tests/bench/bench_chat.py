"""A message from send to delivered: ours beside bare python-socketio echo, rounds interleaved.

`python -m tests.bench.bench_chat [--pairs N] [--messages N] [--rounds N] [--json FILE]`. What counts is the CPU of
the servers per message (the load generator is Python too and shares the machine); latencies are as the
generator sees them, so only their ratio within one run says something. Ours stores with majority and
journal, checks access, orders, and removes doubles; the echo does none of it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import orjson
import uvloop

from backend.composition import Services, open_services
from backend.domain.access import SYSTEM, Role
from backend.domain.ids import new_id
from backend.embedded import EmbeddedMongo, EmbeddedRedis
from backend.services.staff import NewStaff
from backend.storage.accounts import CitizenStore
from config.settings import Settings
from tests.bench.report import report

TEXT = "请问办理结婚登记需要带哪些材料？外地户口可以在这里办吗？" * 3  # about 300 bytes, as citizens write
_TICK = os.sysconf("SC_CLK_TCK")


def cpu_of(pid: int | None) -> float:
    """Seconds of CPU a process has used; 0 for one that is not ours."""
    if pid is None:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


class Wire:
    """One Socket.IO socket, spoken directly so that the generator costs little."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, namespace: str) -> None:
        self._socket = socket
        self._prefix = namespace + "," if namespace != "/" else ""
        self._next = 0
        self.delivered: asyncio.Future[None] | None = None
        self.acked: asyncio.Future[str] | None = None
        self.task: asyncio.Task[None] | None = None

    @classmethod
    async def connect(cls, http: aiohttp.ClientSession, port: int, namespace: str, auth: object) -> Wire:
        url = f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket"
        wire = cls(await http.ws_connect(url, compress=0, max_msg_size=2**20), namespace)
        await wire._socket.receive_str()
        await wire._socket.send_str(f"40{wire._prefix}{orjson.dumps(auth).decode()}")
        answer = await wire._socket.receive_str()
        if not answer.startswith("40"):
            raise SystemExit(f"refused: {answer}")
        wire.task = asyncio.create_task(wire._listen())
        return wire

    async def _listen(self) -> None:
        op, ack = f'42{self._prefix}["op"', f"43{self._prefix}"
        async for message in self._socket:
            data = message.data
            if data.startswith(op):
                if self.delivered is not None and not self.delivered.done() and '"message"' in data:
                    self.delivered.set_result(None)
            elif data.startswith(ack):
                if self.acked is not None and not self.acked.done():
                    self.acked.set_result(data)
            elif data == "2":
                await self._socket.send_str("3")
            elif "presence:ping" in data:
                number = data[len(f"42{self._prefix}") : data.index("[")]
                await self._socket.send_str(f"43{self._prefix}{number}[]")

    async def emit(self, event: str, payload: object) -> asyncio.Future[str]:
        self.acked = asyncio.get_running_loop().create_future()
        self._next += 1
        await self._socket.send_str(f"42{self._prefix}{self._next}{orjson.dumps([event, payload]).decode()}")
        return self.acked

    async def close(self) -> None:
        await self._socket.close()
        if self.task is not None:
            await asyncio.gather(self.task, return_exceptions=True)


@dataclass
class Pair:
    sender: Wire
    reader: Wire
    conv: str

    async def one(self) -> float:
        """Send one message; seconds until the other side has it. Returns after the acknowledgement too."""
        loop = asyncio.get_running_loop()
        self.reader.delivered = loop.create_future()
        began = time.perf_counter()
        payload = {"conv": self.conv, "cid": str(uuid.uuid4()), "body": {"text": TEXT}, "kind": "message"}
        if self.conv:
            del payload["kind"]
        acked = await self.sender.emit("msg:send", payload)
        await self.reader.delivered
        took = time.perf_counter() - began
        if '"ok":true' not in await acked:
            raise SystemExit(f"refused: {acked.result()!r}")
        return took


@dataclass
class Side:
    """A server under measurement: its processes by role, its pairs, what was measured."""

    name: str
    pids: dict[str, int | None]
    pairs: list[Pair] = field(default_factory=list)
    cpu_us: dict[str, list[float]] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)
    paced: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    async def closed_loop(self, messages: int) -> None:
        """Every pair sends one message after the other."""
        before, began = {role: cpu_of(pid) for role, pid in self.pids.items()}, time.perf_counter()
        each = messages // len(self.pairs)

        async def talk(pair: Pair) -> list[float]:
            return [await pair.one() for _ in range(each)]

        for found in await asyncio.gather(*(talk(pair) for pair in self.pairs)):
            self.latencies += found
        total = each * len(self.pairs)
        self.rates.append(total / (time.perf_counter() - began))
        for role, pid in self.pids.items():
            self.cpu_us.setdefault(role, []).append((cpu_of(pid) - before[role]) / total * 1e6)

    async def pace(self, per_second: int, messages: int) -> None:
        """Messages at fixed times, whatever the answers do; each on a pair that is free."""
        loop, tasks = asyncio.get_running_loop(), []
        began = loop.time()
        for i in range(messages):
            await asyncio.sleep(max(0.0, began + i / per_second - loop.time()))
            pair = self.pairs[i % len(self.pairs)]
            if pair.reader.delivered is None or pair.reader.delivered.done():
                tasks.append(asyncio.create_task(pair.one()))
        self.paced += await asyncio.gather(*tasks)

    def forget(self) -> None:
        for found in (self.latencies, self.paced, self.rates):
            found.clear()
        self.cpu_us.clear()


@contextmanager
def server(arguments: list[str], environment: dict[str, str]) -> Iterator[tuple[int, int]]:
    """A server in a process of its own: (pid, port)."""
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        yield process.pid, int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def our_pairs(services: Services, http: aiohttp.ClientSession, port: int, count: int) -> list[Pair]:
    """Citizens, each talking with a clerk of their own."""

    async def ticket(session_id: str) -> dict[str, object]:
        actor = await services.sessions.actor_of(session_id)
        return {"ticket": await services.socket_tickets.issue(actor), "v": 1}

    pairs = []
    for number in range(count):
        citizen = await CitizenStore(services.database).for_openid(f"bench-{number}", None, services.clock.now())
        session = (await services.sessions.open_citizen(citizen.id, "bench")).session_id
        asker = await services.sessions.actor_of(session)
        opened = await services.consultations.open(asker, cid=new_id(), subject="咨询")
        new = NewStaff(username=f"bench-{number}", name="王敏", roles=frozenset({Role.TRIAGE}), department_id=None)
        staff = (await services.staff.create(SYSTEM, new)).staff
        desk_session = (await services.sessions.open_staff(staff.id, "bench")).session_id
        clerk = await services.sessions.actor_of(desk_session)
        taken = await services.consultations.accept(clerk, opened.state.id, cid=new_id(), version=opened.state.version)
        conv = taken.state.id
        phone = await Wire.connect(http, port, "/citizen", await ticket(session))
        desk = await Wire.connect(http, port, "/clerk", await ticket(desk_session))
        for wire in (phone, desk):
            hello = {"cursors": {conv: [1, taken.state.last_seq]}, "rest": False}
            await (await wire.emit("hello", hello))
        pairs.append(Pair(phone, desk, conv))
    return pairs


async def echo_pairs(http: aiohttp.ClientSession, port: int, count: int) -> list[Pair]:
    pairs = []
    for number in range(count):
        auth = {"pair": str(number)}
        sender = await Wire.connect(http, port, "/", auth)
        pairs.append(Pair(sender, await Wire.connect(http, port, "/", auth), ""))
    return pairs


async def run(pairs: int, messages: int, rounds: int, per_second: int) -> list[dict[str, object]]:
    """Measure; the rows of the report."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        mongo = stack.enter_context(EmbeddedMongo(folder / "mongo"))
        redis = stack.enter_context(EmbeddedRedis(folder / "redis"))
        settings = Settings(mode="test", var=folder, mongo_url=mongo.url, redis_url=redis.url, mongo_database="bench")
        environment = {
            "BANSHI_MODE": "test",
            "BANSHI_VAR": str(folder),
            "MONGO_URL": mongo.url,
            "REDIS_URL": redis.url,
            "BANSHI_MONGO_DATABASE": "bench",
            "BANSHI_CHAT_EVENTS_PER_SECOND": "100000",
        }
        connector = aiohttp.TCPConnector(limit=0)
        async with open_services(settings) as services, aiohttp.ClientSession(connector=connector) as http:
            pid, port = stack.enter_context(server(["tests.bench.http_servers", "banshi"], environment))
            bare_pid, bare_port = stack.enter_context(server(["tests.bench.peers.echo"], {}))
            ours = Side("ours, journaled", {"app": pid, "mongod": mongo.pid, "redis": redis.pid})
            bare = Side("bare echo", {"app": bare_pid})
            ours.pairs = await our_pairs(services, http, port, pairs)
            bare.pairs = await echo_pairs(http, bare_port, pairs)
            for side in (ours, bare):
                await side.closed_loop(messages // 4)
                side.forget()
            for _ in range(rounds):
                for side in (ours, bare):
                    await side.closed_loop(messages)
                    await side.pace(per_second, per_second * 2)
            for side in (ours, bare):
                await asyncio.gather(*(w.close() for p in side.pairs for w in (p.sender, p.reader)))
        return [_row(ours, bare, per_second), _row(bare, bare, per_second)]


def _row(side: Side, peer: Side, per_second: int) -> dict[str, object]:
    cpu = {role: statistics.median(found) for role, found in side.cpu_us.items()}
    app, peer_app = cpu["app"], statistics.median(peer.cpu_us["app"])
    closed, paced = statistics.quantiles(side.latencies, n=100), statistics.quantiles(side.paced, n=100)
    return {
        "server": side.name,
        "app_cpu_us": round(app, 1),
        "mongod_cpu_us": round(cpu["mongod"], 1) if "mongod" in cpu else None,
        "redis_cpu_us": round(cpu["redis"], 1) if "redis" in cpu else None,
        "of_bare": round(peer_app / app, 2),
        "msg_per_s": round(statistics.median(side.rates)),
        "p50_ms": round(closed[49] * 1000, 2),
        "p99_ms": round(closed[98] * 1000, 2),
        f"p50_ms_at_{per_second}": round(paced[49] * 1000, 2),
        f"p99_ms_at_{per_second}": round(paced[98] * 1000, 2),
    }


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--messages", type=int, default=3_000, help="messages in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--per-second", type=int, default=100, help="messages a second of the paced part")
    parser.add_argument("--json", type=Path, help="also write the result here")
    options = parser.parse_args()
    rows = uvloop.run(run(options.pairs, options.messages, options.rounds, options.per_second))
    report("chat: a message from send to delivered, CPU per message, rounds interleaved", rows, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
