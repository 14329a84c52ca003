"""Text to features: normal form, segmenter words, character grams, pinyin.

A feature is a short string whose first character is its kind:
`1` a Chinese character, `2` two neighbouring characters, `w` a word (of the segmenter, or a run of
Latin letters and digits), `p` two neighbouring pinyin syllables.

The dictionaries of the segmenter and of pinyin are loaded by who searches, not by every process that has the
catalogue's service: they take 0.3 s and 75 MB.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

_RUN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]+|[a-z0-9]+")
_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")


def load() -> None:
    """Load the dictionaries now, so that no search waits for them."""
    sound_of("办事")


def normalise(text: str) -> str:
    """Full-width to half-width, lower case, apostrophes of pinyin (xi'an) dropped."""
    return unicodedata.normalize("NFKC", text).lower().replace("'", "").replace("’", "")


def is_han(character: str) -> bool:
    """Whether `character` is a Chinese character."""
    return _HAN.match(character) is not None


def runs(text: str) -> list[str]:
    """Maximal runs of Chinese characters, or of Latin letters and digits, of the normal form."""
    return _RUN.findall(normalise(text))


@lru_cache(maxsize=20_000)
def text_features(text: str) -> frozenset[str]:
    """Characters, character pairs and words of `text`."""
    import rjieba

    features: set[str] = set()
    for run in runs(text):
        if not is_han(run[0]):
            features.add("w" + run)
            continue
        features.update("1" + character for character in run)
        features.update("2" + run[i : i + 2] for i in range(len(run) - 1))
        features.update("w" + word for word in rjieba.cut_for_search(run) if len(word) > 1)
    return frozenset(features)


@lru_cache(maxsize=20_000)
def word_features(text: str) -> frozenset[str]:
    """Words of `text` alone: enough for long texts, whose single characters would match anything."""
    import rjieba

    return frozenset(
        "w" + word
        for run in runs(text)
        for word in (rjieba.cut_for_search(run) if is_han(run[0]) else [run])
        if len(word) > 1
    )


@dataclass(frozen=True, slots=True)
class Sound:
    """A name as it sounds. `units` are its characters (a Latin run is one unit), `syllables` their
    pinyin without tones, `initials` one letter for each, `starts` where the segmenter begins a word
    (the end of the name counts as one)."""

    units: tuple[str, ...]
    syllables: tuple[str, ...]
    initials: str
    starts: frozenset[int]


@lru_cache(maxsize=20_000)
def sound_of(name: str) -> Sound:
    """How `name` is pronounced. Readings follow the phrase (银行 yin hang, 行政 xing zheng)."""
    import rjieba

    units: list[str] = []
    syllables: list[str] = []
    starts: set[int] = set()
    for run in runs(name):
        if not is_han(run[0]):
            starts.add(len(units))
            units.append(run)
            syllables.append(run)
            continue
        for word in rjieba.cut(run):
            starts.add(len(units))
            units.extend(word)
            syllables.extend(_pinyin(word))
    starts.add(len(units))
    return Sound(tuple(units), tuple(syllables), "".join(s[0] for s in syllables), frozenset(starts))


def sound_features(sound: Sound) -> frozenset[str]:
    """Pairs of neighbouring syllables."""
    return frozenset(f"p{a} {b}" for a, b in zip(sound.syllables, sound.syllables[1:], strict=False))


def _pinyin(word: str) -> list[str]:
    """One syllable for each character; a character without a known reading stands for itself."""
    from pypinyin import Style, lazy_pinyin

    found = lazy_pinyin(word, style=Style.NORMAL, errors=list)  # type: ignore[arg-type]  # its stubs say str
    return found if len(found) == len(word) else list(word)
