"""What a process tells Prometheus, put together when it is asked (ADR 0014).

Sources are read in the event loop, so that their numbers belong together. What several processes of one
machine say is merged under the label `process`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson
from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from backend.measures import Histogram

Source = Callable[[], Iterable[Metric]]
Labelled = Mapping[tuple[str, ...], float]


def counter(name: str, meaning: str, value: float | Labelled, labels: Sequence[str] = ()) -> Metric:
    """A counter; `name` without `_total`. `value` by the values of `labels`, where there are any."""
    family = CounterMetricFamily(name, meaning, labels=labels)
    for key, number in _by_labels(value).items():
        family.add_metric(key, number)
    return family


def gauge(name: str, meaning: str, value: float | Labelled, labels: Sequence[str] = ()) -> Metric:
    family = GaugeMetricFamily(name, meaning, labels=labels)
    for key, number in _by_labels(value).items():
        family.add_metric(key, number)
    return family


def histogram(
    name: str, meaning: str, value: Histogram | Mapping[tuple[str, ...], Histogram], labels: Sequence[str] = ()
) -> Metric:
    family = HistogramMetricFamily(name, meaning, labels=labels)
    for key, found in ({(): value} if isinstance(value, Histogram) else value).items():
        buckets, below = [], 0
        for bound, number in zip((*map(str, map(float, found.bounds)), "+Inf"), found.counts, strict=True):
            below += number
            buckets.append((bound, below))
        family.add_metric(key, buckets, sum_value=found.sum)
    return family


def _by_labels(value: float | Labelled) -> Labelled:
    return value if isinstance(value, Mapping) else {(): value}


class Exposition:
    """The sources of one process."""

    def __init__(self, process: str) -> None:
        self.process = process
        self._sources: list[Source] = []

    def add(self, source: Source) -> None:
        self._sources.append(source)

    def collect(self) -> list[Metric]:
        return [metric for source in self._sources for metric in source()]

    def packed(self) -> bytes:
        """For another process of this machine."""
        return orjson.dumps(
            [
                [m.name, m.documentation, m.type, [[s.name, s.labels, s.value] for s in m.samples]]
                for m in self.collect()
            ]
        )


EXPOSITION = web.AppKey("exposition", Exposition)


def unpacked(data: bytes) -> list[Metric]:
    """What another process said. Raises ValueError."""
    found = []
    for name, meaning, kind, samples in orjson.loads(data):
        metric = Metric(name, meaning, kind)
        for sample, labels, value in samples:
            metric.add_sample(sample, labels, value)
        found.append(metric)
    return found


def merged(of: Mapping[str, Sequence[Metric] | None]) -> bytes:
    """The text of several processes by their names; None for one that did not answer."""
    families: dict[str, Metric] = {}
    for process, metrics in of.items():
        for metric in metrics or ():
            family = families.get(metric.name)
            if family is None:
                family = families[metric.name] = Metric(metric.name, metric.documentation, metric.type)
            for sample in metric.samples:
                family.add_sample(sample.name, {"process": process, **sample.labels}, sample.value)
    up = gauge(
        "banshi_process_up",
        "1 for a process of this machine that answers, 0 for one that was killed or whose event loop stands still:"
        " its other figures are missing.",
        {(process,): float(metrics is not None) for process, metrics in of.items()},
        ["process"],
    )
    return generate_latest(_Families([up, *families.values()]))


class _Families:
    """What prometheus-client asks of a registry when it writes."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Any:
        return self._metrics
