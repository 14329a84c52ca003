"""What delivery on this node did so far, counted where it happens and cheap enough for every message."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """Grow only, but for `lag_max`, which whoever reads it may set back."""

    pushed_local: int = 0
    """Operations pushed as they were committed here; counted once, however many sockets took them."""
    pushed_hinted: int = 0
    """Operations pushed as another node sent them."""
    pushed_read: int = 0
    """Operations pushed after the log was read."""
    reads: int = 0
    """Times the log was read for a feed."""
    resyncs: int = 0
    """Times something was missing before what arrived, or all feeds were looked at again."""
    swept: int = 0
    """Feeds that only the sweep found to be behind: hints were lost."""
    overflows: int = 0
    """Sockets that were found full."""
    kicks: int = 0
    """Sockets closed for staying full."""
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
    lag_count: int = 0
    lag_sum: float = 0.0
    lag_max: float = 0.0

    def lagged(self, seconds: float) -> None:
        """A hint took so long from its publisher to this node, by the clocks of both."""
        seconds = max(seconds, 0.0)
        self.lag_count += 1
        self.lag_sum += seconds
        if seconds > self.lag_max:
            self.lag_max = seconds
