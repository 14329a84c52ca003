"""Photographs as a phone takes them: lying on the side, with an orientation and a place in their EXIF."""

from __future__ import annotations

import io

from PIL import Image, ImageDraw

_ORIENTATION = 0x0112
_GPS = 0x8825


def photograph(label: str, *, width: int = 2000, height: int = 1500) -> bytes:
    """A JPEG of a page with `label` (Latin letters and digits), shot sideways, with GPS."""
    image = Image.new("RGB", (width, height), (244, 241, 232))
    draw = ImageDraw.Draw(image)
    for line in range(120, height - 120, 48):
        draw.line((140, line, width - 140, line), fill=(170, 170, 180), width=3)
    draw.rectangle((60, 60, width - 60, height - 60), outline=(60, 60, 60), width=6)
    draw.text((160, 70), label, fill=(20, 20, 20), font_size=40)
    exif = Image.Exif()
    exif[_ORIENTATION] = 6
    exif.get_ifd(_GPS).update({1: "N", 2: (23.0, 7.0, 40.0), 3: "E", 4: (113.0, 15.0, 52.0)})
    stored = io.BytesIO()
    image.save(stored, "JPEG", quality=85, exif=exif)
    return stored.getvalue()


def is_upright_and_clean(stored: bytes) -> bool:
    """Whether what came back is portrait (the sideways shot upright) and carries no EXIF."""
    with Image.open(io.BytesIO(stored)) as image:
        return image.height > image.width and not image.getexif()
