"""Reads QR codes that our pages draw, as a phone's camera would."""

from __future__ import annotations

import re

import zxingcpp
from PIL import Image, ImageDraw


def read_qr(svg: bytes) -> str:
    """The text of a QR code that stands alone in an SVG of horizontal strokes."""
    size = int(re.search(rb'viewBox="0 0 (\d+) ', svg)[1]) // 8  # type: ignore[index]
    image = Image.new("L", (size * 8, size * 8), 255)
    draw = ImageDraw.Draw(image)
    path = re.search(rb'stroke="#000" d="([^"]+)"', svg)[1].decode()  # type: ignore[index]
    x = y = 0.0
    for command, numbers in re.findall(r"([Mmh])([^Mmh]*)", path):
        values = [float(value) for value in re.findall(r"-?[\d.]+", numbers)]
        if command == "M":
            x, y = values
        elif command == "m":
            x, y = x + values[0], y + values[1]
        else:
            draw.rectangle((x * 8, (y - 0.5) * 8, (x + values[0]) * 8 - 1, (y + 0.5) * 8 - 1), fill=0)
            x += values[0]
    return str(zxingcpp.read_barcodes(image)[0].text)
