"""What clients of a drill did and saw, in the order in which it happened to them.

A history is written while faults are injected and judged afterwards (`checker.py`), against the log as it
stands in MongoDB. It knows nothing of the product: everything in it came over the wire.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from tests.drills.results import Figures

Kind = Literal[
    "sent", "acked", "retry", "refused", "conflict", "shown", "receipt", "watermark", "reset", "fault", "late"
]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to one client. `at` is monotonic seconds."""

    at: float
    who: str
    kind: Kind
    conv: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """One operation as MongoDB holds it."""

    seq: int
    id: str
    cid: str
    sender: str
    kind: str
    at: datetime
    text: str | None = None
    staff_only: bool = False


@dataclass
class History:
    """Everything recorded in one drill."""

    events: list[Event] = field(default_factory=list)
    audiences: dict[str, str] = field(default_factory=dict)
    """Of each client: "citizen" or "staff"."""
    convergences: list[tuple[float, str]] = field(default_factory=list)
    """Seconds from each healing until every client had everything, and who was the last and at what."""

    def note(self, who: str, kind: Kind, conv: str = "", **data: Any) -> None:
        self.events.append(Event(time.monotonic(), who, kind, conv, data))

    def of(self, *kinds: Kind) -> Iterator[Event]:
        return (event for event in self.events if event.kind in kinds)

    def count(self, kind: Kind) -> int:
        return sum(1 for _ in self.of(kind))

    def figures(self, drill: str, violations: int, *, planted: bool = False) -> Figures:
        """What a drill of this name has to tell."""
        converged, last = max(self.convergences, default=(0.0, ""))
        return Figures(
            drill,
            sent=len({event.data["cid"] for event in self.of("sent")}),
            acknowledged=len({event.data["cid"] for event in self.of("acked")}),
            faults=self.count("fault"),
            retried=self.count("retry"),
            converged=round(converged, 2),
            last=last,
            violations=violations,
            planted=planted,
        )

    def summary(self) -> str:
        """One line: messages, acknowledgements, faults, convergence."""
        found = self.figures("", 0)
        return (
            f"{found.sent} sent, {found.acknowledged} acknowledged, {self.count('refused')} refused, "
            f"{found.retried} to be retried, {self.count('shown')} shown, {self.count('receipt')} receipts, "
            f"{found.faults} faults, converged within {found.converged:.2f} s"
        )
