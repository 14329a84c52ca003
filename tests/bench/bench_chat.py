"""A message from send to delivered: ours beside bare echo, the stock recipe and Node, rounds interleaved.

`python -m tests.bench.bench_chat [--quick] [--json FILE]`. What counts is the CPU per message summed over all
processes that have a part in it (ours, mongod, Redis), as a ratio within this run: two cores are shared by
servers, databases and load, so messages a second and latencies say less, and nothing between runs. Ours are
server processes as `run.py serve` starts them, with tickets, access checks, order, no doubles, majority and
journal; the bare echo has nothing of it. Ours and the peers have a mongod and a Redis each.

The load is compiled (`load/*.c`); `load_us` and `load_busy` show what it used itself, `late_p99_ms` how late
it sent in the open loop. Every message must arrive once and in order and be acknowledged with ok: `faults`.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import uvloop

from backend.commands.errors import CommandError
from tests.bench.chat_goals import goals
from tests.bench.chat_scenes import Bench, crossing, idling, workers
from tests.bench.generator import NoCompiler, compiled
from tests.bench.processes import quiet
from tests.bench.report import report

Tables = dict[str, list[dict[str, object]]]
SCENES = ["crossing", "workers", "idling"]


async def run(options: argparse.Namespace) -> Tables:
    """Measure; the tables of the report."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bench = await Bench.start(stack, folder, options.pairs, options.rounds, options.seconds)
        tables: Tables = {}
        scenes: dict[str, Callable[[Bench], Awaitable[Tables]]] = {
            "crossing": crossing,
            "workers": workers,
            "idling": partial(idling, count=options.idle),
        }
        for name in options.scenes:
            tables |= await scenes[name](bench)
        return tables


def main() -> int:
    """Print the tables. 1 when ours lost, doubled, reordered or refused anything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two short rounds and 500 idle sockets")
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument("--rounds", type=int, help="5, or 2 with --quick")
    parser.add_argument("--seconds", type=float, help="of one round of one server: 2, or 0.7 with --quick")
    parser.add_argument("--idle", type=int, help="idle sockets: 5000, or 500 with --quick")
    parser.add_argument("--scenes", nargs="+", choices=SCENES, default=SCENES)
    parser.add_argument("--json", type=Path, help="also write the result here")
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.quick else 5)
    options.seconds = options.seconds or (0.7 if options.quick else 2.0)
    options.idle = options.idle or (500 if options.quick else 5000)
    try:
        compiled()
    except NoCompiler as error:
        print(f"chat: passed over: {error}")
        return 0
    quiet()
    try:
        tables = uvloop.run(run(options))
    except CommandError as error:
        print(f"chat: {error}", file=sys.stderr)
        return 1
    reached = goals(tables)
    for name, rows in (tables | {"goals": reached}).items():
        report(name, rows)
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        cores = len(os.sched_getaffinity(0))
        about = {
            "name": "chat",
            "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "machine": f"{platform.machine()}, {cores} cores, Python {platform.python_version()}",
            "options": {key: str(value) for key, value in vars(options).items()},
            "tables": [{"name": name, "rows": rows} for name, rows in tables.items()],
            "goals": reached,
        }
        options.json.write_text(json.dumps(about, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    bad = [row for rows in tables.values() for row in rows if str(row["server"]).startswith("ours") and row["faults"]]
    for row in bad:
        print(f"NOT CLEAN: {row['server']}: {row['faults']}")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
