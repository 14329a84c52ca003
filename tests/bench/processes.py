"""Processes under measurement: started as in production, watched by their CPU and memory."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import structlog

from config.settings import Settings

ROOT = Path(__file__).parents[2]


def cpu_of(pid: int) -> float:
    """Seconds of CPU a process has used, all its threads, those that ended included; exact to microseconds."""
    return time.clock_gettime((~pid << 3) | 2)  # the kernel's MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED)


def memory_of(pid: int) -> int:
    """Bytes of memory a process has for itself: what would be free if it ended."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(("Private_Dirty:",)):
            return int(line.split()[1]) * 1024
    raise LookupError(pid)


@dataclass(frozen=True)
class Running:
    """A server process and where it listens."""

    pid: int
    port: int
    log: Path


@contextmanager
def our_server(
    settings: Settings,
    name: str,
    folder: Path,
    *,
    wrapper: Sequence[str] = ("-m", "backend.commands.server_process"),
    connects_per_second: float = 1_000_000,
) -> Iterator[Running]:
    """One server process of ours exactly as `run.py serve` starts it: same module, same orders, same listener.

    `wrapper` are the interpreter's arguments in its place (a profiler); its words go to `folder/NAME.log`.
    """
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    orders = {
        "BANSHI_MODE": settings.mode,
        "BANSHI_VAR": str(settings.var),
        "MONGO_URL": str(settings.mongo_url),
        "REDIS_URL": str(settings.redis_url),
        "BANSHI_MONGO_DATABASE": settings.mongo_database,
        "BANSHI_CHAT_EVENTS_PER_SECOND": "1000000",  # a pair here is busier than a person
        "BANSHI_CHAT_CONNECTS_PER_SECOND": str(connects_per_second),
        "BANSHI_LOG_FORMAT": "json",
    }
    with listener, (folder / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, *wrapper, name, str(listener.fileno())],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            pass_fds=(listener.fileno(),),
        )
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(orders).encode() + b"\n")
            process.stdin.close()
            yield Running(process.pid, listener.getsockname()[1], Path(log.name))
        finally:
            _end(process)


@contextmanager
def peer(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[Running]:
    """A peer in a process of its own; it prints its port when it serves."""
    with log.open("ab") as words:
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | dict(environment), stdout=subprocess.PIPE, stderr=words
        )
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"{command[0]} ended: {log.read_text()[-2000:]}")
            yield Running(process.pid, int(line), log)
        finally:
            _end(process)
            process.stdout.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()  # what was to be measured is; a graceful end would wait for thousands of sockets
    process.wait()


def quiet() -> None:
    """Let only warnings through: a table is not to drown in what services log."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))


async def until_ready(http: aiohttp.ClientSession, server: Running, seconds: float = 120.0) -> None:
    """Wait until a server of ours serves. Raises `TimeoutError`, and `RuntimeError` when it ended instead."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                async with http.get(f"http://127.0.0.1:{server.port}/readyz") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            if Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                raise RuntimeError(f"a server ended: {server.log.read_text()[-2000:]}")
            await asyncio.sleep(0.1)
