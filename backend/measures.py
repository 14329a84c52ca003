"""Measuring where things happen: plain numbers, which whoever asks for metrics reads.

An increment here costs some fifty nanoseconds; a labelled counter of prometheus-client costs a microsecond
and takes a lock. Nothing here may be used from two threads.
"""

from __future__ import annotations

import asyncio
import gc
import time
from bisect import bisect_left
from collections.abc import Sequence
from typing import Literal

Tally = dict[str, int]
"""How often by the value of a label. Only values of a bounded set may become keys."""


def count(tally: Tally, label: str, by: int = 1) -> None:
    tally[label] = tally.get(label, 0) + by


class Histogram:
    """How many values were at most each bound, how many above all of them, and their sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds` ascend."""
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def total(self) -> int:
        return sum(self.counts)


class LoopLag:
    """How late the event loop comes to what is due: whatever holds it up holds up everybody."""

    INTERVAL = 0.1

    def __init__(self) -> None:
        self.seconds = Histogram((0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5))
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._due = time.monotonic() + self.INTERVAL
        self._timer = asyncio.get_running_loop().call_later(self.INTERVAL, self._tick)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self.seconds.add(max(0.0, time.monotonic() - self._due))
        self.start()


class Collections:
    """Pauses of the garbage collector, during which the whole process stands still."""

    def __init__(self) -> None:
        self.seconds = {generation: Histogram((0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)) for generation in range(3)}
        self._began = 0.0

    def start(self) -> None:
        gc.callbacks.append(self._hear)

    def stop(self) -> None:
        gc.callbacks.remove(self._hear)

    def _hear(self, phase: Literal["start", "stop"], info: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self.seconds[info["generation"]].add(time.perf_counter() - self._began)
