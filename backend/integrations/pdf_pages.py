"""Lines to pages: run as a process of its own, `python -m backend.integrations.pdf_pages`.

Reads one JSON object from standard input, writes the PDF to standard output, and ends. The font is Adobe's
STSong-Light, named and not embedded: it comes with every reader that shows Chinese (phones, WPS, browsers,
Acrobat's Asian pack), costs no bytes, and needs no font on the server. What that font does not have (emoji,
rare characters) is shown by its number in brackets, never left out.
"""

from __future__ import annotations

import io
import json
import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

FONT = "STSong-Light"
PAGE = (595.28, 841.89)  # A4 in points
MARGIN = 56.0
FOOT = 34.0
_NEVER_FIRST = frozenset("，。、；：？！）》」』】〕］”’…—,.;:?!)]}")
_NEVER_LAST = frozenset("（《「『【〔［“‘([{")
MISSING_NOTE = (
    "〔U+1F600〕这样的记号代表本文件的字体中没有的字符（如表情符号、罕见字），"
    "括号内是它的 Unicode 编号；文本格式的记录中为原来的字符。"
)


@dataclass(frozen=True, slots=True)
class Look:
    """How a kind of line looks: size, distance to the next line, indent and space before, in points."""

    size: float
    leading: float
    indent: float = 0
    before: float = 0
    grey: float = 0


LOOKS = {
    "title": Look(16, 24),
    "section": Look(12, 18, before=10),
    "fact": Look(10, 15),
    "operation": Look(9, 14, before=5, grey=0.35),
    "said": Look(10.5, 16, indent=18),
    "small": Look(8.5, 12, before=4, grey=0.35),
    "blank": Look(10, 10),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One row on a page: `y` is its base line."""

    text: str
    look: Look
    y: float


def printable(text: str) -> tuple[str, bool]:
    """`text` with what the font lacks shown by number; whether there was any."""
    if text.isascii() and text.isprintable():
        return text, False
    shown = [_shown(char) for char in text]
    return "".join(shown), any(s.startswith("〔U+") for s in shown)


def _shown(char: str) -> str:
    if " " <= char <= "~":
        return char
    if char == "\t":
        return "    "
    try:
        char.encode("gbk")  # what every edition of the font has (Adobe-GB1-2)
    except UnicodeEncodeError:
        return f"〔U+{ord(char):04X}〕"
    return char if char.isprintable() or char == "\u3000" else f"〔U+{ord(char):04X}〕"


def wrapped(text: str, width: float, measure: Callable[[str], float]) -> Iterator[str]:
    """`text` cut into rows of at most `width`; at spaces and between Chinese characters, punctuation stays
    with what it belongs to. A word longer than a row is cut where the row ends."""
    start, used, i = 0, 0.0, 0
    while i < len(text):
        used += measure(text[i])
        if used > width and i > start:
            cut = _cut(text, start, i)
            yield text[start:cut].rstrip(" ")
            start = cut
            while start < len(text) and text[start] == " ":
                start += 1
            i, used = start, 0.0
            continue
        i += 1
    yield text[start:]


def _cut(text: str, start: int, end: int) -> int:
    """Where to end the row that begins at `start` and has no room for the character at `end`."""
    for place in range(end, max(start, end - 30), -1):
        before, after = text[place - 1], text[place]
        in_word = before.isascii() and after.isascii() and before != " " and after != " "
        if not in_word and after not in _NEVER_FIRST and before not in _NEVER_LAST:
            return place
    return end


def laid_out(lines: Sequence[Sequence[str]]) -> list[list[Row]]:
    """The lines, each (style, text), as pages of rows."""
    widths: dict[str, float] = {}

    def measure(char: str) -> float:
        if char not in widths:
            widths[char] = float(pdfmetrics.stringWidth(char, FONT, 1))
        return widths[char]

    pages: list[list[Row]] = [[]]
    y = PAGE[1] - MARGIN
    for style, text in lines:
        look = LOOKS[style]
        y -= look.before
        room = (PAGE[0] - 2 * MARGIN - look.indent) / look.size
        for number, part in enumerate(wrapped(text, room, measure)):
            # a heading is not left alone at the foot of a page
            needed = look.leading * (2 if style in ("operation", "section") and number == 0 else 1)
            if y - needed < MARGIN:
                pages.append([])
                y = PAGE[1] - MARGIN
            y -= look.leading
            pages[-1].append(Row(part, look, y))
    return pages


def pdf_of(document: dict[str, Any]) -> bytes:
    """The PDF of `{title, foot, lines: [[style, text], …]}`; the same bytes for the same document."""
    pdfmetrics.registerFont(UnicodeCIDFont(FONT))
    shown, missing = [], False
    for style, text in document["lines"]:
        safe, lacks = printable(text)
        shown.append((style, safe))
        missing = missing or lacks
    if missing:
        shown.append(("small", MISSING_NOTE))
    pages = laid_out(shown)
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=PAGE, invariant=1, pageCompression=1, lang="zh-CN")
    canvas.setTitle(document["title"])
    canvas.setAuthor("")
    canvas.setCreator("Banshi")
    foot = printable(document["foot"])[0]
    for number, rows in enumerate(pages, 1):
        for row in rows:
            canvas.setFillGray(row.look.grey)
            canvas.setFont(FONT, row.look.size)
            canvas.drawString(MARGIN + row.look.indent, row.y, row.text)
        canvas.setFillGray(0.35)
        canvas.setFont(FONT, 8)
        canvas.drawString(MARGIN, FOOT, foot)
        canvas.drawRightString(PAGE[0] - MARGIN, FOOT, f"第 {number} 页，共 {len(pages)} 页")
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def main() -> None:
    """Make one PDF within the limits given as arguments: bytes of address space, seconds of CPU."""
    memory, seconds = (int(argument) for argument in sys.argv[1:3])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    sys.stdout.buffer.write(pdf_of(json.load(sys.stdin.buffer)))


if __name__ == "__main__":
    main()
