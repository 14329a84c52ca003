"""What `bench_chat` measures: a side is some servers, the load on them, and what was found."""

from __future__ import annotations

import hashlib
import os
import shutil
import statistics
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from backend.commands.errors import CommandError
from backend.commands.node import Node, find_node
from tests.bench.generator import Generator, Outcome, cache_folder, faults
from tests.bench.processes import Running, cpu_of, peer

NODE_PEER = Path(__file__).parent / "peers" / "node"
#: Roles whose CPU is told but not added up: they have no part in a message.
APART = ("third", "load")


@dataclass
class Found:
    """What the rounds of one kind of run found on one side."""

    cpu_us: dict[str, list[float]] = field(default_factory=dict)
    runs: list[Outcome] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    first_trouble: str = ""

    def median(self, role: str) -> float:
        return statistics.median(self.cpu_us[role])

    @property
    def total(self) -> float:
        """CPU µs per message of all processes that have a part in it."""
        rounds = zip(*(found for role, found in self.cpu_us.items() if role not in APART), strict=True)
        return statistics.median(map(sum, rounds))

    @property
    def rate(self) -> float:
        """Messages a second."""
        return statistics.median(float(run["delivered"] / run["seconds"]) for run in self.runs)

    def latency(self, what: str, share: str) -> float:
        """Milliseconds: the median of the rounds."""
        return statistics.median(float(run[what][share]) for run in self.runs)

    @property
    def load_busy(self) -> float:
        """Share of one core that the generator used."""
        return statistics.median(float(run["cpu_seconds"] / run["seconds"]) for run in self.runs)


@dataclass
class Side:
    """Some servers under the load of one generator."""

    name: str
    load: Generator
    processes: dict[str, int]
    found: dict[str, Found] = field(default_factory=dict)
    messages: dict[str, int] = field(default_factory=dict)

    async def warm_up(self, kind: str, seconds: float, *, in_flight: int, receipts: bool = False) -> None:
        """Find out how many messages last about `seconds`."""
        outcome = await self.load.closed(500, in_flight=in_flight, receipts=receipts)
        wanted = outcome["delivered"] / outcome["seconds"] * seconds
        self.messages[kind] = max(300, min(40_000, round(wanted)))

    async def closed(self, kind: str, *, in_flight: int, receipts: bool = False) -> None:
        """One round, every pair with `in_flight` messages under way."""
        before = self._cpu()
        outcome = await self.load.closed(self.messages[kind], in_flight=in_flight, receipts=receipts)
        self._note(kind, before, outcome)

    async def open(self, kind: str, *, per_second: float, seconds: float) -> None:
        """One round of messages at fixed times."""
        before = self._cpu()
        outcome = await self.load.open(round(per_second * seconds), per_second=per_second)
        self._note(kind, before, outcome)

    def _cpu(self) -> dict[str, float]:
        return {role: cpu_of(pid) for role, pid in (self.processes | {"load": self.load.pid}).items()}

    def _note(self, kind: str, before: dict[str, float], outcome: Outcome) -> None:
        found = self.found.setdefault(kind, Found())
        for role, spent in self._cpu().items():
            found.cpu_us.setdefault(role, []).append((spent - before[role]) / max(1, outcome["delivered"]) * 1e6)
        found.runs.append(outcome)
        found.faults.update(faults(outcome))
        found.first_trouble = found.first_trouble or outcome["first_trouble"]

    def row(self, kind: str, bare: Side | None = None) -> dict[str, object]:
        """One line of a table; ratios are against `bare` in the same run."""
        found = self.found[kind]
        row: dict[str, object] = {"server": self.name, "cpu_us": round(found.total, 1)}
        for role in found.cpu_us:
            row[f"{role}_us"] = round(found.median(role), 1)
        if bare is not None:
            row["of_bare"] = round(bare.found[kind].total / found.total, 3)
            row["rate_of_bare"] = round(found.rate / bare.found[kind].rate, 3)
        return row | {
            "msg_per_s": round(found.rate),
            "ack_p50_ms": round(found.latency("ack_ms", "p50"), 2),
            "p50_ms": round(found.latency("delivered_ms", "p50"), 2),
            "p99_ms": round(found.latency("delivered_ms", "p99"), 2),
            "late_p99_ms": round(found.latency("late_ms", "p99"), 2) if found.runs[0]["late_ms"]["count"] else None,
            "load_busy": round(found.load_busy, 2),
            "messages": sum(run["delivered"] for run in found.runs),
            "faults": " ".join(f"{kind}={count}" for kind, count in found.faults.items()),
        }


def node_peer() -> tuple[str, Path]:
    """(The node program, the folder of the installed peer). Installs once into the cache.

    Raises `CommandError` where there is no Node or its packages cannot be had.
    """
    node = find_node()
    program = shutil.which("node", path=node.environment.get("PATH", os.environ.get("PATH")))
    if program is None:
        raise CommandError("node is not beside npm")
    names = ("package.json", "package-lock.json", "server.js")
    digest = hashlib.sha256(b"\0".join((NODE_PEER / name).read_bytes() for name in names)).hexdigest()
    folder = cache_folder() / f"node-{digest[:16]}"
    if not (folder / ".installed").exists():
        _install(node, folder, names)
    return program, folder


def _install(node: Node, folder: Path, names: tuple[str, ...]) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        shutil.copy(NODE_PEER / name, folder / name)
    log = folder / "npm.log"
    if node.run("ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", folder=folder, log=log):
        raise CommandError(f"npm ci failed: {log.read_text()[-500:]}")
    (folder / ".installed").touch()


@contextmanager
def peers(command: list[str], environment: dict[str, str], name: str, logs: Path) -> Iterator[list[Running]]:
    """Two processes of a peer with the same database and Redis channel."""
    environment = environment | {"PEER_DATABASE": f"peer-{name}"}
    with (
        peer(command, environment, logs / f"{name}-a.log") as a,
        peer(command, environment, logs / f"{name}-b.log") as b,
    ):
        yield [a, b]
