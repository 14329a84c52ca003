"""Reading `/metrics` as Prometheus would."""

from __future__ import annotations

from dataclasses import dataclass

import aiohttp
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families


@dataclass
class Figures:
    """One scrape."""

    families: dict[str, Metric]

    @classmethod
    def parse(cls, text: str) -> Figures:
        families = list(text_string_to_metric_families(text))
        found = {family.name: family for family in families}
        assert len(found) == len(families), "a family is there twice"
        return cls(found)

    def __call__(self, name: str, **labels: str) -> float:
        """The sum of the samples of this name that have these labels."""
        return sum(
            sample.value
            for family in self.families.values()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    @property
    def names(self) -> set[str]:
        """Every name a rule may use, also of families without a sample as yet."""
        found = {sample.name for family in self.families.values() for sample in family.samples}
        for family in self.families.values():
            suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
            found |= {family.name + suffix for suffix in suffixes}
        return found

    def labels(self, name: str) -> set[str]:
        """The labels of all samples of a name."""
        return {
            label
            for family in self.families.values()
            for sample in family.samples
            if sample.name == name
            for label in sample.labels
        }


async def scrape(http: aiohttp.ClientSession, url: str = "") -> Figures:
    async with http.get(f"{url}/metrics") as response:
        assert response.status == 200
        return Figures.parse(await response.text())
