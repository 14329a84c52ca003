"""Known by content: what each beginning of a file is called, and with which advice it is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.errors import DomainError, UnsupportedMedia
from uploads.errors import DamagedPhoto, NotAPhoto, UnsupportedPhoto
from uploads.sniff import HEAD_BYTES, PhotoFormat, require_photo, sniff


@pytest.mark.parametrize(
    ("head", "photo_format"),
    [
        (b"\xff\xd8\xff\xe1....Exif", PhotoFormat.JPEG),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", PhotoFormat.PNG),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 ", PhotoFormat.WEBP),
    ],
)
def test_photos_are_recognised(head: bytes, photo_format: PhotoFormat) -> None:
    assert require_photo(head) is photo_format


@pytest.mark.parametrize(
    ("head", "kind", "error"),
    [
        (b"%PDF-1.7\n", "pdf", NotAPhoto),
        (b"junk before the header\n%PDF-1.4\n", "pdf", NotAPhoto),
        (b"PK\x03\x04\x14\x00\x00\x00\x00\x00OFD.xml<ofd", "ofd", NotAPhoto),
        (b"PK\x03\x04" + bytes(26) + b"[Content_Types].xml", "office", NotAPhoto),
        (b"PK\x03\x04" + bytes(26) + b"photo.jpg", "zip", NotAPhoto),
        (b"Rar!\x1a\x07\x01\x00", "rar", NotAPhoto),
        (b"RIFF\x10\x00\x00\x00WAVEfmt ", "audio", NotAPhoto),
        (b"\x00\x00\x00\x14ftypqt  ", "video", NotAPhoto),
        (b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1heic", "heic", UnsupportedPhoto),
        (b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1avif", "avif", UnsupportedPhoto),
        (b"II*\x00\x08\x00\x00\x00", "tiff", UnsupportedPhoto),
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg">', "svg", UnsupportedPhoto),
        (b"<!DOCTYPE html><script>", "html", NotAPhoto),
        (b"MZ\x90\x00", "program", NotAPhoto),
        ("姓名，住址".encode(), "text", NotAPhoto),
        (("办" * HEAD_BYTES).encode()[:HEAD_BYTES], "text", NotAPhoto),
        (b"\x00\x01\x02\x03", "unknown", NotAPhoto),
    ],
)
def test_everything_else_is_named(head: bytes, kind: str, error: type[UnsupportedMedia]) -> None:
    with pytest.raises(error) as refusal:
        require_photo(head)
    assert refusal.value.extra == {"kind": kind}


def test_the_refusal_says_what_to_do() -> None:
    with pytest.raises(NotAPhoto) as refusal:
        require_photo(b"%PDF-1.4")
    assert refusal.value.detail == "这是 PDF 文件，暂不支持。请把每一页拍成照片后上传。"


def test_an_empty_file_is_damaged() -> None:
    with pytest.raises(DamagedPhoto):
        require_photo(b"")


@given(st.binary(max_size=400))
def test_no_beginning_breaks_it(head: bytes) -> None:
    assert sniff(head).name


@given(st.sampled_from([b"\xff\xd8\xff", b"RIFF", b"\x00\x00\x00\x20ftyp", b"PK\x03\x04"]), st.binary(max_size=64))
def test_what_is_not_accepted_is_refused_by_name(start: bytes, rest: bytes) -> None:
    finding = sniff(start + rest)

    assert verdict(start + rest) == (finding.photo or finding.kind)


def verdict(head: bytes) -> object:
    try:
        return require_photo(head)
    except DomainError as refusal:
        return refusal.extra["kind"]
