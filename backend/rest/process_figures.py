"""What every process says of itself: its loop, its garbage collector, its memory and its version."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import ProcessCollector
from prometheus_client.core import Metric

from backend.measures import Collections, LoopLag
from backend.rest.exposition import Exposition, gauge, histogram
from backend.version import VERSION


class ProcessFigures:
    def __init__(self) -> None:
        self.lag = LoopLag()
        self.collections = Collections()
        self._process = ProcessCollector(registry=None)

    @contextmanager
    def running(self, exposition: Exposition) -> Iterator[None]:
        """Measure within the context, in the loop that runs."""
        exposition.add(self.metrics)
        self.lag.start()
        self.collections.start()
        try:
            yield
        finally:
            self.collections.stop()
            self.lag.stop()

    def metrics(self) -> Iterable[Metric]:
        yield histogram(
            "banshi_loop_lag_seconds",
            "How late the event loop came to a timer that is due ten times a second. Above 0.1 s all clients of the"
            " process wait: more processes if its CPU is full, else look for what blocks.",
            self.lag.seconds,
        )
        yield histogram(
            "banshi_gc_pause_seconds",
            "Pauses of the garbage collector by generation. Generation 2 above 0.05 s: the process holds too much;"
            " compare process_resident_memory_bytes.",
            {(str(generation),): seconds for generation, seconds in self.collections.seconds.items()},
            ["generation"],
        )
        yield gauge("banshi_build_info", "The version that runs; always 1.", {(VERSION,): 1.0}, ["version"])
        yield from self._process.collect()
