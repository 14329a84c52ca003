"""Draw the icons of WeChat's own row of tabs: PNG of 81 × 81, which it asks for; our own pages draw theirs in SVG.

Run in `web/citizen`: `python scripts/draw-tab-icons.py`. Shapes are on the same 24 × 24 grid as `src/parts/icons.ts`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw

SIZE = 81
SCALE = 8  # drawn larger and made smaller, for smooth edges
LINE = 1.8
COLOURS = {"": "#4a5565", "-on": "#0f5cad"}
FOLDER = Path(__file__).parent.parent / "src" / "static" / "tab"


class Pen:
    """Draws on the 24 × 24 grid, with round ends."""

    def __init__(self, colour: str) -> None:
        self.colour = colour
        self.unit = SIZE * SCALE / 24
        self.image = Image.new("RGBA", (SIZE * SCALE, SIZE * SCALE), (0, 0, 0, 0))
        self.draw = ImageDraw.Draw(self.image)

    def line(self, *points: tuple[float, float], closed: bool = False) -> None:
        path = [*points, points[0]] if closed else list(points)
        placed = [(x * self.unit, y * self.unit) for x, y in path]
        self.draw.line(placed, fill=self.colour, width=round(LINE * self.unit), joint="curve")
        for x, y in path:
            self.dot(x, y, LINE / 2)

    def dot(self, x: float, y: float, radius: float) -> None:
        box = [(x - radius) * self.unit, (y - radius) * self.unit, (x + radius) * self.unit, (y + radius) * self.unit]
        self.draw.ellipse(box, fill=self.colour)

    def arc(self, x: float, y: float, across: float, down: float, start: int, end: int) -> None:
        rim = LINE / 2
        box = [(x - across - rim) * self.unit, (y - down - rim) * self.unit]
        box += [(x + across + rim) * self.unit, (y + down + rim) * self.unit]
        self.draw.arc(box, start, end, fill=self.colour, width=round(LINE * self.unit))


def home(pen: Pen) -> None:
    pen.line((4, 11.5), (12, 5), (20, 11.5))
    pen.line((6, 10), (6, 19), (18, 19), (18, 10))
    pen.line((10, 19), (10, 14), (14, 14), (14, 19))


def talk(pen: Pen) -> None:
    pen.line((4, 6), (20, 6), (20, 16), (12, 16), (7.5, 19.5), (7.5, 16), (4, 16), closed=True)
    for x in (8.5, 12, 15.5):
        pen.dot(x, 11, 1.2)


def cases(pen: Pen) -> None:
    pen.line((6, 4), (15, 4), (18, 7), (18, 20), (6, 20), closed=True)
    pen.line((9, 10), (15, 10))
    pen.line((9, 13.5), (15, 13.5))
    pen.line((9, 17), (13, 17))


def me(pen: Pen) -> None:
    pen.arc(12, 8.5, 3.7, 3.7, 0, 360)
    pen.arc(12, 20, 7, 6, 180, 360)


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    icons: list[Callable[[Pen], None]] = [home, talk, cases, me]
    for icon in icons:
        for suffix, colour in COLOURS.items():
            pen = Pen(colour)
            icon(pen)
            small = pen.image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)
            small.save(FOLDER / f"{icon.__name__}{suffix}.png", optimize=True)


if __name__ == "__main__":
    main()
