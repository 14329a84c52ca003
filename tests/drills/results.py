"""What drills have to tell: the figures of each in a file, one line a test, so that runs can be compared.

A drill notes its figures in whatever process it is played; they travel with its report to the process that
writes. `python -m tests.drills.report` tells the file.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich import box
from rich.console import Console
from rich.table import Table

from tests.cluster.processes import ROOT

#: The folder of `drills.jsonl`, where it is not bench-results.
FOLDER = "BANSHI_DRILL_RESULTS"
_PROPERTY = "figures"
_WHY = 10_000


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one drill. `planted`: with a bug, so that violations are what is wanted."""

    drill: str
    sent: int = 0
    acknowledged: int = 0
    faults: int = 0
    retried: int = 0
    converged: float = 0.0
    violations: int = 0
    planted: bool = False
    last: str = ""
    """Who was the last to have everything when it took longest, and at what."""


@dataclass
class Played:
    """One test of a run. Times are seconds since 1970."""

    run: str
    state: str
    test: str
    outcome: str = "passed"
    began: float = 0.0
    ended: float = 0.0
    seconds: float = 0.0
    why: str = ""
    """What a test that failed says: in the file at once, long before the end of the run."""
    figures: list[Figures] = field(default_factory=list)


def summed(drill: str, each: Sequence[Figures]) -> Figures:
    """All of them as one; the time is that of the slowest."""
    slowest = max(each, key=lambda figures: figures.converged, default=Figures(""))
    return Figures(
        drill,
        sent=sum(f.sent for f in each),
        acknowledged=sum(f.acknowledged for f in each),
        faults=sum(f.faults for f in each),
        retried=sum(f.retried for f in each),
        converged=slowest.converged,
        violations=sum(f.violations for f in each),
        last=slowest.last,
    )


_noted: list[Figures] = []


def note(figures: Figures) -> None:
    """These belong to the drill that is being played."""
    _noted.append(figures)


@contextmanager
def noted() -> Iterator[list[Figures]]:
    """What is noted meanwhile."""
    _noted.clear()
    yield _noted


def as_property(figures: Figures) -> tuple[str, dict[str, Any]]:
    """What a test's report carries from one process to another."""
    return _PROPERTY, asdict(figures)


def file() -> Path:
    return Path(os.environ.get(FOLDER) or ROOT / "bench-results") / "drills.jsonl"


def read(path: Path) -> dict[str, list[Played]]:
    """All runs of a file by their names, in their order."""
    runs: defaultdict[str, list[Played]] = defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        played = Played(**{**entry, "figures": [Figures(**figures) for figures in entry["figures"]]})
        runs[played.run].append(played)
    return dict(runs)


class Recorder:
    """Watches a run from the process that hears all reports: writes each test down, tells the sum at the end."""

    def __init__(self) -> None:
        self._run = datetime.now(UTC).isoformat(timespec="seconds")
        self._state = _git_state()
        self._playing: dict[str, Played] = {}
        self._played: list[Played] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        played = self._playing.setdefault(report.nodeid, Played(self._run, self._state, report.nodeid))
        played.began = played.began or report.start
        played.ended = report.stop
        played.seconds = round(played.seconds + report.duration, 2)
        if report.outcome != "passed":
            played.outcome = report.outcome
            played.why = "\n".join([report.longreprtext, *(text for _, text in report.sections)])[-_WHY:]
        if report.when != "teardown":
            return
        found = [value for name, value in report.user_properties if name == _PROPERTY]
        played.figures = [Figures(**value) for value in found if isinstance(value, dict)]
        self._played.append(self._playing.pop(report.nodeid))
        path = file()
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(asdict(played), ensure_ascii=False) + "\n")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._played:
            terminalreporter.section("drills")
            terminalreporter.write_line(told(self._played))


def _git_state() -> str:
    """Which state of the code is played."""
    command = ("git", "describe", "--always", "--dirty")
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()


# --- telling -------------------------------------------------------------------------------------


def told(run: Sequence[Played]) -> str:
    """The table of a run: each drill, tests without figures by what they are cases of, and the sum."""
    table = _table("drill")
    for played in run:
        for figures in played.figures:
            table.add_row(figures.drill, *_cells(figures), f"{played.seconds:,.0f} s", _outcome([played]))
    others: defaultdict[str, list[Played]] = defaultdict(list)
    for played in run:
        if not played.figures:
            others[played.test.partition("[")[0]].append(played)
    for test, cases in others.items():
        name = f"{test.rpartition('/')[2]} × {len(cases)}"
        table.add_row(name, *[""] * 6, f"{sum(p.seconds for p in cases):,.0f} s", _outcome(cases))
    table.add_section()
    total = _sum(run)
    table.add_row("all of them, without planted bugs", *_cells(total), f"{_took(run):,.0f} s", _outcome(run))
    return _text(table) + (f"\nslowest to converge: {total.last}" if total.last else "")


def compared(runs: Sequence[Sequence[Played]]) -> str:
    """One line a run."""
    table = _table("run")
    for run in runs:
        table.add_row(f"{run[0].run} {run[0].state}", *_cells(_sum(run)), f"{_took(run):,.0f} s", _outcome(run))
    return _text(table)


def _sum(run: Sequence[Played]) -> Figures:
    return summed("", [figures for played in run for figures in played.figures if not figures.planted])


def _took(run: Sequence[Played]) -> float:
    return max(played.ended for played in run) - min(played.began for played in run)


def _outcome(run: Sequence[Played]) -> str:
    counts = {name: sum(played.outcome == name for played in run) for name in ("passed", "failed", "skipped")}
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def _cells(figures: Figures) -> list[str]:
    numbers = (figures.sent, figures.acknowledged, figures.faults, figures.retried)
    violations = f"{figures.violations:,}{' (planted)' if figures.planted else ''}"
    return [*(f"{number:,}" for number in numbers), f"{figures.converged:.2f} s", violations]


def _table(first: str) -> Table:
    table = Table(box=box.SIMPLE)
    table.add_column(first)
    for column in ("sent", "acknowledged", "faults", "to be retried", "converged", "violations", "took"):
        table.add_column(column, justify="right")
    table.add_column("tests")
    return table


def _text(table: Table) -> str:
    console = Console(width=180, color_system=None)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())
