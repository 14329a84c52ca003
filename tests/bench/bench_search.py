"""`make bench-search`: search quality on real aliases, build time and latency, beside character TF-IDF."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from backend.services.search import SearchIndex
from tests.bench.report import report
from tests.bench.search_evaluation import (
    SHARED,
    THRESHOLDS,
    Outcome,
    evaluate_index,
    evaluate_peer,
    load_entries,
    load_queries,
    measure_latency,
)


def _row(name: str, outcome: Outcome) -> dict[str, object]:
    return {
        "system": name,
        **{f"hit@{cut}": round(share, 3) for cut, share in outcome.hits.items()},
        "p50_ms": round(outcome.percentile(0.5), 2),
        "p99_ms": round(outcome.percentile(0.99), 2),
    }


def main() -> int:
    """Print the comparison; 1 when a threshold is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the result here")
    options = parser.parse_args()
    if not SHARED.is_dir():
        print("skipped: the shared data folder is not beside this checkout")
        return 0
    entries, queries = load_entries(), load_queries()
    started = time.perf_counter()
    SearchIndex.build(entries)
    built = time.perf_counter() - started
    ours, peer = evaluate_index(entries, queries), evaluate_peer(entries, queries)
    warm = Outcome(ours.hits, measure_latency(entries, queries))
    title = f"search: {len(queries)} aliases on {len(entries)} matters, each removed before scoring"
    rows = [
        _row("banshi, index of each query fresh", ours),
        _row("banshi, index in use", warm) | {"build_s": round(built, 2)},
        _row("character 1-2-gram TF-IDF (numpy)", peer),
    ]
    report(title, rows, options.json)
    missed = [
        f"hit@{cut} {ours.hits[cut]:.3f} < {least}" for cut, least in THRESHOLDS.items() if ours.hits[cut] < least
    ]
    for line in missed:
        print(line)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
