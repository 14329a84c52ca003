"""The rules and the table that operators are given name what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from backend.commands import chat_figures
from tests.figures import Figures, scrape

DOCS = Path(__file__).parents[2] / "docs"
#: Labels that Prometheus adds.
_OUTSIDE = {"instance", "job"}


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load((DOCS / "alerts.yml").read_text(encoding="utf-8"))
    assert set(document) == {"groups"}
    return [rule for group in document["groups"] for rule in group["rules"]]


async def test_every_alert_stands_on_metrics_and_labels_that_exist(http: aiohttp.ClientSession) -> None:
    found = await scrape(http)
    for rule in rules():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}, rule
        assert re.fullmatch(r"Banshi\w+", rule["alert"])
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert set(rule["annotations"]) == {"summary", "action"}
        expression = rule["expr"]
        assert expression.count("(") == expression.count(")")
        names = re.findall(r"\b((?:banshi|process)_\w+)(?:\{(.*?)\})?", expression)
        assert names
        for name, matchers in names:
            assert name in found.names, f"{rule['alert']}: there is no {name}"
            there = found.labels(name)
            wanted = set(re.findall(r"(\w+)!?=~?\"", matchers))
            if there:  # some have no sample before the first event
                assert wanted <= there | _OUTSIDE, f"{rule['alert']}: {name} has {there}"
        written = " ".join(rule["annotations"].values())
        assert "process" not in re.findall(r"\$labels\.(\w+)", written) or "by (instance, le)" not in expression


async def test_the_table_of_metrics_is_that_of_a_scrape(http: aiohttp.ClientSession) -> None:
    found = await scrape(http)
    text = (DOCS / "operations.md").read_text(encoding="utf-8")
    section = text.partition("### What to watch")[2].partition("\n## ")[0]
    told = set(re.findall(r"`((?:banshi|process)_\w+)", section))
    there = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in found.families.values()
        if family.name.startswith("banshi_")
    }
    assert there - told == set(), "not told of"
    assert {name for name in told if name.startswith("banshi_")} - there == set(), "not there"


async def test_every_help_text_says_something(http: aiohttp.ClientSession) -> None:
    found: Figures = await scrape(http)
    for family in found.families.values():
        assert len(family.documentation) > 20, family.name


async def test_doctor_tells_the_chat_in_one_line(http: aiohttp.ClientSession) -> None:
    verdict, words = await chat_figures.look(http, "")
    assert verdict in ("ok", "warning")  # a busy machine may be late
    assert re.match(r"0 sockets, 0 events/s, 0 operations/s, 0 waiting, loop lag p99 ≤ \d+ ms", words), words
