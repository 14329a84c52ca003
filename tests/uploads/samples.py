"""Photographs and hostile files, made when they are needed."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageOps, ImageStat

#: Four unlike quarters: no turn or flip of it looks like another one.
QUARTERS = ((220, 30, 30), (30, 160, 30), (40, 40, 200), (235, 235, 210))


def scene(width: int = 640, height: int = 480) -> Image.Image:
    """A picture without any symmetry."""
    image = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(image)
    half_x, half_y = width // 2, height // 2
    for index, colour in enumerate(QUARTERS):
        left, top = (index % 2) * half_x, (index // 2) * half_y
        draw.rectangle((left, top, left + half_x, top + half_y), fill=colour)
    draw.rectangle((width // 10, height // 10, width // 4, height // 5), fill=(0, 0, 0))
    return image


def photo(width: int, height: int, seed_sigma: float = 40) -> Image.Image:
    """Paper-like noise under lines of dark strokes: compresses like a photographed page."""
    grain = Image.effect_noise((width // 2, height // 2), seed_sigma).resize((width, height))
    image = ImageOps.colorize(grain, (150, 145, 130), (250, 248, 240))
    draw = ImageDraw.Draw(image)
    step = max(12, height // 60)
    for row in range(step, height - step, step):
        for column in range(step, width - step, step):
            draw.line((column, row, column + step // 2, row + step // 3), fill=(30, 30, 40), width=step // 6)
    return image


def encoded(image: Image.Image, image_format: str = "JPEG", **options: object) -> bytes:
    """The file that Pillow writes of `image`."""
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def with_orientation(image: Image.Image, orientation: int, image_format: str = "JPEG") -> bytes:
    """`image` as a camera stores it that was held so: turning it as the tag says gives `image` back."""
    inverse = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = image if inverse is None else image.transpose(inverse)
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "SecretPhoneMaker"
    exif.get_ifd(0x8825).update({1: "N", 2: (41.0, 6.0, 32.0), 3: "E", 4: (122.0, 59.0, 1.0)})
    return encoded(stored, image_format, exif=exif.tobytes())


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean distance of two pictures in grey levels (0–255), after both are made 64 × 64."""
    small = [image.convert("RGB").resize((64, 64), Image.Resampling.BOX) for image in (one, other)]
    return sum(ImageStat.Stat(ImageChops.difference(*small)).mean) / 3


def opened(body: bytes) -> Image.Image:
    """The decoded picture of an encoded file."""
    image = Image.open(io.BytesIO(body))
    image.load()
    return image


def upright(path: Path) -> Image.Image:
    """What Pillow's own transposing makes of a file."""
    with Image.open(path) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def png(width: int, height: int, bit_depth: int = 1, *, rows: int | None = None) -> bytes:
    """A black greyscale PNG that says it is so large, with `rows` of its rows (all, unless told)."""
    packer = zlib.compressobj(9)
    row = bytes(1 + (width * bit_depth + 7) // 8)
    data = b"".join(packer.compress(row) for _ in range(height if rows is None else rows)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, bit_depth, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, body) for name, body in chunks)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def endless_jpeg(width: int, height: int, scans: int) -> bytes:
    """A small progressive JPEG that makes the decoder walk over all of its blocks `scans` times.

    Each scan says "nothing new for the next 32,767 blocks" until the picture is full (ITU T.81, G.1.2.2).
    """
    blocks = -(-width // 8) * -(-height // 8)
    one_component = b"\x01\x01\x00"
    return b"".join(
        (
            b"\xff\xd8",
            _segment(0xDB, b"\x00" + bytes([1]) * 64),
            _segment(0xC2, struct.pack(">BHHB", 8, height, width, 1) + b"\x01\x11\x00"),
            _segment(0xC4, b"\x00" + bytes([1]) + bytes(15) + b"\x00"),  # DC: code 0 is "no difference"
            _segment(0xC4, b"\x10" + bytes([1]) + bytes(15) + b"\xe0"),  # AC: code 0 is the longest run
            _segment(0xDA, one_component + b"\x00\x00\x00") + _bits("0" * blocks),
            scans * (_segment(0xDA, one_component + b"\x01\x3f\x00") + _bits("011111111111111" * -(-blocks // 32767))),
            b"\xff\xd9",
        )
    )


def _segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def _bits(text: str) -> bytes:
    padded = text + "1" * (-len(text) % 8)
    return int(padded, 2).to_bytes(len(padded) // 8, "big").replace(b"\xff", b"\xff\x00")


def animated(image_format: str, frames: Iterable[Image.Image]) -> bytes:
    """An animation of `frames`."""
    first, *rest = frames
    return encoded(first, image_format, save_all=True, append_images=rest, duration=100)
