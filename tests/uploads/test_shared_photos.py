"""Every file of the shared folders: accepted as what it truly is, or refused clearly, in 5 s and 300 MB."""

from __future__ import annotations

import asyncio
import csv
import re
import time
from pathlib import Path

import pytest

from backend.domain.errors import DomainError
from tests.uploads.samples import difference, opened, upright
from uploads.workers import PhotoWorkers

pytestmark = pytest.mark.shared

MAX_SECONDS = 5
MAX_KILOBYTES = 300_000

HEIC, BMP = "unsupported-photo-format heic", "unsupported-photo-format bmp"

#: What must become of each bad input: the size of its page, or the code (and kind) of its refusal.
BAD_INPUTS = {
    "images/bmp_badbitcount.bmp": BMP,
    "images/bmp_badbitssize.bmp": BMP,
    "images/bmp_baddens1.bmp": BMP,
    "images/bmp_baddens2.bmp": BMP,
    "images/bmp_badfilesize.bmp": BMP,
    "images/bmp_badheadersize.bmp": BMP,
    "images/bmp_badpalettesize.bmp": BMP,
    "images/bmp_badplanes.bmp": BMP,
    "images/bmp_badrle.bmp": BMP,
    "images/bmp_pal8badindex.bmp": BMP,
    "images/bmp_reallybig.bmp": BMP,
    "images/broken.png": "damaged-photo",
    "images/broken_data_stream.png": "damaged-photo",
    "images/broken_exif_dpi.jpg": (100, 100),
    "images/broken_thumbnail.heic": HEIC,
    "images/corrupted.heic": HEIC,
    "images/corrupted.hif": HEIC,
    "images/decompression_bomb.gif": "unsupported-photo-format gif",
    "images/decompression_bomb.ico": "unsupported-photo-format ico",
    "images/empty.heic": "damaged-photo empty",
    "images/exif-dpi-zerodivision.jpg": (200, 200),
    "images/exif-ifd-offset.jpg": (200, 200),
    "images/exif_gps.jpg": (8, 8),
    "images/exif_typeerror.jpg": (800, 531),
    "images/flower.webp": (480, 360),
    "images/hopper.bmp": BMP,
    "images/hopper_bad_exif.jpg": (500, 500),
    "images/invalid-exif-without-x-resolution.jpg": (300, 200),
    "images/invalid-exif.jpg": (200, 200),
    "images/invalid_metadata_type.heic": HEIC,
    "images/multiple_exif.jpg": (1, 1),
    "images/no-dpi-in-exif.jpg": (200, 200),
    "images/oom-225817ca0f8c663be7ab4b9e717b02c661e66834.tif": "unsupported-photo-format tiff",
    "images/orientation_rectangle.jpg": (1, 2),
    "images/pngtest_bad.png.bin": "not-a-photo unknown",
    "images/psd-oob-write-overflow.psd": "unsupported-photo-format psd",
    "images/sugarshack_bad_mpo_header.jpg": (640, 480),
    "images/truncated.heic": HEIC,
    "images/truncated_end_chunk.png": "damaged-photo",
    "images/truncated_exif_dpi.jpg": (480, 640),
    "images/truncated_image.png": "damaged-photo",
    "images/truncated_jpeg.jpg": "damaged-photo",
    "images/unsupported_depth_image.heic": HEIC,
    "images/xmp_no_prefix.jpg": (1, 1),
    "images/zero_height.j2k": "unsupported-photo-format jpeg2000",
    "images/zero_width.gif": "unsupported-photo-format gif",
    "pdf/acroform.pdf": "not-a-photo pdf",
    "pdf/aspect.pdf": "not-a-photo pdf",
    "pdf/enormous.pdf": "not-a-photo pdf",
    "pdf/hugemono.pdf": "not-a-photo pdf",
    "pdf/invalid.pdf": "not-a-photo pdf",
    "pdf/kcs.pdf": "not-a-photo pdf",
    "pdf/missing_docinfo.pdf": "not-a-photo pdf",
    "pdf/negzero.pdf": "not-a-photo pdf",
    "pdf/no_contents.pdf": "not-a-photo pdf",
    "pdf/trivial.pdf": "not-a-photo pdf",
    "pdf/truetype_font_nomapping.pdf": "not-a-photo pdf",
    "strings/blns.base64.json": "not-a-photo text",
    "strings/blns.json": "not-a-photo text",
    "strings/eicar.base64.txt": "not-a-photo text",
    "wrong_types/sample.avif": "unsupported-photo-format avif",
    "wrong_types/sample.doc": "not-a-photo doc",
    "wrong_types/sample.docx": "not-a-photo docx",
    "wrong_types/sample.gif": "unsupported-photo-format gif",
    "wrong_types/sample.jpx": "unsupported-photo-format jpeg2000",
    "wrong_types/sample.m4a": "not-a-photo audio",
    "wrong_types/sample.odt": "not-a-photo odf",
    "wrong_types/sample.tar": "not-a-photo tar",
    "wrong_types/sample.xls": "not-a-photo xls",
    "wrong_types/sample.xlsx": "not-a-photo xlsx",
    "wrong_types/sample.zip": "not-a-photo zip",
}


def files_of(folder: Path) -> dict[str, Path]:
    """Name inside `folder` → path, of every file but its manifest and its notes."""
    notes = ("manifest.csv", "SOURCE.txt")
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {name: path for name, path in sorted(found.items()) if name not in notes}


async def outcome(workers: PhotoWorkers, path: Path) -> object:
    try:
        page = await workers.normalise(path)
    except DomainError as refusal:
        return f"{refusal.code} {refusal.extra.get('kind', '')}".strip()
    assert opened(page.page).size == (page.width, page.height)
    return (page.width, page.height)


def peak_kilobytes(pid: int) -> int:
    """The most memory that a process ever held resident."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found.group(1))


async def test_every_bad_input_is_a_page_or_refused_clearly(shared_data: Path) -> None:
    outcomes: dict[str, object] = {}
    seconds: dict[str, float] = {}
    async with PhotoWorkers() as workers:
        for name, path in files_of(shared_data / "bad_inputs").items():
            started = time.monotonic()
            outcomes[name] = await outcome(workers, path)
            seconds[name] = time.monotonic() - started
        peak = max(peak_kilobytes(pid) for pid in workers.pids)

    assert outcomes == BAD_INPUTS
    assert max(seconds.values()) < MAX_SECONDS
    assert peak < MAX_KILOBYTES


def photographs(folder: Path) -> list[Path]:
    with (folder / "manifest.csv").open(encoding="utf-8") as manifest:
        return [folder / row["file"] for row in csv.DictReader(manifest) if row["format"] in ("JPEG", "PNG", "WEBP")]


async def test_every_document_photo_becomes_an_upright_page_without_metadata(shared_data: Path) -> None:
    paths = photographs(shared_data / "doc_photos")
    assert len(paths) > 15
    async with PhotoWorkers() as workers:
        pages = [await workers.normalise(path) for path in paths]
        peak = max(peak_kilobytes(pid) for pid in workers.pids)

    for path, page in zip(paths, pages, strict=True):
        picture = opened(page.page)
        expected = await asyncio.to_thread(upright, path)
        assert picture.width / picture.height == pytest.approx(expected.width / expected.height, rel=0.02), path
        assert not picture.getexif(), path
        assert not re.search(rb"Exif|http://ns.adobe.com|ICC_PROFILE|Apple|HUAWEI", page.page), path
        assert max(picture.size) <= 2400, path
    assert peak < MAX_KILOBYTES

    alike = [(p, q) for p, q in zip(paths, pages, strict=True) if "transparent" not in p.name]
    distances = {p.name: difference(opened(q.page), upright(p)) for p, q in alike}
    assert {name: value for name, value in distances.items() if value > 5} == {}


async def test_one_scene_in_all_orientations_looks_alike(shared_data: Path) -> None:
    paths = sorted((shared_data / "doc_photos" / "orientation").glob("*.jpg"))
    async with PhotoWorkers() as workers:
        pages = [opened((await workers.normalise(path)).page) for path in paths]

    assert {page.size for page in pages} == {(1200, 1800)}
    # The six were turned by hand and compressed again, with their number painted in.
    assert max(difference(pages[0], page) for page in pages) < 12


async def test_white_writing_on_nothing_can_still_be_read(shared_data: Path) -> None:
    async with PhotoWorkers() as workers:
        page = await workers.normalise(shared_data / "doc_photos" / "zh_white_on_transparent.png")
    low, high = opened(page.page).convert("L").getextrema()

    assert (low, high) == pytest.approx((0, 255), abs=8)
