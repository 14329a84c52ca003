"""What a run of drills tells: its sum leaves out what was played with planted bugs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from tests.drills.results import Figures, Played, compared, read, summed, told

KILLED = Figures("nodes killed", sent=1200, acknowledged=1190, faults=4, retried=1, converged=0.3)
STOPPED = Figures("nodes stopped", sent=300, acknowledged=300, faults=3, converged=2.5, last="phone saying hello")
PLANTED = Figures("planted: no dedupe", sent=50, acknowledged=50, violations=16, planted=True)


def run(name: str) -> list[Played]:
    each = [("a", "passed", [KILLED]), ("b", "failed", [STOPPED]), ("c", "passed", [PLANTED]), ("d[1]", "passed", [])]
    return [Played(name, "abc", test, outcome, 10.0, 70.0, 60.0, figures=figures) for test, outcome, figures in each]


def test_the_sum_has_the_slowest_time_and_all_of_the_rest() -> None:
    assert summed("both", [KILLED, STOPPED]) == Figures("both", 1500, 1490, 7, 1, 2.5, last="phone saying hello")


def test_what_is_written_is_read_and_told(tmp_path: Path) -> None:
    lines = [json.dumps(asdict(played)) for name in ("one", "two") for played in run(name)]
    (tmp_path / "drills.jsonl").write_text("\n".join(lines) + "\n")
    runs = read(tmp_path / "drills.jsonl")
    assert runs == {"one": run("one"), "two": run("two")}
    table, _, slowest = told(runs["two"]).partition("slowest to converge: ")
    assert slowest == "phone saying hello"
    *_, last = table.strip().splitlines()
    assert last.split("bugs")[1].split() == [
        *("1,500", "1,490", "7", "1", "2.50", "s", "0", "60", "s"),
        *("3", "passed,", "1", "failed"),
    ]
    assert "16 (planted)" in told(runs["two"])
    assert [line.split()[:2] for line in compared(list(runs.values())).splitlines() if "abc" in line] == [
        ["one", "abc"],
        ["two", "abc"],
    ]
