"""10,000 clients that lose their sockets at one moment: until all of them are where they were.

`python -m tests.bench.bench_storm [--clients N] [--rate N] [--json FILE]`. Two server processes as `run.py serve`
starts them, citizens with a session and an open consultation each, in lean client processes that keep to
docs/protocol.md. First every connection is cut; then one of the processes is killed (-9), and its half goes to the
other. Each time an operation is written to every consultation meanwhile; a client is back when it was greeted and has
it. Twenty pairs talk on one node all the while. Refused for good must be 0. The generators share the machine with the
servers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

from backend.composition import Services, open_services
from backend.domain.accounts import AccessToken, LoginSession, token_hash
from backend.domain.consultation_content import Content
from backend.domain.consultation_operations import Message, Operation, Party
from backend.domain.ids import new_id
from backend.embedded import EmbeddedMongo, EmbeddedRedis
from backend.storage.documents import to_document, utc
from backend.storage.operation_documents import operation_to_document
from config.settings import Settings
from tests.bench.chat_people import citizen, furnish, join_ours
from tests.bench.generator import Generator, Outcome, allow_many_files, generator
from tests.bench.processes import ROOT, Running, memory_of, our_server, quiet, until_ready
from tests.bench.report import report

PAIRS, TALK_PER_SECOND, TALK_SECONDS = 20, 40, 5
CROWDS = 2
_BATCH = 1000


@dataclass
class Town:
    """Whoever takes part, and how far their consultations are."""

    people: list[tuple[str, str]]  # (access token, consultation)
    template: Operation
    seq: int

    async def write(self, services: Services) -> None:
        """One more message of staff in every consultation, in bulk."""
        self.seq += 1
        operations = services.database["consultation_ops"]
        for start in range(0, len(self.people), _BATCH):
            written = []
            for _, conv in self.people[start : start + _BATCH]:
                operation = replace(
                    self.template,
                    id=new_id(),
                    consultation_id=conv,
                    seq=self.seq,
                    cid=new_id(),
                    sender=Party("staff", "bench", "王敏"),
                    payload=Message(Content(text="请问还需要帮助吗？")),
                    at=utc(services.clock.now()),
                )
                written.append(operation_to_document(operation))
            await operations.insert_many(written, ordered=False)


async def settle(services: Services, count: int) -> Town:
    """`count` citizens with a session and an open consultation: one made by the services, the others like it."""
    session = await citizen(services)
    actor = await services.sessions.actor_of(session)
    opened = await services.consultations.open(actor, cid=new_id(), subject="咨询")
    state = opened.state
    log = await services.consultation_store.read(state.id, 0)
    now, people = services.clock.now(), []
    for start in range(0, count, _BATCH):
        rows: dict[str, list[dict[str, Any]]] = {
            "citizens": [],
            "sessions": [],
            "consultations": [],
            "consultation_ops": [],
        }
        for number in range(start, min(count, start + _BATCH)):
            who, conv, token = new_id(), new_id(), secrets.token_urlsafe(32)
            party = replace(state.citizen, id=who)
            rows["citizens"].append({"_id": who, "openid": f"storm-{number}", "unionid": None, "created_at": utc(now)})
            ends = utc(now + timedelta(hours=2))
            access = (AccessToken(token_hash(token), ends),)
            login = LoginSession(new_id(), "citizen", who, "bench", utc(now), utc(now), ends, access)
            rows["sessions"].append({**to_document(login), "purge_at": ends})
            rows["consultations"].append({**to_document(replace(state, id=conv, citizen=party)), "open_cid": new_id()})
            for operation in log:
                sender = party if operation.sender.kind == "citizen" else operation.sender
                made = replace(operation, id=new_id(), consultation_id=conv, cid=new_id(), sender=sender)
                rows["consultation_ops"].append(operation_to_document(made))
            people.append((token, conv))
        for name, documents in rows.items():
            await services.database[name].insert_many(documents, ordered=False)
    return Town(people, log[-1], state.last_seq)


class Crowd:
    """One process of clients."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, *words: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(" ".join(map(str, words)).encode() + b"\n")
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("a process of clients ended")
        found: dict[str, Any] = json.loads(line)
        return found


async def all_back(crowds: list[Crowd], count: int, seconds: float) -> list[dict[str, Any]]:
    """Wait until every client is resynchronised. Raises `TimeoutError` with what is missing."""
    ends = time.monotonic() + seconds
    while True:
        found = [await crowd.ask("status") for crowd in crowds]
        if sum(f["synced"] for f in found) == count:
            return [await crowd.ask("times") for crowd in crowds]
        if time.monotonic() > ends or any(f["final"] for f in found):
            raise TimeoutError(f"not everybody is back: {found}")
        await asyncio.sleep(0.5)


async def talking(load: Generator, stop: asyncio.Event) -> Outcome:
    """Talk until `stop`; the worst of what was measured."""
    worst: Outcome | None = None
    while worst is None or not stop.is_set():
        outcome = await load.open(TALK_PER_SECOND * TALK_SECONDS, per_second=TALK_PER_SECOND)
        if worst is None or outcome["delivered_ms"]["p99"] > worst["delivered_ms"]["p99"]:
            worst = outcome
    return worst


def row(name: str, began: float, found: list[dict[str, Any]], calm: Outcome, busy: Outcome) -> dict[str, object]:
    times = sorted(at - began for f in found for at in f["synced_at"])
    refused: Counter[str] = Counter()
    for f in found:
        refused.update(f["refused"])
    return {
        "storm": name,
        "clients": len(times),
        "half_back_s": round(times[len(times) // 2], 1),
        "all_back_s": round(times[-1], 1),
        "told_to_wait": sum(refused.values()),
        "most_per_client": max(f["most_refusals"] for f in found),
        "longest_told_s": round(max(f["longest_told_s"] for f in found), 1),
        "failed_attempts": sum(sum(f["lost"].values()) for f in found),
        "final": sum(f["final"] for f in found),
        "talk_p99_ms_before": calm["delivered_ms"]["p99"],
        "talk_p99_ms_during": busy["delivered_ms"]["p99"],
    }


async def run(clients: int, rate: float) -> list[dict[str, object]]:
    """Play both storms; the rows of the report."""
    quiet()
    allow_many_files()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        mongo = stack.enter_context(EmbeddedMongo(folder / "mongo"))
        redis = stack.enter_context(EmbeddedRedis(folder / "redis"))
        settings = Settings(mode="test", var=folder, mongo_url=mongo.url, redis_url=redis.url, mongo_database="bench")
        async with AsyncExitStack() as opened:
            services = await opened.enter_async_context(open_services(settings))
            http = await opened.enter_async_context(aiohttp.ClientSession())
            servers = [
                stack.enter_context(our_server(settings, f"server-{n}", folder, connects_per_second=rate))
                for n in (1, 2)
            ]
            for server in servers:
                await until_ready(http, server)
            load = await opened.enter_async_context(generator())
            await join_ours(services, load, await furnish(services, PAIRS), [(servers[0].port, servers[0].port)])
            town = await settle(services, clients)
            empty = [memory_of(server.pid) for server in servers]
            crowds = [await _crowd(opened, folder, n, servers, town.people[n::CROWDS]) for n in range(CROWDS)]
            began = time.monotonic()
            for crowd in crowds:
                await crowd.ask("expect", town.seq)
                await crowd.ask("start")
            rows = [{"storm": "first", **await _arrival(crowds, clients, began)}]
            full = [memory_of(server.pid) for server in servers]
            rows[0]["kb_per_socket"] = round((sum(full) - sum(empty)) / clients / 1024, 1)
            calm = await load.open(TALK_PER_SECOND * TALK_SECONDS, per_second=TALK_PER_SECOND)
            rows.append(await _storm("every connection cut", services, town, crowds, load, calm, None))
            rows.append(await _storm("one process killed", services, town, crowds, load, calm, servers))
            return rows


async def _crowd(
    stack: AsyncExitStack, folder: Path, number: int, servers: list[Running], people: list[tuple[str, str]]
) -> Crowd:
    file = folder / f"crowd-{number}.json"
    told = {"ports": [s.port for s in servers], "source": f"127.0.0.{number + 2}", "people": people}
    file.write_text(json.dumps(told))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.storm_clients", str(file)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
    )

    async def end() -> None:
        if process.returncode is None:
            process.kill()
        await process.wait()

    stack.push_async_callback(end)
    return Crowd(process)


async def _arrival(crowds: list[Crowd], clients: int, began: float) -> dict[str, object]:
    nothing: Outcome = {"delivered_ms": {"p99": None}}
    found = row("first connection", began, await all_back(crowds, clients, 600), nothing, nothing)
    return {key: value for key, value in found.items() if value is not None}


async def _storm(
    name: str,
    services: Services,
    town: Town,
    crowds: list[Crowd],
    load: Generator,
    calm: Outcome,
    killed: list[Running] | None,
) -> dict[str, object]:
    over = asyncio.Event()
    talk = asyncio.create_task(talking(load, over))
    began = time.monotonic()
    if killed is None:
        await asyncio.gather(*(crowd.ask("cut", town.seq + 1) for crowd in crowds))
    else:
        os.kill(killed[1].pid, signal.SIGKILL)
        for crowd in crowds:
            await crowd.ask("ports", json.dumps([killed[0].port]))
            await crowd.ask("expect", town.seq + 1)
    await town.write(services)
    found = await all_back(crowds, len(town.people), 600)
    over.set()
    return row(name, began, found, calm, await talk)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=150.0, help="BANSHI_CHAT_CONNECTS_PER_SECOND")
    parser.add_argument("--json", type=Path, help="also write the result here")
    options = parser.parse_args()
    rows = uvloop.run(run(options.clients, options.rate))
    report(f"storm: {options.clients} clients come back at once, {options.rate:g}/s per process", rows, options.json)
    return 1 if any(row["final"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
