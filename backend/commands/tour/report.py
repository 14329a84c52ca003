"""What the tour says while it goes on, and what it found."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape


class TourFailed(Exception):
    """Something the tour checked did not hold."""


@dataclass
class Step:
    """One step: what was done, how long it took, what was seen."""

    name: str
    ms: float = 0.0
    ok: bool = False
    facts: list[str] = field(default_factory=list)

    def saw(self, fact: str) -> None:
        """Something worth telling."""
        self.facts.append(fact)


def check(condition: object, complaint: str) -> None:
    """Raises `TourFailed` with `complaint` unless `condition` holds."""
    if not condition:
        raise TourFailed(complaint)


@dataclass
class Report:
    """All steps so far. Prints each one when it is done, unless `quiet`."""

    quiet: bool = False
    steps: list[Step] = field(default_factory=list)
    failure: str | None = None

    @asynccontextmanager
    async def step(self, name: str) -> AsyncIterator[Step]:
        """One step of the tour; a failure inside is noted and raised on."""
        step = Step(name)
        self.steps.append(step)
        started = time.perf_counter()
        try:
            yield step
            step.ok = True
        finally:
            step.ms = round((time.perf_counter() - started) * 1000, 1)
            self._print(step)

    def add(self, step: Step) -> None:
        """A step that is done."""
        self.steps.append(step)
        self._print(step)

    def _print(self, step: Step) -> None:
        if self.quiet:
            return
        console = Console(highlight=False)
        mark = "[green]✓[/green]" if step.ok else "[red]✗[/red]"
        console.print(f"{mark} {len(self.steps):2d}. {escape(step.name)}  [dim]{step.ms:.0f} ms[/dim]", soft_wrap=True)
        for fact in step.facts:
            console.print(f"       [dim]{escape(fact)}[/dim]", soft_wrap=True)

    def as_json(self) -> dict[str, object]:
        """The whole tour for programs."""
        return {
            "ok": self.failure is None and bool(self.steps) and all(step.ok for step in self.steps),
            "failure": self.failure,
            "total_ms": round(sum(step.ms for step in self.steps), 1),
            "steps": [{"name": step.name, "ok": step.ok, "ms": step.ms, "facts": step.facts} for step in self.steps],
        }
