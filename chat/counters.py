"""What the socket side of this node did so far, counted where it happens and cheap enough for every message."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from backend.domain.consultation_operations import Operation
from backend.measures import Histogram, Tally, count

_EVENT_BOUNDS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
#: The label of events that no table of ours names: clients may call theirs anything.
UNKNOWN = "unknown"
#: Codes of kicks that are there from the start, so that their growth can be seen from nothing.
KICKS = ("too-slow", "resync", "silent", "restarting", "session-ended")


@dataclass(slots=True)
class Counters:
    """Grow only."""

    answered: dict[tuple[str, str], int] = field(default_factory=dict)
    """Events of clients by their name and `ok` or the code of the refusal."""
    answer_seconds: dict[str, Histogram] = field(default_factory=dict)
    committed: Tally = field(default_factory=dict)
    """Operations committed by this process, by kind."""
    opened: Tally = field(default_factory=lambda: {"admitted": 0})
    """Attempts to open a socket: `admitted`, or the code of the refusal."""
    closed: Tally = field(default_factory=dict)
    """Sockets that were admitted and ended, by the library's word for why."""
    kicked: Tally = field(default_factory=lambda: dict.fromkeys(KICKS, 0))
    """Sockets sent away by this node, by the code they were told."""
    pushed_local: int = 0
    """Operations pushed as they were committed here; counted once, however many sockets took them."""
    pushed_hinted: int = 0
    """Operations pushed as another node sent them."""
    pushed_read: int = 0
    """Operations pushed after the log was read."""
    pushed_swept: int = 0
    """Those of them that only the sweep found."""
    reads: int = 0
    """Times the log was read for a feed."""
    gaps: int = 0
    """Times something was missing before what arrived."""
    relistened: int = 0
    """Times all feeds were looked at again, since hints may have been lost."""
    restarts: int = 0
    """Feeds whose log turned out to be another one."""
    swept: int = 0
    """Feeds that only the sweep found to be behind: hints were lost."""
    overflows: int = 0
    """Sockets that were found full, so that nothing more was pushed until they took it."""
    given_up: int = 0
    """Sockets cut off since more waited for them than may."""
    hints_published: int = 0
    publish_rounds: int = 0
    """Round trips to Redis in which they left."""
    hints_dropped: int = 0
    """Hints that found no place in the queue."""
    hints_unsent: int = 0
    """Hints that were lost since Redis did not take them."""
    hints_received: int = 0
    hints_garbled: int = 0
    subscriptions_rebuilt: int = 0
    hint_lag: Histogram = field(
        default_factory=lambda: Histogram((0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5))
    )

    def lagged(self, seconds: float) -> None:
        """A hint took so long from its publisher to this node, by the clocks of both."""
        self.hint_lag.add(max(seconds, 0.0))

    def answer(self, event: str, answer: dict[str, Any], began: float) -> None:
        """An event of a bounded set of names was answered; `began` is of `time.perf_counter`."""
        key = (event, "ok" if answer["ok"] else answer["problem"]["code"])
        self.answered[key] = self.answered.get(key, 0) + 1
        seconds = self.answer_seconds.get(event)
        if seconds is None:
            seconds = self.answer_seconds[event] = Histogram(_EVENT_BOUNDS)
        seconds.add(time.perf_counter() - began)

    def overflow(self) -> None:
        self.given_up += 1

    def commit(self, operations: Iterable[Operation]) -> None:
        for operation in operations:
            count(self.committed, operation.payload.KIND)
