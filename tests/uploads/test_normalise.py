"""What a photograph becomes: upright, small enough, and nothing but pixels."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from backend.domain.errors import DomainError
from backend.domain.photos import NormalisedPhoto
from tests.uploads.samples import (
    QUARTERS,
    animated,
    difference,
    encoded,
    endless_jpeg,
    opened,
    photo,
    png,
    scene,
    with_orientation,
)
from uploads.errors import BY_CODE, DamagedPhoto, PhotoTooLarge
from uploads.normalise import MAX_BYTES, MAX_PIXELS, normalise_file
from uploads.sniff import PhotoFormat

SCENE = scene()


def normalised(tmp_path: Path, body: bytes) -> NormalisedPhoto:
    path = tmp_path / "any-name.pdf"
    path.write_bytes(body)
    return normalise_file(path)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_ends_upright(tmp_path: Path, orientation: int, image_format: str) -> None:
    page = normalised(tmp_path, with_orientation(SCENE, orientation, image_format))

    assert (page.width, page.height) == SCENE.size
    assert difference(opened(page.page), SCENE) < 3
    assert difference(opened(page.thumbnail), SCENE) < 4


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_nothing_of_the_metadata_remains(tmp_path: Path, image_format: str) -> None:
    body = with_orientation(SCENE, 6, image_format)
    assert b"SecretPhoneMaker" in body

    page = normalised(tmp_path, body)

    for file in (page.page, page.thumbnail):
        assert not opened(file).getexif()
        for trace in (b"Exif", b"SecretPhoneMaker", b"http://ns.adobe.com", b"ICC_PROFILE"):
            assert trace not in file


def test_comments_profiles_and_text_chunks_are_gone(tmp_path: Path) -> None:
    script = b"<script>alert(1)</script>"
    profile = script + bytes(200)
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", script.decode())
    jpeg = encoded(SCENE, comment=script, icc_profile=profile, xmp=script)
    chunked = encoded(SCENE, "PNG", pnginfo=text)
    assert jpeg.count(script) == 3

    pages = [normalised(tmp_path, body) for body in (jpeg, chunked)]

    assert not any(script in page.page + page.thumbnail for page in pages)


def test_an_archive_behind_a_photo_is_not_carried_on(tmp_path: Path) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as package:
        package.writestr("payload.js", "alert(1)")
    body = encoded(SCENE) + archive.getvalue()
    assert zipfile.is_zipfile(io.BytesIO(body))

    page = normalised(tmp_path, body)

    assert not zipfile.is_zipfile(io.BytesIO(page.page))
    assert difference(opened(page.page), SCENE) < 3


def test_the_page_is_addressed_by_its_own_bytes(tmp_path: Path) -> None:
    page = normalised(tmp_path, encoded(SCENE))

    assert page.sha256 == hashlib.sha256(page.page).hexdigest()
    assert page.media_type == "image/jpeg"
    assert opened(page.page).format == "JPEG"
    assert max(opened(page.thumbnail).size) == 320


@pytest.mark.parametrize(
    ("original", "page"),
    [
        ((4032, 3024), (2016, 1512)),  # iPhone, halved by the decoder
        ((3000, 4000), (1500, 2000)),
        ((4624, 3472), (2312, 1736)),  # 16 and 64 megapixels: halved, not resampled
        ((5200, 3900), (2048, 1536)),  # halved to 2600, then resampled
        ((2800, 2100), (2048, 1536)),  # half would be too short
        ((2400, 1800), (2400, 1800)),
        ((65, 11), (65, 11)),
        ((6000, 2), (2048, 1)),
    ],
)
def test_long_sides_land_between_1500_and_2400(
    tmp_path: Path, original: tuple[int, int], page: tuple[int, int]
) -> None:
    result = normalised(tmp_path, encoded(Image.new("RGB", original, (240, 240, 230))))

    assert (result.width, result.height) == page


@pytest.mark.parametrize("image_format", ["PNG", "WEBP"])
def test_large_lossless_pictures_are_shrunk_without_loss_of_place(tmp_path: Path, image_format: str) -> None:
    large = scene(4400, 3000)

    page = normalised(tmp_path, encoded(large, image_format))

    assert (page.width, page.height) == (2200, 1500)
    assert difference(opened(page.page), large) < 3


def test_lines_of_text_stay_legible(tmp_path: Path) -> None:
    original = photo(4000, 3000, seed_sigma=10).convert("L")
    page = opened(normalised(tmp_path, encoded(original, quality=92)).page).convert("L")
    halved = original.resize(page.size, Image.Resampling.BOX)

    assert sum(page.histogram()[:70]) > page.width * page.height / 100  # strokes are still dark
    assert difference(page, halved) < 2


@pytest.mark.parametrize(
    ("ink", "ground"),
    [((0, 0, 0), 255), ((255, 255, 255), 0), ((200, 30, 30), 255)],
    ids=["black ink", "white ink", "a red seal"],
)
def test_transparency_is_laid_on_what_shows_the_ink(tmp_path: Path, ink: tuple[int, int, int], ground: int) -> None:
    drawing = Image.new("RGBA", (400, 200), (*ink, 0))
    drawing.paste((*ink, 255), (50, 50, 350, 100))

    page = opened(normalised(tmp_path, encoded(drawing, "PNG")).page).convert("RGB")

    assert page.getpixel((10, 10)) == (ground, ground, ground)
    assert page.getpixel((200, 75)) == pytest.approx(ink, abs=6)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_kind_of_png_keeps_its_greys(tmp_path: Path, mode: str) -> None:
    grey = Image.linear_gradient("L").resize((600, 400))
    source = (
        Image.frombytes("I;16", grey.size, b"".join(bytes((0, value)) for value in grey.tobytes()))
        if mode == "I;16"
        else grey.convert(mode)
    )

    page = opened(normalised(tmp_path, encoded(source, "PNG")).page)

    assert difference(page, grey) < 4


def test_cmyk_photos_become_rgb(tmp_path: Path) -> None:
    page = opened(normalised(tmp_path, encoded(SCENE.convert("CMYK"))).page)

    assert page.mode == "RGB"
    assert difference(page, SCENE) < 3


@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "MPO"])
def test_of_several_frames_the_first_is_the_page(tmp_path: Path, image_format: str) -> None:
    frames = [Image.new("RGB", (320, 200), colour) for colour in QUARTERS]

    page = normalised(tmp_path, animated(image_format, frames))

    assert difference(opened(page.page), frames[0]) < 3


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_cut_off_file_is_refused(tmp_path: Path, image_format: str, share: float) -> None:
    body = encoded(photo(600, 400), image_format)

    with pytest.raises(DamagedPhoto):
        normalised(tmp_path, body[: int(len(body) * share)])


def test_too_many_bytes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PhotoTooLarge, match="12 MB"):
        normalised(tmp_path, encoded(SCENE) + bytes(MAX_BYTES))


@pytest.mark.parametrize(
    ("width", "height"),
    [
        (10_000, 9_500),  # Pillow only warns: one to two times its own limit of 89 million
        (6_100, 6_000),  # Pillow says nothing
        (60_000, 60_000),
    ],
)
def test_decompression_bombs_are_refused_by_number(tmp_path: Path, width: int, height: int) -> None:
    assert width * height > MAX_PIXELS[PhotoFormat.PNG]

    with pytest.raises(PhotoTooLarge):
        normalised(tmp_path, png(width, height, rows=min(height, 10_000)))


def test_a_png_just_under_the_limit_is_a_page(tmp_path: Path) -> None:
    page = normalised(tmp_path, png(6_000, 6_000))

    assert (page.width, page.height) == (2048, 2048)


def test_a_webp_bomb_is_refused_before_its_canvas_is_made(tmp_path: Path) -> None:
    with pytest.raises(PhotoTooLarge):
        normalised(tmp_path, encoded(Image.new("RGB", (4_000, 3_600)), "WEBP", lossless=True, method=0))


def test_a_progressive_jpeg_too_large_to_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PhotoTooLarge):
        normalised(tmp_path, endless_jpeg(10_000, 9_000, scans=1))


_BODIES = [encoded(scene(96, 64), image_format) for image_format in ("JPEG", "PNG", "WEBP")]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(_BODIES), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=12))
def test_broken_bytes_are_a_page_or_refused_by_name(
    tmp_path: Path, body: bytes, damage: list[tuple[float, int]]
) -> None:
    broken = bytearray(body)
    for place, value in damage:
        broken[int(place * (len(broken) - 1))] = value

    page = page_or_refusal(tmp_path, bytes(broken))

    assert page is None or opened(page.page).size == (page.width, page.height)


def page_or_refusal(tmp_path: Path, body: bytes) -> NormalisedPhoto | None:
    """The page, or None for a refusal that has a name; any other error passes through."""
    try:
        return normalised(tmp_path, body)
    except DomainError as refusal:
        assert refusal.code in BY_CODE  # noqa: PT017  what is asserted is that it has a name
        return None
