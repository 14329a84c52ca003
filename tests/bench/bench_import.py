"""Importing the real catalogue into an empty database, then once more: rows a second.

`python -m tests.bench.bench_import [--json FILE]`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from backend.composition import open_services
from backend.domain.access import SYSTEM
from backend.domain.ids import new_id
from backend.embedded import EmbeddedMongo, EmbeddedRedis
from backend.services.imports.mapping import load_mapping
from config.settings import Settings
from tests.bench.report import report

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT.parent / "shared" / "data" / "guangdong_items" / "items.jsonl"


async def run() -> list[dict[str, object]]:
    """Import twice; the rows of the report."""
    mapping = load_mapping(ROOT / "config" / "mappings" / "guangdong.toml")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        mongo = os.environ.get("MONGO_URL") or stack.enter_context(EmbeddedMongo(folder / "mongo")).url
        redis = os.environ.get("REDIS_URL") or stack.enter_context(EmbeddedRedis(folder / "redis")).url
        settings = Settings(
            mode="test", var=folder, mongo_url=mongo, redis_url=redis, mongo_database=f"bench_{new_id()[-12:]}"
        )
        rows: list[dict[str, object]] = []
        async with open_services(settings) as services:
            try:
                for name in ("first", "again"):
                    cpu = time.process_time()
                    done = await services.matter_importer.run(SYSTEM, FILE, mapping)
                    rows.append(
                        {
                            "import": name,
                            "rows": done.rows,
                            "added": done.added,
                            "unchanged": done.unchanged,
                            "rejects": len(done.rejects),
                            "seconds": round(done.seconds, 2),
                            "rows_per_s": round(done.rows / done.seconds),
                            "cpu_s": round(time.process_time() - cpu, 2),
                        }
                    )
            finally:
                await services.database.drop()
    return rows


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the result here")
    options = parser.parse_args()
    if not FILE.is_file():
        print("skipped: the shared data folder is not beside this checkout")
        return 0
    report("import of the provincial catalogue", asyncio.run(run()), options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
