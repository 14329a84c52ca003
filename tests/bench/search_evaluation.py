"""The search evaluation: real aliases as queries, each taken away from the matters that carry it.

Honest leave-one-out: for each query exactly the queried string is removed from the everyday names (and
from the short name, when equal) of every matter that carries it, before scoring, in every system compared.
Strings are compared as the import keeps them: trimmed.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from backend.domain.catalogue import MatterDraft
from backend.domain.matters import ProjectType
from backend.services.imports.mapping import load_mapping
from backend.services.imports.reading import read_matter
from backend.services.imports.rows import read_rows
from backend.services.search import SearchEntry, SearchIndex

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data" / "guangdong_items"
CUTS = (1, 5, 10)
#: What is promised: hit@1 and hit@5.
THRESHOLDS = {1: 0.74, 5: 0.92}


@dataclass(frozen=True)
class Query:
    """An everyday name that was taken away, and the matters (codes) that carried it."""

    text: str
    relevant: frozenset[str]


@dataclass(frozen=True)
class Outcome:
    """Share of queries with a relevant matter among the first k, and latencies in milliseconds."""

    hits: dict[int, float]
    latencies: list[float]

    def percentile(self, share: float) -> float:
        """The latency that `share` of the queries stay under."""
        return sorted(self.latencies)[int((len(self.latencies) - 1) * share)]


def load_entries(folder: Path = SHARED) -> list[SearchEntry]:
    """The catalogue as the product indexes it; ids are codes here."""
    mapping = load_mapping(ROOT / "config" / "mappings" / "guangdong.toml")
    rows = (read_matter(row, mapping) for row in read_rows(folder / "items.jsonl"))
    return [_entry(row.draft) for row in rows if row.draft is not None]


def _entry(draft: MatterDraft) -> SearchEntry:
    guide = draft.guide
    return SearchEntry(
        id=draft.code,
        name=guide.name,
        short_name=guide.short_name,
        everyday_names=guide.everyday_names,
        parent_name=guide.parent_name,
        department=draft.department_name,
        department_id=draft.department_id,
        summary=guide.summary,
        themes=guide.themes,
        materials=tuple(material.name for material in guide.materials),
        conditions=guide.conditions,
        audiences=frozenset(guide.audiences),
        task_type=guide.task_type,
        area_code=draft.area_code,
        fileable=guide.project_type is not ProjectType.INFORMATION,
    )


def load_queries(folder: Path = SHARED) -> list[Query]:
    """The evaluation queries."""
    with (folder / "alias_queries.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [Query(row["query"], frozenset(row["relevant"])) for row in rows]


def without(entry: SearchEntry, alias: str) -> SearchEntry:
    """`entry` as if it had never had the name `alias`."""
    alias = alias.strip()
    return replace(
        entry,
        short_name=None if entry.short_name == alias else entry.short_name,
        everyday_names=tuple(name for name in entry.everyday_names if name != alias),
    )


def carriers(entries: Sequence[SearchEntry]) -> dict[str, list[SearchEntry]]:
    """Alias → the matters that have it, as everyday or short name."""
    found: defaultdict[str, list[SearchEntry]] = defaultdict(list)
    for entry in entries:
        for alias in {*entry.everyday_names, entry.short_name} - {None}:
            found[str(alias)].append(entry)
    return found


def evaluate(queries: Iterable[Query], search: Callable[[Query], tuple[list[str], float]]) -> Outcome:
    """Run `search` (codes best first, seconds taken) over all queries."""
    ranks: list[list[bool]] = []
    latencies = []
    for query in queries:
        codes, seconds = search(query)
        latencies.append(seconds * 1000)
        ranks.append([any(code in query.relevant for code in codes[:cut]) for cut in CUTS])
    share = np.array(ranks).mean(axis=0)
    return Outcome({cut: float(share[i]) for i, cut in enumerate(CUTS)}, latencies)


def evaluate_index(entries: Sequence[SearchEntry], queries: Sequence[Query]) -> Outcome:
    """Our index: for each query the matters that carry it are indexed again without it."""
    index, by_alias = SearchIndex.build(entries), carriers(entries)

    def search(query: Query) -> tuple[list[str], float]:
        held_out = index.with_changes([without(e, query.text) for e in by_alias[query.text.strip()]])
        held_out.search("预热", limit=max(CUTS))
        started = time.perf_counter()
        page = held_out.search(query.text, limit=max(CUTS))
        return [hit.entry.id for hit in page.hits], time.perf_counter() - started

    return evaluate(queries, search)


def measure_latency(entries: Sequence[SearchEntry], queries: Sequence[Query], rounds: int = 3) -> list[float]:
    """Milliseconds per search on an index that is in use, as a server's is."""
    index = SearchIndex.build(entries)
    for query in queries:
        index.search(query.text)
    taken = []
    for _ in range(rounds):
        for query in queries:
            started = time.perf_counter()
            index.search(query.text)
            taken.append((time.perf_counter() - started) * 1000)
    return taken


class CharacterTfIdf:
    """The peer: cosine over TF-IDF of character 1- and 2-grams of all names."""

    def __init__(self, entries: Sequence[SearchEntry]) -> None:
        self._codes = [entry.id for entry in entries]
        self._slots = {code: slot for slot, code in enumerate(self._codes)}
        counts = [self._grams(self._names(entry)) for entry in entries]
        seen: Counter[str] = Counter()
        for count in counts:
            seen.update(count.keys())
        self._idf = {gram: math.log((1 + len(entries)) / (1 + n)) + 1 for gram, n in seen.items()}
        self._unseen = math.log(1 + len(entries)) + 1
        postings: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
        for slot, count in enumerate(counts):
            for gram, weight in self._vector(count).items():
                postings[gram].append((slot, weight))
        self._postings = {
            gram: (np.array([slot for slot, _ in found]), np.array([weight for _, weight in found]))
            for gram, found in postings.items()
        }

    @staticmethod
    def _names(entry: SearchEntry) -> list[str]:
        return [
            entry.name,
            *([entry.short_name] if entry.short_name else []),
            *entry.everyday_names,
            *([entry.parent_name] if entry.parent_name else []),
        ]

    @staticmethod
    def _grams(texts: Iterable[str]) -> Counter[str]:
        return Counter(t[i : i + n] for t in texts for n in (1, 2) for i in range(len(t) - n + 1))

    def _vector(self, count: Counter[str]) -> dict[str, float]:
        raw = {gram: n * self._idf.get(gram, self._unseen) for gram, n in count.items()}
        length = math.sqrt(sum(weight * weight for weight in raw.values())) or 1.0
        return {gram: weight / length for gram, weight in raw.items()}

    def search(self, text: str, held_out: Sequence[SearchEntry]) -> list[str]:
        """Codes, best first; `held_out` are entries as they are to be scored instead of the indexed ones."""
        query = self._vector(self._grams([text]))
        scores = np.zeros(len(self._codes))
        for gram, weight in query.items():
            if gram in self._postings:
                slots, weights = self._postings[gram]
                scores[slots] += weight * weights
        for entry in held_out:
            vector = self._vector(self._grams(self._names(entry)))
            scores[self._slots[entry.id]] = sum(w * vector.get(gram, 0.0) for gram, w in query.items())
        return [self._codes[slot] for slot in np.argsort(-scores, kind="stable")[: max(CUTS)]]


def evaluate_peer(entries: Sequence[SearchEntry], queries: Sequence[Query]) -> Outcome:
    """The peer under the same rule."""
    peer, by_alias = CharacterTfIdf(entries), carriers(entries)

    def search(query: Query) -> tuple[list[str], float]:
        held_out = [without(entry, query.text) for entry in by_alias[query.text.strip()]]
        started = time.perf_counter()
        codes = peer.search(query.text, held_out)
        return codes, time.perf_counter() - started

    return evaluate(queries, search)
