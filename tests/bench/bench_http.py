"""HTTP: a cached guide beside bare aiohttp with the same bytes, a progress query beside bare `find_one`.

`python -m tests.bench.bench_http [--requests N] [--rounds N] [--json FILE]`. Servers run in processes of
their own; rounds are interleaved, and what counts is the CPU a server spends on a request, since two servers
and a client share the machine. Goals: a cached guide ≥ 15,000 requests a second and core; the progress query
≥ 0.7 of the bare handler.
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
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from backend.composition import Services, open_services
from backend.domain.access import SYSTEM, Actor, Role
from backend.domain.catalogue import MatterDraft
from backend.domain.ids import new_id
from backend.domain.matters import ProjectType
from backend.embedded import EmbeddedMongo, EmbeddedRedis
from backend.storage.accounts import CitizenStore
from config.sample_district import load_sample_district
from config.settings import Settings
from tests.bench.report import report

CONNECTIONS = 50
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass
class Server:
    """A server process and what was measured of it."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    path: str
    token: str | None = None
    cpu_us: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    def cpu(self) -> float:
        """Seconds of CPU so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK

    def request(self) -> bytes:
        """One request as it goes over the wire."""
        lines = [f"GET {self.path} HTTP/1.1", "Host: 127.0.0.1", "Accept: application/json"]
        if self.token:
            lines.append(f"Authorization: Bearer {self.token}")
        return "\r\n".join([*lines, "", ""]).encode()


class _Client(asyncio.Protocol):
    """One keep-alive connection that asks again as soon as it has its answer."""

    def __init__(self, request: bytes, left: list[int], done: asyncio.Event) -> None:
        self._request, self._left, self._done = request, left, done
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(rest) < length:
            return
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"unexpected answer: {head[:60]!r}")
        self._buffer = rest[length:]
        self._left[0] -= 1
        if self._left[0] <= 0:
            self._done.set()
        elif self._left[0] >= CONNECTIONS:
            self._transport.write(self._request)


async def _load(server: Server, requests: int) -> None:
    """`requests` answers over 50 connections; notes CPU per request and the rate."""
    loop, done, left = asyncio.get_running_loop(), asyncio.Event(), [requests]
    cpu, started = server.cpu(), time.perf_counter()
    transports = []
    for _ in range(CONNECTIONS):
        transport, _protocol = await loop.create_connection(
            lambda: _Client(server.request(), left, done), "127.0.0.1", server.port
        )
        transports.append(transport)
    async with asyncio.timeout(120):
        await done.wait()
    server.cpu_us.append((server.cpu() - cpu) / requests * 1e6)
    server.rates.append(requests / (time.perf_counter() - started))
    for transport in transports:
        transport.close()


async def _furnish(services: Services) -> tuple[str, str, str]:
    """A rich guide, a case and its citizen: (matter id, case id, token)."""
    district = load_sample_district()
    names = {department.id: department for department in district.departments}
    seed = max(
        (m for m in district.matters if m.guide.project_type is ProjectType.PROMISED and m.guide.online),
        key=lambda m: len(m.guide.materials),
    )
    department = names[seed.department_id]
    draft = MatterDraft(seed.code, seed.base_code, department.code, department.name, seed.area_code, seed.guide)
    await services.matters.publish(SYSTEM, [draft])
    citizen = await CitizenStore(services.database).for_openid("bench", None, services.clock.now())
    tokens = await services.sessions.open_citizen(citizen.id, "bench")
    actor = Actor(kind="citizen", id=citizen.id, roles=frozenset({Role.CITIZEN}))
    case = await services.cases.create(actor, draft.id, case_id=new_id())
    return draft.id, case.id, tokens.access_token


@contextmanager
def _server(name: str, kind: str, path: str, environment: dict[str, str], body: bytes = b"") -> Iterator[Server]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.http_servers", kind],
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(body)
        process.stdin.close()
        yield Server(name, process, int(process.stdout.readline()), path)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def _fetch(port: int, path: str) -> bytes:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
        response.raise_for_status()
        return await response.read()


async def run(requests: int, rounds: int) -> list[dict[str, object]]:
    """Measure; the rows of the report."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        mongo = os.environ.get("MONGO_URL") or stack.enter_context(EmbeddedMongo(folder / "mongo")).url
        redis = os.environ.get("REDIS_URL") or stack.enter_context(EmbeddedRedis(folder / "redis")).url
        name = f"bench_{new_id()[-12:]}"
        settings = Settings(mode="test", var=folder, mongo_url=mongo, redis_url=redis, mongo_database=name)
        environment = {
            "BANSHI_MODE": "test",
            "BANSHI_VAR": str(folder),
            "MONGO_URL": mongo,
            "REDIS_URL": redis,
            "BANSHI_MONGO_DATABASE": name,
        }
        async with open_services(settings) as services:
            try:
                matter_id, case_id, token = await _furnish(services)
                guide, progress = f"/api/matters/{matter_id}", f"/api/cases/{case_id}/progress"
                ours = stack.enter_context(_server("guide, cached", "banshi", guide, environment))
                body = await _fetch(ours.port, guide)
                bare = stack.enter_context(_server("bare aiohttp, same bytes", "bytes", guide, environment, body))
                query = Server("progress query", ours.process, ours.port, progress, token)
                one = stack.enter_context(_server("bare find_one", "find_one", progress, environment))
                servers = [(ours, requests), (bare, requests), (query, requests // 4), (one, requests // 4)]
                for server, count in servers:
                    await _load(server, count // 4)
                    server.cpu_us.clear()
                    server.rates.clear()
                for _ in range(rounds):
                    for server, count in servers:
                        await _load(server, count)
            finally:
                await services.database.drop()
        return [_row(ours, bare, len(body)), _row(bare, bare, len(body)), _row(query, one), _row(one, one)]


def _row(server: Server, peer: Server, size: int | None = None) -> dict[str, object]:
    cpu, other = statistics.median(server.cpu_us), statistics.median(peer.cpu_us)
    return {
        "server": server.name,
        "cpu_us": round(cpu, 1),
        "req_per_core_s": round(1e6 / cpu),
        "of_bare": round(other / cpu, 2),
        "measured_req_s": round(statistics.median(server.rates)),
        "bytes": size,
    }


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=12_000, help="guide requests in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the result here")
    options = parser.parse_args()
    rows = asyncio.run(run(options.requests, options.rounds))
    report("http: CPU of the server per request, rounds interleaved", rows, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
