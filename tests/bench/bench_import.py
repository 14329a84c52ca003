"""How fast a real catalogue is imported, beside a bare `insert_many` of its rows into the same mongod.

Dry run, first import and an import of the same file again (nothing changed), with their CPU in this process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

from backend.composition import Services, open_services
from backend.domain.access import SYSTEM
from backend.embedded import EmbeddedMongo, EmbeddedRedis
from backend.services.imports.mapping import load_mapping
from config.settings import Settings
from tests.bench.report import report

ROOT = Path(__file__).parents[2]
ITEMS = ROOT.parent / "shared" / "data" / "guangdong_items" / "items.jsonl"
MAPPING = ROOT / "config" / "mappings" / "guangdong.toml"


class _Watch:
    """Wall and CPU seconds of this process since its making."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def row(self, what: str, rows: int) -> dict[str, object]:
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        return {
            "what": what,
            "rows": rows,
            "wall_s": round(wall, 2),
            "rows_per_s": round(rows / wall),
            "cpu_us_per_row": round(cpu / rows * 1e6),
        }


async def _bare(services: Services) -> dict[str, object]:
    documents = [json.loads(line) for line in ITEMS.read_text(encoding="utf-8").splitlines()]
    watch = _Watch()
    await services.database["bench_rows"].insert_many(documents)
    return watch.row("bare insert_many", len(documents))


async def run() -> list[dict[str, object]]:
    """The rows of the table."""
    mapping = load_mapping(MAPPING)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        with EmbeddedMongo(place / "mongo") as mongo, EmbeddedRedis(place / "redis") as redis:
            settings = Settings(mode="test", var=place, mongo_url=mongo.url, redis_url=redis.url)
            async with open_services(settings) as services:
                for what, dry in (("dry run", True), ("first import", False), ("again, unchanged", False)):
                    watch = _Watch()
                    done = await services.matter_importer.run(SYSTEM, ITEMS, mapping, dry_run=dry)
                    found.append(
                        watch.row(what, done.rows)
                        | {"added": done.added, "unchanged": done.unchanged, "rejects": len(done.rejects)}
                    )
                found.append(await _bare(services))
    return found


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the result here")
    options = parser.parse_args()
    if not ITEMS.is_file():
        print("skipped: the shared data folder is not beside this checkout")
        return 0
    report("import: a real catalogue", asyncio.run(run()), options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
