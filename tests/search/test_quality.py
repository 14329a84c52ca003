"""The promise on the real catalogue: hit@1 and hit@5 with the queried alias taken away."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from backend.services.search import SearchIndex
from tests.bench.search_evaluation import (
    THRESHOLDS,
    carriers,
    evaluate_index,
    evaluate_peer,
    load_entries,
    load_queries,
    without,
)


@pytest.fixture
def folder(shared_data: Path) -> Path:
    return shared_data / "guangdong_items"


def test_the_evaluation_takes_the_alias_away_wherever_it_stands(folder: Path) -> None:
    entries = load_entries(folder)
    by_alias = carriers(entries)
    for query in load_queries(folder):
        holders = by_alias[query.text.strip()]
        assert {entry.id for entry in holders} == query.relevant
        assert not carriers([without(entry, query.text) for entry in holders]).get(query.text.strip())


def test_hits_are_as_promised_and_above_character_tf_idf(folder: Path) -> None:
    entries, queries = load_entries(folder), load_queries(folder)
    ours, peer = evaluate_index(entries, queries), evaluate_peer(entries, queries)
    assert {cut: ours.hits[cut] >= least for cut, least in THRESHOLDS.items()} == dict.fromkeys(THRESHOLDS, True)
    assert {cut: ours.hits[cut] > peer.hits[cut] for cut in THRESHOLDS} == dict.fromkeys(THRESHOLDS, True)


def test_the_whole_catalogue_is_indexed_quickly(folder: Path) -> None:
    entries = load_entries(folder)
    started = time.process_time()
    assert len(SearchIndex.build(entries)) == 2262
    assert time.process_time() - started < 4  # a second on an idle machine
