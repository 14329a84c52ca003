"""An immutable inverted index over the catalogue.

Ranking, in two stages. First BM25 over the features of all fields; a feature that several fields share
counts once with the best field's weight, plus a part of the others (`TIE_BREAKER`): a matter does not
win by repeating itself. Then the best candidates are compared name by name: the cosine between the
query and the closest single name of the matter (its own, short, everyday, parent). Queries with Latin
letters are also laid on the names as they sound (`phonetic`).

An index is never changed: `with_changes` returns another one that shares what it can, and the holder
swaps the reference.
"""

from __future__ import annotations

import math
from array import array
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from heapq import nlargest

from backend.services.search import analysis, phonetic
from backend.services.search.analysis import Sound
from backend.services.search.entries import SearchEntry, SearchFilters
from backend.services.search.synonyms import synonyms_in

K1 = 1.2
LENGTH_NORM = 0.3  # names differ in length for reasons that say little
TIE_BREAKER = 0.5
SYNONYM_WEIGHT = 0.4
NAME_CLOSENESS = 1.0
PARENT_CLOSENESS = 0.8
FILEABLE_BONUS = 0.05  # of two equals, the one that can be applied for
PHONETIC_WEIGHT = 2.0
CANDIDATES = 100
FLOOR = 0.25  # hits below this part of the best score are noise
MAX_QUERY = 64

_FIELD_WEIGHTS = {"name": 1.0, "parent": 0.5, "department": 0.3, "theme": 0.2, "text": 0.1, "long": 0.05}

_Postings = tuple["array[int]", "array[float]"]


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A matter that answers the query. Scores compare within one search only."""

    entry: SearchEntry
    score: float


@dataclass(frozen=True, slots=True)
class SearchPage:
    """A page of hits; `total` counts all that are worth showing (at most `CANDIDATES`)."""

    hits: tuple[SearchHit, ...]
    total: int


@dataclass(frozen=True, slots=True)
class _Name:
    features: frozenset[str]
    sound: Sound
    weight: float


@dataclass(frozen=True, slots=True)
class _Document:
    entry: SearchEntry
    names: tuple[_Name, ...]
    weights: dict[str, float]  # feature → field-weighted frequency
    length: float

    @classmethod
    def of(cls, entry: SearchEntry) -> _Document:
        own = [entry.name, *((entry.short_name,) if entry.short_name else ()), *entry.everyday_names]
        names = [_Name(analysis.text_features(t), analysis.sound_of(t), 1.0) for t in own]
        fields = [("name", text, name.features) for text, name in zip(own, names, strict=True)]
        if entry.parent_name and entry.parent_name != entry.name:
            parent = analysis.text_features(entry.parent_name)
            names.append(_Name(parent, analysis.sound_of(entry.parent_name), PARENT_CLOSENESS))
            fields.append(("parent", entry.parent_name, parent))
        fields.append(("department", entry.department, analysis.text_features(entry.department)))
        fields.extend(("theme", theme, analysis.text_features(theme)) for theme in entry.themes)
        fields.extend(("text", text, analysis.word_features(text)) for text in entry.materials)
        fields.extend(("long", text, analysis.word_features(text)) for text in (entry.summary, *entry.conditions))
        highest: dict[str, float] = {}
        total: dict[str, float] = {}
        length = 0.0
        for field, text, features in fields:
            weight = _FIELD_WEIGHTS[field]
            length += weight * len(text)
            for feature in features:
                total[feature] = total.get(feature, 0.0) + weight
                highest[feature] = max(highest.get(feature, 0.0), weight)
        weights = {f: highest[f] + TIE_BREAKER * (total[f] - highest[f]) for f in total}
        for name in names:
            weights.update(dict.fromkeys(analysis.sound_features(name.sound), name.weight))
        return cls(entry, tuple(names), weights, length)


class SearchIndex:
    """An index over entries. Build it off the event loop (`build` of 2,300 matters takes a second);
    a search takes about a millisecond."""

    def __init__(
        self,
        documents: list[_Document | None],
        postings: dict[str, _Postings],
        by_initials: dict[str, frozenset[int]],
        average_length: float,
    ) -> None:
        self._documents = documents
        self._postings = postings
        self._by_initials = by_initials
        self._average_length = average_length
        self._slots = {d.entry.id: slot for slot, d in enumerate(documents) if d is not None}
        self._syllables_cache: frozenset[str] | None = None
        self._idf_cache: dict[str, float] = {}
        self._norm_cache: dict[frozenset[str], float] = {}

    @classmethod
    def build(cls, entries: Iterable[SearchEntry]) -> SearchIndex:
        """A new index. Entries keep their order among equals."""
        documents: list[_Document | None] = [_Document.of(entry) for entry in entries]
        lengths = [d.length for d in documents if d is not None]
        average = sum(lengths) / len(lengths) if lengths else 1.0
        return cls([], {}, {}, average)._extended(documents)

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, entry_id: object) -> bool:
        return entry_id in self._slots

    def with_changes(self, changed: Iterable[SearchEntry], removed: Collection[str] = ()) -> SearchIndex:
        """Another index with `changed` entries added or replaced and the `removed` ids gone."""
        fresh = {entry.id: entry for entry in changed}
        gone = {self._slots[i] for i in {*fresh, *removed} if i in self._slots}
        if not gone and not fresh:
            return self
        reduced = self._without(gone) if gone else self
        return reduced._extended([_Document.of(entry) for entry in fresh.values()])

    def _without(self, slots: set[int]) -> SearchIndex:
        documents = list(self._documents)
        postings = dict(self._postings)
        by_initials = dict(self._by_initials)
        affected: set[str] = set()
        pairs: set[str] = set()
        for slot in slots:
            if (document := documents[slot]) is not None:
                affected.update(document.weights)
                pairs.update(*(phonetic.initial_pairs(n.sound.initials) for n in document.names))
            documents[slot] = None
        for feature in affected:
            where, weights = postings[feature]
            kept = [(s, w) for s, w in zip(where, weights, strict=True) if s not in slots]
            if kept:
                postings[feature] = (array("I", [s for s, _ in kept]), array("f", [w for _, w in kept]))
            else:
                del postings[feature]
        for pair in pairs:
            by_initials[pair] = by_initials[pair] - slots
        return SearchIndex(documents, postings, by_initials, self._average_length)

    def _extended(self, fresh: list[_Document | None]) -> SearchIndex:
        documents = [*self._documents, *fresh]
        added: defaultdict[str, tuple[list[int], list[float]]] = defaultdict(lambda: ([], []))
        pairs: defaultdict[str, set[int]] = defaultdict(set)
        for slot, document in enumerate(fresh, start=len(self._documents)):
            if document is None:
                continue
            norm = K1 * (1 - LENGTH_NORM + LENGTH_NORM * document.length / self._average_length)
            for feature, weight in document.weights.items():
                where, weights = added[feature]
                where.append(slot)
                weights.append(weight * (K1 + 1) / (weight + norm))
            for name in document.names:
                for pair in phonetic.initial_pairs(name.sound.initials):
                    pairs[pair].add(slot)
        postings = dict(self._postings)
        for feature, (where, weights) in added.items():
            old = postings.get(feature)
            postings[feature] = (
                (old[0] + array("I", where), old[1] + array("f", weights))
                if old
                else (array("I", where), array("f", weights))
            )
        by_initials = dict(self._by_initials)
        for pair, slots in pairs.items():
            by_initials[pair] = by_initials.get(pair, frozenset()) | slots
        return SearchIndex(documents, postings, by_initials, self._average_length)

    def search(
        self, query: str, *, limit: int = 20, offset: int = 0, filters: SearchFilters | None = None
    ) -> SearchPage:
        """The best matters for `query`, best first. An empty or unreadable query finds nothing."""
        text = analysis.normalise(query.strip())[:MAX_QUERY]
        own = self._weighted(analysis.text_features(text))
        sounding, sound_pairs = self._sounding(text)
        wanted = dict(own)
        for word in synonyms_in(text):
            for feature, weight in self._weighted(analysis.text_features(word)).items():
                if feature[0] != "1":
                    wanted.setdefault(feature, SYNONYM_WEIGHT * weight)
        for feature, weight in self._weighted(sound_pairs).items():
            wanted.setdefault(feature, weight)
        scores = self._first_stage(wanted)
        mass = sum(own.values()) + sum(self._idf(f) for f in sound_pairs) or 1.0
        for slot in sounding:
            scores.setdefault(slot, 0.0)
        if filters is not None and filters != SearchFilters():
            scores = {s: v for s, v in scores.items() if filters.allow(self._document(s).entry)}
        rough = {slot: value / mass for slot, value in scores.items()}
        for slot in sounding.keys() & rough.keys():
            rough[slot] += PHONETIC_WEIGHT * sounding[slot]
        candidates = nlargest(CANDIDATES, zip(rough.values(), (-slot for slot in rough), strict=True))
        ranked = sorted((-(v + self._closeness(wanted, mass, -minus)), -minus) for v, minus in candidates)
        worth = [(slot, -negative) for negative, slot in ranked if negative <= FLOOR * ranked[0][0]]
        page = worth[offset : offset + limit]
        return SearchPage(
            tuple(SearchHit(self._document(slot).entry, round(score, 4)) for slot, score in page), len(worth)
        )

    def _first_stage(self, wanted: Mapping[str, float]) -> dict[int, float]:
        scores: defaultdict[int, float] = defaultdict(float)
        for feature, weight in wanted.items():
            if posting := self._postings.get(feature):
                for slot, value in zip(*posting, strict=True):
                    scores[slot] += weight * value
        return scores

    def _closeness(self, wanted: Mapping[str, float], mass: float, slot: int) -> float:
        """Cosine-like nearness of the query to the closest single name, and the bonus of the fileable."""
        document = self._document(slot)
        best = 0.0
        for name in document.names:
            if shared := wanted.keys() & name.features:
                weight = sum([wanted[feature] for feature in shared])
                best = max(best, name.weight * weight / math.sqrt(mass * self._norm(name.features)))
        return NAME_CLOSENESS * best + (FILEABLE_BONUS if document.entry.fileable else 0.0)

    def _sounding(self, text: str) -> tuple[dict[int, float], frozenset[str]]:
        """Matters whose names sound like the parts of `text` that have Latin letters, with how well;
        and the syllable pairs of the likeliest reading, for names that have them in another order."""
        scores: defaultdict[int, float] = defaultdict(float)
        pairs: set[str] = set()
        parts = ["".join(analysis.runs(word)) for word in text.split()]
        if len(parts) > 1:
            parts.append("".join(parts))  # "ju zhu zheng": syllables, or words, with spaces between them
        for part in parts:
            if not any("a" <= c <= "z" for c in part):
                continue
            patterns = phonetic.readings(part, self._syllables())
            if patterns:
                pairs |= patterns[0].syllable_pairs
            found = self._laid(patterns)
            for slot, value in found.items():
                scores[slot] += value
        return dict(scores), frozenset(pairs)

    def _laid(self, patterns: list[phonetic.Pattern]) -> dict[int, float]:
        found: dict[int, float] = {}
        for pattern in patterns:
            self._lay(pattern, 1.0, found)
        if found or not patterns:
            return found
        for shorter in patterns[0].shortened():
            self._lay(shorter, (len(shorter.units) / len(patterns[0].units)) ** 2, found)
            if found:
                break
        return found

    def _lay(self, pattern: phonetic.Pattern, factor: float, found: dict[int, float]) -> None:
        sets = [self._by_initials.get(p, frozenset()) for p in phonetic.initial_pairs(pattern.initials)]
        if not sets:
            return
        for slot in frozenset.intersection(*sorted(sets, key=len)):
            for name in self._document(slot).names:
                value = factor * name.weight * phonetic.fit(pattern, name.sound)
                if value > found.get(slot, 0.0):
                    found[slot] = value

    def _syllables(self) -> frozenset[str]:
        """The syllables of the catalogue; found at the first query that needs them."""
        if self._syllables_cache is None:
            self._syllables_cache = frozenset(
                syllable for feature in self._postings if feature[0] == "p" for syllable in feature[1:].split(" ")
            )
        return self._syllables_cache

    def _document(self, slot: int) -> _Document:
        document = self._documents[slot]
        assert document is not None  # postings never name a removed slot
        return document

    def _weighted(self, features: Iterable[str]) -> dict[str, float]:
        return {feature: self._idf(feature) for feature in features}

    def _idf(self, feature: str) -> float:
        value = self._idf_cache.get(feature)
        if value is None:
            posting = self._postings.get(feature)
            seen = len(posting[0]) if posting else 0
            value = math.log(1 + (len(self._slots) - seen + 0.5) / (seen + 0.5))
            if posting:
                self._idf_cache[feature] = value
        return value

    def _norm(self, features: frozenset[str]) -> float:
        value = self._norm_cache.get(features)
        if value is None:
            value = self._norm_cache[features] = sum(self._idf(feature) for feature in features)
        return value
