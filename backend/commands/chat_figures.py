"""The few numbers of `/metrics` that tell `doctor` most about the chat."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Mapping

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from backend.commands.findings import Verdict

#: Between the two looks that make a rate.
_SECONDS = 1.0
_LAG_SECONDS = 0.25
_SILENT_SECONDS = 15.0

Samples = dict[str, dict[str, float]]
"""By name, then by the bound of a bucket ("" where there is none): the sum over all else."""


async def look(http: aiohttp.ClientSession, url: str) -> tuple[Verdict, str]:
    """What goes on within a second; the lag is that since the start of the processes."""
    before, _, _ = await _scrape(http, url)
    await asyncio.sleep(_SECONDS)
    found, down, silent = await _scrape(http, url)

    def rate(name: str) -> float:
        return (found[name][""] - before[name][""]) / _SECONDS

    lag = _quantile(found["banshi_loop_lag_seconds_bucket"], 0.99)
    words = (
        f"{found['banshi_chat_sockets']['']:.0f} sockets, {rate('banshi_chat_events_total'):.0f} events/s, "
        f"{rate('banshi_chat_operations_committed_total'):.0f} operations/s, "
        f"{found['banshi_chat_commit_waiting_operations']['']:.0f} waiting, loop lag p99 ≤ {lag * 1000:.0f} ms, "
        f"hint lag p99 ≤ {_quantile(found['banshi_chat_hint_lag_seconds_bucket'], 0.99) * 1000:.0f} ms"
    )
    if down:
        return "failed", f"{', '.join(sorted(down))} does not answer; {words}"
    if silent > _SILENT_SECONDS:
        return "warning", f"no hints for {silent:.0f} s: Redis is away; {words}"
    return ("warning" if lag > _LAG_SECONDS else "ok"), words


async def _scrape(http: aiohttp.ClientSession, url: str) -> tuple[Samples, set[str], float]:
    """The samples, the processes that are down, and the longest silence of a hint bus in seconds."""
    async with http.get(f"{url}/metrics") as response:
        response.raise_for_status()
        text = await response.text()
    samples: Samples = defaultdict(lambda: defaultdict(float))
    down: set[str] = set()
    silent = 0.0
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples[sample.name][sample.labels.get("le", "")] += sample.value
            if sample.name == "banshi_process_up" and not sample.value:
                down.add(sample.labels["process"])
            elif sample.name == "banshi_chat_hint_bus_silent_seconds":
                silent = max(silent, sample.value)
    return samples, down, silent


def _quantile(buckets: Mapping[str, float], share: float) -> float:
    """The bound below which `share` of the values are; 0 without any."""
    ordered = sorted((math.inf if bound == "+Inf" else float(bound), number) for bound, number in buckets.items())
    if not ordered or not ordered[-1][1]:
        return 0.0
    return next(bound for bound, number in ordered if number >= share * ordered[-1][1])
