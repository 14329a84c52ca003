"""The load generator of the chat benchmarks: `load/*.c`, compiled here, driven over its standard input.

A client in Python costs as much per message as the servers it measures. This one is compiled, runs in a
process of its own, and says with every result how much CPU it used and how late it sent, so that a report
can show that it was not the bottleneck.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

SOURCES = Path(__file__).parent / "load"
_FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra")
#: What a run counts that should be 0, whatever the server.
FAULTS = (
    "unanswered",
    "refused",
    "lost",
    "doubled",
    "reordered",
    "unasked",
    "closed",
    "kicked",
    "refused_connection",
    "not_understood",
    "compressed",
)
Outcome = dict[str, Any]


class NoCompiler(Exception):
    """There is no C compiler here, or it does not take the generator."""


def cache_folder() -> Path:
    """Where benchmarks keep what they make once: outside the checkout, one per user."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    try:
        (folder := base / "banshi-bench").mkdir(parents=True, exist_ok=True)
    except OSError:
        (folder := Path(tempfile.gettempdir()) / f"banshi-bench-{os.getuid()}").mkdir(mode=0o700, exist_ok=True)
    return folder


def compiled() -> Path:
    """The generator's program, compiled unless these very sources were. Raises `NoCompiler`."""
    sources = sorted(SOURCES.glob("*.[ch]"))
    digest = hashlib.sha256(b"\0".join(s.read_bytes() for s in sources) + " ".join(_FLAGS).encode()).hexdigest()
    program = cache_folder() / f"load-{digest[:16]}"
    if program.exists():
        return program
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise NoCompiler("no C compiler (cc) on this machine; Debian, Ubuntu: apt-get install gcc libc6-dev")
    partial = program.with_suffix(f".{os.getpid()}")
    command = [compiler, *_FLAGS, "-o", str(partial), *(str(s) for s in sources if s.suffix == ".c")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise NoCompiler(f"{compiler} does not compile the load generator:\n{done.stderr[:2000]}")
    partial.replace(program)
    return program


class Generator:
    """One running generator with its sockets."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._sockets = 0

    @property
    def pid(self) -> int:
        return self._process.pid

    def socket(self, port: int, namespace: str, auth: object, hello: object = None, *, deflate: bool = False) -> int:
        """One more socket, opened by `connect`; its number. `hello` is the payload of the first event, if any."""
        greeting = "-" if hello is None else orjson.dumps(["hello", hello]).decode()
        self._say("socket", port, namespace, orjson.dumps(auth).decode(), greeting, "deflate" if deflate else "plain")
        self._sockets += 1
        return self._sockets - 1

    def pair(self, sender: int, reader: int, event: list[Any], conv: str) -> None:
        """Who sends to whom. `event` holds `@CID@` where a new UUID goes and `~n@NUM@~` in its text;
        what is delivered to this reader must be of `conv`."""
        self._say("pair", sender, reader, conv, orjson.dumps(event).decode())

    async def connect(self, *, at_once: int = 32, patience: float = 20.0) -> Outcome:
        """Open the sockets that are new. Raises `RuntimeError` unless all are ready."""
        outcome = await self._ask("connect", at_once, patience)
        if outcome["ready"] != outcome["asked"]:
            raise RuntimeError(f"only {outcome['ready']} of {outcome['asked']} sockets: {outcome['first_trouble']}")
        return outcome

    async def closed(
        self, messages: int, *, in_flight: int = 1, receipts: bool = False, patience: float = 10.0
    ) -> Outcome:
        """Every pair keeps `in_flight` messages under way until `messages` were sent altogether."""
        return await self._ask("closed", in_flight, messages, patience, int(receipts))

    async def open(
        self, messages: int, *, per_second: float, receipts: bool = False, patience: float = 10.0
    ) -> Outcome:
        """Messages at fixed times; latencies count from when each should have left."""
        return await self._ask("open", per_second, messages, patience, int(receipts))

    def _say(self, *fields: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\t".join(map(str, fields)).encode() + b"\n")

    async def _ask(self, *fields: object) -> Outcome:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._say(*fields)
        await self._process.stdin.drain()
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("the load generator ended")
        answer: Outcome = orjson.loads(line)
        return answer


def faults(outcome: Outcome) -> dict[str, int]:
    """What went wrong in a run, by kind."""
    return {kind: outcome[kind] for kind in FAULTS if outcome[kind]}


@asynccontextmanager
async def generator() -> AsyncIterator[Generator]:
    """A generator that lives as long as the context. Raises `NoCompiler`."""
    allow_many_files()
    process = await asyncio.create_subprocess_exec(
        compiled(), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield Generator(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def allow_many_files() -> None:
    """As many open files as the system lets this process and its children have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
