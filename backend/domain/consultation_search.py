"""Searching in what was said: words, where they stand, and a snippet around them.

A word is found wherever it stands in a text, as a piece of it, whatever the case of Latin letters and the
width of letters, digits and punctuation: people type both. Several words must all be there, in a message or
in what its consultation is about.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from backend.domain.consultation_operations import Edit, Message, Note, Operation
from backend.domain.errors import InvalidInput

MAX_QUERY = 50  # characters
MAX_WORDS = 8
MAX_SNIPPET = 80  # characters of a snippet
_BEFORE = 20  # of these before the first hit
_FULL_WIDTH = {chr(code + 0xFEE0): chr(code) for code in range(0x21, 0x7F)}
_WIDE = {narrow: wide for wide, narrow in _FULL_WIDTH.items()}


@dataclass(frozen=True, slots=True)
class Word:
    """One word as it was typed, narrow and lower-case, with its pattern for texts and for their UTF-8 bytes."""

    text: str
    pattern: re.Pattern[str]
    raw: re.Pattern[bytes]


@dataclass(frozen=True, slots=True)
class Snippet:
    """A piece of a text on one line. `places` are (start, end) of the hits in it, in UTF-16 units, which is
    how clients count. `before` and `after` say whether the text goes on there."""

    text: str
    places: tuple[tuple[int, int], ...]
    before: bool = False
    after: bool = False


def words_of(query: str) -> tuple[Word, ...]:
    """The words of a query, the longest first. Raises `InvalidInput` for none and for too much."""
    if len(query) > MAX_QUERY:
        raise InvalidInput(f"搜索内容最多 {MAX_QUERY} 个字。", field="q")
    if any(0xD800 <= ord(char) <= 0xDFFF for char in query):
        raise InvalidInput("搜索内容里有不完整的字符，请重新输入。", field="q")
    found = {_narrow(part): None for part in query.split()}
    if not found:
        raise InvalidInput("请输入要搜索的内容。", field="q")
    if len(found) > MAX_WORDS:
        raise InvalidInput(f"一次最多搜索 {MAX_WORDS} 个词。", field="q")
    return tuple(_word(text) for text in sorted(found, key=len, reverse=True))


def any_of(words: Iterable[Word]) -> re.Pattern[bytes]:
    """Bytes that hold at least one of the words."""
    return re.compile(b"|".join(word.raw.pattern for word in words))


def missing_in(words: Iterable[Word], *texts: str) -> tuple[Word, ...]:
    """Those words that none of the texts holds."""
    return tuple(word for word in words if not any(word.pattern.search(text) for text in texts))


def spoken(operation: Operation, edits: Sequence[Operation]) -> tuple[str, ...]:
    """What an operation says now, with its edits applied: its text first, then names and titles it shows.

    Nothing for what was recalled and for what nobody typed.
    """
    if operation.recalled_by is not None:
        return ()
    match operation.payload:
        case Message(content=content):
            text = content.text
            for edit in edits:
                if isinstance(edit.payload, Edit) and edit.payload.target_seq == operation.seq:
                    text = edit.payload.text
            place = (content.location.name, content.location.address) if content.location else ()
            card = (content.card.title,) if content.card else ()
            return (text, *(a.name for a in content.attachments), *place, *card)
        case Note(text=text, attachments=attachments):
            return (text, *(a.name for a in attachments))
        case _:
            return ()


def snippet_of(texts: Sequence[str], words: Sequence[Word]) -> Snippet:
    """The first of the texts that holds a word, cut around its first hit."""
    text = next((t for t in texts if any(w.pattern.search(t) for w in words)), next(iter(texts), ""))
    line = re.sub(r"\s", " ", text)  # one for one: places stay
    hits = _joined(match.span() for word in words for match in word.pattern.finditer(line))
    first = hits[0][0] if hits else 0
    start = max(0, min(first - _BEFORE, len(line) - MAX_SNIPPET)) if len(line) > MAX_SNIPPET else 0
    start = _whole(line, start)
    end = _whole(line, min(len(line), start + MAX_SNIPPET))
    piece = line[start:end]
    places = tuple(
        (_utf16(line[start : max(a, start)]), _utf16(line[start : min(b, end)]))
        for a, b in hits
        if a < end and b > start
    )
    return Snippet(piece, places, before=start > 0, after=end < len(line))


def by_target(operations: Iterable[Operation]) -> Mapping[int, list[Operation]]:
    """Edits that count, by the number of the message they change."""
    found: dict[int, list[Operation]] = {}
    for operation in operations:
        if isinstance(operation.payload, Edit) and operation.recalled_by is None:
            found.setdefault(operation.payload.target_seq, []).append(operation)
    return found


def _joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans in order, those that touch each other as one."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _whole(text: str, place: int) -> int:
    """`place`, or before it, where nothing that belongs to the character before is cut off."""
    while 0 < place < len(text) and (unicodedata.combining(text[place]) or text[place] in "\u200d\ufe0e\ufe0f"):
        place -= 1
    return place


def _utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _narrow(text: str) -> str:
    return "".join(_FULL_WIDTH.get(char, char) for char in text).lower()


def _word(text: str) -> Word:
    forms = [_forms(char) for char in text]
    return Word(
        text,
        re.compile("".join("(?:" + "|".join(map(re.escape, f)) + ")" for f in forms)),
        re.compile(b"".join(b"(?:" + b"|".join(re.escape(x.encode()) for x in f) + b")" for f in forms)),
    )


def _forms(char: str) -> list[str]:
    """How a character may be written: both cases, both widths."""
    cases = dict.fromkeys([char, char.lower(), char.upper()])
    return [form for case in cases for form in (case, _WIDE.get(case)) if form]
