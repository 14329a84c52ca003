"""Queries typed as they sound: pinyin (juzhuzheng), initials (jzz), and either mixed with characters
(居住zheng, jz证). A query is read as a pattern of units, and the pattern is laid on the names.

All units have an initial letter, so a pattern is found through the initials of the names and then
checked unit by unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from heapq import nsmallest

from backend.services.search.analysis import Sound, is_han, sound_of

#: Readings of one query that are tried: the likeliest first.
MAX_READINGS = 8
#: Letters of a query that are read at all.
MAX_LETTERS = 48
_LETTER_COST = 1.6  # a lone letter is a likelier mistake than a whole syllable
_LONGEST_SYLLABLE = 6  # zhuang


@dataclass(frozen=True, slots=True)
class Unit:
    """One position of a pattern: a character, a whole syllable, or the beginning of a syllable."""

    kind: str  # "han", "syllable" or "letters"
    text: str
    initial: str


@dataclass(frozen=True, slots=True)
class Pattern:
    """A reading of a query."""

    units: tuple[Unit, ...]
    cost: float

    @property
    def initials(self) -> str:
        """One letter for each unit."""
        return "".join(unit.initial for unit in self.units)

    @property
    def syllable_pairs(self) -> frozenset[str]:
        """Neighbouring whole syllables as features of `analysis.sound_features`."""
        return frozenset(
            f"p{a.text} {b.text}"
            for a, b in zip(self.units, self.units[1:], strict=False)
            if a.kind == b.kind == "syllable"
        )

    def shortened(self) -> Iterator[Pattern]:
        """The pattern without its last units, down to two: people add words that the name lacks."""
        for length in range(len(self.units) - 1, 1, -1):
            yield Pattern(self.units[:length], self.cost)


def readings(text: str, syllables: Set[str]) -> list[Pattern]:
    """The likeliest readings of `text`, a run without spaces and with at least one Latin letter.

    `syllables` are those that occur in the catalogue: no other could match.
    """
    text = text[:MAX_LETTERS]
    best: list[list[tuple[float, tuple[Unit, ...]]]] = [[] for _ in range(len(text) + 1)]
    best[0] = [(0.0, ())]
    for end in range(1, len(text) + 1):
        found: list[tuple[float, tuple[Unit, ...]]] = []
        for start in range(max(0, end - _LONGEST_SYLLABLE), end):
            if best[start] and (step := _unit(text[start:end], syllables, last=end == len(text))):
                unit, cost = step
                found.extend((before + cost, (*units, unit)) for before, units in best[start])
        best[end] = nsmallest(MAX_READINGS, found, key=lambda pair: pair[0])
    return [Pattern(units, cost) for cost, units in best[-1]]


def _unit(piece: str, syllables: Set[str], *, last: bool) -> tuple[Unit, float] | None:
    if is_han(piece[0]):
        if len(piece) > 1:
            return None
        return Unit("han", piece, sound_of(piece).initials or piece), 0.5
    if len(piece) > 1 and piece in syllables:  # a lone a, e, o is more often an initial
        return Unit("syllable", piece, piece[0]), 1.0
    if len(piece) == 1 or piece in {"zh", "ch", "sh"}:
        return Unit("letters", piece, piece[0]), _LETTER_COST
    if last and any(syllable.startswith(piece) for syllable in syllables):
        return Unit("letters", piece, piece[0]), _LETTER_COST
    return None


def fit(pattern: Pattern, sound: Sound) -> float:
    """How well `pattern` lies on a name: 0 (not at all) to 1 (it is the whole name, fully spelt)."""
    size = len(pattern.units)
    best = 0.0
    at = sound.initials.find(pattern.initials)
    while at >= 0:
        if (exactness := _exactness(pattern, sound, at)) > 0:
            aligned = (at in sound.starts) + (at + size in sound.starts)
            best = max(best, exactness * (0.45 + 0.125 * aligned + 0.3 * size / len(sound.units)))
        at = sound.initials.find(pattern.initials, at + 1)
    return best


def _exactness(pattern: Pattern, sound: Sound, at: int) -> float:
    total = 0.0
    for offset, unit in enumerate(pattern.units):
        if unit.kind == "han":
            if sound.units[at + offset] != unit.text:
                return 0.0
            total += 1.0
        elif unit.kind == "syllable":
            if sound.syllables[at + offset] == unit.text:
                total += 1.0
            elif offset == len(pattern.units) - 1 and sound.syllables[at + offset].startswith(unit.text):
                total += 0.8
            else:
                return 0.0
        elif not sound.syllables[at + offset].startswith(unit.text):
            return 0.0
        else:
            total += 0.7
    return total / len(pattern.units)


def initial_pairs(initials: Iterable[str] | str) -> set[str]:
    """Neighbouring initials: the keys under which names are found."""
    letters = "".join(initials)
    return {letters[i : i + 2] for i in range(len(letters) - 1)}
