"""Where a server process of ours spends its time under load: `python -m tests.bench.chat_profile [--help]`.

`--how cprofile` counts every call, and makes calls dear: good for counts and for who calls whom. `--how py-spy`
samples without slowing, with the C parts as what called them: good for shares. `--how perf` sees C functions
and the kernel. What each of the two servers costs per message stands above the table; only a run without a
profiler (`--how none`) tells it truly.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import pstats
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import uvloop

from backend.composition import open_services
from backend.embedded import EmbeddedMongo, EmbeddedRedis
from config.settings import Settings
from tests.bench.chat_people import furnish, join_ours
from tests.bench.generator import faults, generator
from tests.bench.processes import cpu_of, our_server, quiet, until_ready

TOP = 40


@dataclass(frozen=True)
class Options:
    """What is played and who is watched."""

    how: str
    watch: str
    pairs: int
    messages: int
    in_flight: int
    receipts: bool
    per_second: float | None


async def profile(options: Options) -> None:
    """Play the load and print what was found. Raises `SystemExit` where the tool is missing."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        mongo = stack.enter_context(EmbeddedMongo(folder / "mongo"))
        redis = stack.enter_context(EmbeddedRedis(folder / "redis"))
        settings = Settings(mode="test", var=folder, mongo_url=mongo.url, redis_url=redis.url, mongo_database="bench")
        found = folder / "profile"
        async with open_services(settings) as services, aiohttp.ClientSession() as http, generator() as load:
            running = {}
            for name in ["one"] if options.watch == "one" else ["a", "b"]:
                watched = options.how == "cprofile" and name == options.watch
                wrapper = ["tests.bench.under_profile", str(found)] if watched else ["backend.commands.server_process"]
                running[name] = stack.enter_context(our_server(settings, name, folder, wrapper=["-m", *wrapper]))
                await until_ready(http, running[name])
            ports = [server.port for server in running.values()]
            await join_ours(services, load, await furnish(services, options.pairs), [(ports[0], ports[-1])])
            await load.closed(options.messages // 4, in_flight=options.in_flight, receipts=options.receipts)

            processes = {name: server.pid for name, server in running.items()}
            processes |= {"mongod": mongo.pid or 0, "redis": redis.pid or 0, "generator": load.pid}
            watching = _begin(options.how, processes[options.watch], found)
            before = {name: cpu_of(pid) for name, pid in processes.items()}
            if options.per_second:
                outcome = await load.open(options.messages, per_second=options.per_second)
            else:
                outcome = await load.closed(options.messages, in_flight=options.in_flight, receipts=options.receipts)
            spent = {n: (cpu_of(pid) - before[n]) / options.messages * 1e6 for n, pid in processes.items()}
            if watching is not None:
                watching.send_signal(signal.SIGINT)
                await asyncio.to_thread(watching.wait)
            elif options.how == "cprofile":
                os.kill(processes[options.watch], signal.SIGALRM)
                async with asyncio.timeout(60):
                    while not found.exists():
                        await asyncio.sleep(0.1)
        print(f"{options}\nCPU µs per message: {', '.join(f'{n} {v:.0f}' for n, v in spent.items())}")
        print(f"{options.messages / outcome['seconds']:.0f} messages a second; delivered: {outcome['delivered_ms']}")
        if wrong := faults(outcome):
            print(f"NOT CLEAN: {wrong} {outcome['first_trouble']}")
        _tell(options.how, found)


def _tool(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise SystemExit(f"{name} is not on this machine; --how cprofile needs nothing")
    return found


def _begin(how: str, pid: int, found: Path) -> subprocess.Popen[bytes] | None:
    """Begin to watch a process; the watcher ends with SIGINT. None where it watches itself."""
    match how:
        case "cprofile":
            os.kill(pid, signal.SIGUSR1)
        case "py-spy":
            arguments = ["record", "--rate", "400", "--format", "raw", "--duration", "600", "--nonblocking"]
            return _quiet([_tool(how), *arguments, "--pid", str(pid), "--output", str(found)])
        case "perf":
            return _quiet([_tool(how), "record", "-F", "999", "-g", "-p", str(pid), "-o", str(found)])
    return None


def _quiet(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _tell(how: str, found: Path) -> None:
    match how:
        case "cprofile":
            words = io.StringIO()
            statistics = pstats.Stats(str(found), stream=words)
            for order in ("tottime", "cumulative"):
                statistics.sort_stats(order).print_stats(TOP)
            print(words.getvalue())
        case "py-spy":
            _tell_samples(found)
        case "perf":
            command = [_tool("perf"), "report", "--stdio", "--no-children", "-g", "none", "-i", str(found)]
            said = subprocess.run(command, check=False, capture_output=True, text=True).stdout
            print("\n".join([x for x in said.splitlines() if x.strip()][: TOP + 12]))


def _tell_samples(found: Path) -> None:
    """py-spy's raw format: frames from the outermost, joined by ";", then how often that stack was seen."""
    own: Counter[str] = Counter()
    cumulative: Counter[str] = Counter()
    for line in found.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [frame.rpartition(":")[0] + ")" if ":" in frame else frame for frame in stack.split(";")]
        own[frames[-1]] += int(count)
        for frame in set(frames):
            cumulative[frame] += int(count)
    total = sum(own.values())
    for title, counted in (("own time", own), ("cumulative", cumulative)):
        print(f"\n{title}, share of {total} samples")
        for frame, seen in counted.most_common(TOP):
            print(f"{seen / total:7.1%}  {frame}")


def main() -> int:
    """Print the profile."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--how", choices=("none", "cprofile", "py-spy", "perf"), default="cprofile")
    parser.add_argument("--watch", choices=("one", "a", "b"), default="a", help="a: senders, b: readers, one: both")
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument("--messages", type=int, default=8_000)
    parser.add_argument("--in-flight", type=int, default=1)
    parser.add_argument("--receipts", action="store_true")
    parser.add_argument("--per-second", type=float, help="messages at fixed times, so many a second, however many wait")
    quiet()
    uvloop.run(profile(Options(**vars(parser.parse_args()))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
