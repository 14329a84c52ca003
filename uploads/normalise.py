"""One photograph in, one safe page out: decode, shrink, turn upright, encode anew.

Runs only inside the killable processes of `uploads.workers`: every byte that comes in is hostile, and
every decoder is part of what must be trusted. Nothing of the original file survives but its pixels, so
EXIF, GPS, XMP, comments, profiles, embedded previews and whatever was appended to it are gone.

Choices:

- Of a file with several frames (animation, MPO, a phone's "live" photo) the first is the page.
- Colour profiles are dropped and not converted: a page is read, not proofed, and a profile is one more
  hostile format to parse.
- Pages are JPEG, of line art too: at quality 85 and without chroma subsampling for what was lossless, text
  stays legible, and readers need one format.
- Transparency is laid on white, unless what is visible is itself so light that it would vanish (white
  text on nothing): then on black.
- Every limit is checked by number: between one and two times its own limit Pillow merely warns.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

# The last two are not named below: imported, they are registered, and Pillow need not import every decoder
# that it has in order to find them.
from PIL import Image, ImageStat, JpegImagePlugin, PngImagePlugin, WebPImagePlugin  # noqa: F401

from backend.domain.photos import NormalisedPhoto
from uploads.errors import DamagedPhoto, PhotoTooLarge
from uploads.sniff import HEAD_BYTES, PhotoFormat, require_photo

#: A page is shrunk to this many pixels on its long side …
LONG_SIDE: Final = 2048
#: … but left alone up to this one: halving by the JPEG decoder is nearly free, while resampling costs
#: more than all the rest, and 13-, 16- and 64-megapixel phones halve or quarter to 2080–2320.
LONG_SIDE_TOLERATED: Final = 2400
#: Long side of a thumbnail, in pixels.
THUMBNAIL_SIDE: Final = 320

#: Bytes of the original file, unless told otherwise.
MAX_BYTES: Final = 12 * 1024 * 1024

#: Pixels of the original, per format, so that decoding stays inside 300 MB. JPEG is decoded already shrunk
#: and costs least; PNG needs 4 bytes a pixel; WebP about 16, since its decoder holds two canvases.
MAX_PIXELS: Final[dict[PhotoFormat, int]] = {
    PhotoFormat.JPEG: 120_000_000,
    PhotoFormat.PNG: 36_000_000,
    PhotoFormat.WEBP: 14_000_000,
}
#: Progressive JPEG keeps all coefficients, two bytes each, whatever size it is decoded to.
MAX_PROGRESSIVE_BYTES: Final = 160_000_000

_PAGE_QUALITY: Final = 85
_THUMBNAIL_QUALITY: Final = 80
_NO_SUBSAMPLING: Final = 0
_HALF_CHROMA: Final = 2
_STRIP_ROWS: Final = 256
_ORIENTATION_TAG: Final = 0x0112

#: EXIF orientation → what makes the picture upright (EXIF 2.32, 4.6.4).
_UPRIGHT: Final[dict[int, Image.Transpose]] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def normalise_file(path: Path, *, max_bytes: int = MAX_BYTES) -> NormalisedPhoto:
    """Make the photograph at `path`, of `max_bytes` at most, a page.

    Raises `NotAPhoto`, `UnsupportedPhoto`, `DamagedPhoto` or `PhotoTooLarge` (`uploads.errors`).
    """
    with path.open("rb") as file:
        if path.stat().st_size > max_bytes:
            raise PhotoTooLarge(f"照片文件不能超过 {max_bytes / 1024 / 1024:g} MB，请压缩后上传。")
        photo_format = require_photo(file.read(HEAD_BYTES))
        file.seek(0)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                page = _decode(file, photo_format)
                return _encode(page, photo_format)
        except (DamagedPhoto, PhotoTooLarge):
            raise
        except (MemoryError, Image.DecompressionBombError) as error:
            raise _too_many_pixels() from error
        except Exception as error:  # a hostile file makes a decoder raise anything at all
            raise DamagedPhoto("照片文件不完整或已损坏，请重新拍摄后上传。") from error


def _decode(file: BinaryIO, photo_format: PhotoFormat) -> Image.Image:
    limit = MAX_PIXELS[photo_format]
    with _pillow_limit(limit):
        image = Image.open(file, formats=[photo_format.value])
    width, height = image.size
    if width < 1 or height < 1:
        raise DamagedPhoto("照片的宽或高为零，文件已损坏。")
    if width * height > limit:
        raise _too_many_pixels()
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        _draft(image)
    image.load()
    orientation = _orientation(image)
    page = _plain(image)
    page.info = {}
    if max(page.size) > LONG_SIDE_TOLERATED:
        page = page.resize(_fit(page.size, LONG_SIDE), Image.Resampling.BICUBIC)
    turn = _UPRIGHT.get(orientation)
    return page if turn is None else page.transpose(turn)


def _encode(page: Image.Image, photo_format: PhotoFormat) -> NormalisedPhoto:
    # A photograph's own chroma is at half resolution already; that of a lossless original is not.
    subsampling = _HALF_CHROMA if photo_format is PhotoFormat.JPEG else _NO_SUBSAMPLING
    body = _jpeg(page, _PAGE_QUALITY, subsampling)
    small = page.copy() if max(page.size) <= THUMBNAIL_SIDE else _thumbnail(page)
    return NormalisedPhoto(
        page=body,
        thumbnail=_jpeg(small, _THUMBNAIL_QUALITY, _HALF_CHROMA),
        width=page.width,
        height=page.height,
        sha256=hashlib.sha256(body).hexdigest(),
        media_type="image/jpeg",
    )


def _thumbnail(page: Image.Image) -> Image.Image:
    return page.resize(
        _fit(page.size, THUMBNAIL_SIDE), Image.Resampling.BICUBIC, reducing_gap=2.0
    )  # the gap: box-average most of the way first, which costs a tenth and looks the same


def _jpeg(image: Image.Image, quality: int, subsampling: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling=subsampling, progressive=False)
    return buffer.getvalue()


def _draft(image: JpegImagePlugin.JpegImageFile) -> None:
    """Let the decoder itself shrink by 2, 4 or 8 when the result is still long enough.

    The requested size keeps the aspect ratio: Pillow takes the largest factor that fits both sides.
    """
    width, height = image.size
    if image.info.get("progressive") and _coefficient_bytes(image) > MAX_PROGRESSIVE_BYTES:
        raise _too_many_pixels()
    longest = max(width, height)
    # 1500 and not 2048: for a page of text, 4000 → 2000 loses nothing that a reader needs, and
    # insisting on 2048 would forbid halving exactly the sizes that phones make.
    factor = max((f for f in (1, 2, 4, 8) if longest // f >= 1500), default=1)
    if longest > LONG_SIDE_TOLERATED and factor > 1:
        image.draft(None, (max(1, width // factor), max(1, height // factor)))


def _coefficient_bytes(image: JpegImagePlugin.JpegImageFile) -> int:
    """What libjpeg allocates for a progressive file: 2 bytes a sample, chroma by its sampling factors."""
    factors = [(h, v) for _, h, v, _ in image.layer]
    widest = max((h for h, _ in factors), default=1) or 1
    tallest = max((v for _, v in factors), default=1) or 1
    share = sum(h * v for h, v in factors) / (widest * tallest)
    return int(2 * image.width * image.height * share)


def _plain(image: Image.Image) -> Image.Image:
    """`image` in mode L or RGB, without transparency, box-reduced by a whole factor when it is large.

    Works in strips of rows, so that memory is the source and the result and nothing between them.
    """
    factor = max(1, max(image.size) // LONG_SIDE) if max(image.size) > LONG_SIDE_TOLERATED else 1
    if _is_transparent(image):
        probe = _in_strips(image, max(1, max(image.size) // 256), "RGBA", None)
        return _in_strips(image, factor, "RGB", _background(probe))
    mode = "L" if image.mode in ("1", "L", "I", "F") or image.mode.startswith("I;16") else "RGB"
    if factor == 1 and image.mode == mode:
        return image
    return _in_strips(image, factor, mode, None)


def _in_strips(image: Image.Image, factor: int, mode: str, background: int | None) -> Image.Image:
    width, height = image.size
    result = Image.new(mode, (-(-width // factor), -(-height // factor)))
    rows = factor * max(1, _STRIP_ROWS // factor)
    for top in range(0, height, rows):
        strip = _eight_bit(image.crop((0, top, width, min(top + rows, height))))
        through = mode if background is None else "RGBA"
        strip = strip.convert(through) if strip.mode != through else strip
        if factor > 1:
            strip = strip.reduce(factor)
        if background is not None:
            under = Image.new("RGBA", strip.size, (background, background, background, 255))
            strip = Image.alpha_composite(under, strip).convert(mode)
        result.paste(strip, (0, top // factor))
    return result


def _eight_bit(strip: Image.Image) -> Image.Image:
    """16-bit greys scaled to 8 bits: a bare `convert("L")` would clip them to white."""
    if strip.mode == "I" or strip.mode.startswith("I;16"):
        return strip.convert("I").point([value >> 8 for value in range(65536)], "L")
    return strip


def _is_transparent(image: Image.Image) -> bool:
    return image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info


def _background(probe: Image.Image) -> int:
    """The grey to lay `probe` (RGBA, small) on: white, unless that leaves nothing to see and black does."""
    spread = {}
    for level in (255, 0):
        under = Image.new("RGBA", probe.size, (level, level, level, 255))
        spread[level] = ImageStat.Stat(Image.alpha_composite(under, probe).convert("L")).stddev[0]
    return 0 if spread[255] * 4 < spread[0] else 255


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) when there is none or it cannot be read."""
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
        return value if isinstance(value, int) else 1
    except Exception:  # noqa: BLE001  broken metadata is no reason to refuse a good picture
        return 1


def _fit(size: tuple[int, int], longest: int) -> tuple[int, int]:
    scale = longest / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _too_many_pixels() -> PhotoTooLarge:
    return PhotoTooLarge("照片的像素过多，请用手机相机的普通模式重拍，或缩小后上传。")


@contextmanager
def _pillow_limit(pixels: int) -> Iterator[None]:
    """Make Pillow itself refuse above `pixels` while opening.

    It raises only above twice its limit, and WebP's decoder allocates its canvas while it is opened,
    before anyone can look at the size.
    """
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = pixels // 2
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before
