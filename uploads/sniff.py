"""What a file truly is, known by its content; its name and its declared type are never asked.

A table of signatures of our own rather than a library: we need three formats to decode and about thirty
to *name*, in Chinese and with advice, among them OFD, which libraries do not know. Nothing is parsed
here, only the first bytes are compared, so that a hostile file finds no parser.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from uploads.errors import DamagedPhoto, NotAPhoto, UnsupportedPhoto

#: Bytes from the beginning that `sniff` looks at: old Office files name themselves far inside.
HEAD_BYTES: Final = 64 * 1024


class PhotoFormat(StrEnum):
    """Formats that are decoded; the value is Pillow's name."""

    JPEG = "JPEG"  # and MPO, whose first frame is a plain JPEG
    PNG = "PNG"
    WEBP = "WEBP"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found: `kind` is a stable word for clients, `name` what a citizen calls it."""

    kind: str
    name: str
    photo: PhotoFormat | None = None
    picture: bool = False
    advice: str = "请把材料拍成照片后上传。"


_PAGES = "请把每一页拍成照片后上传。"
_RESAVE = "请截屏或另存为 JPEG 后上传。"

_EMPTY = Finding("empty", "空文件")
_UNKNOWN = Finding("unknown", "无法识别的文件")
_TEXT = Finding("text", "文本文件")
_HEIC = Finding(
    "heic",
    "HEIC 照片（苹果手机的“高效”格式）",
    picture=True,
    advice="请在手机“设置 → 相机 → 格式”里选“兼容性最佳”后重拍，或截屏后上传。",
)
_AVIF = Finding("avif", "AVIF 图片", picture=True, advice=_RESAVE)
_JP2 = Finding("jpeg2000", "JPEG 2000 图片", picture=True, advice=_RESAVE)
_JXL = Finding("jpeg-xl", "JPEG XL 图片", picture=True, advice=_RESAVE)
_TIFF = Finding("tiff", "TIFF 或相机原始格式图片", picture=True, advice=_RESAVE)
_VIDEO = Finding("video", "视频文件")
_AUDIO = Finding("audio", "音频文件")
_PROGRAM = Finding("program", "程序文件")
_ZIP = Finding("zip", "ZIP 压缩包", advice="请解压后，把照片一张一张上传。")
_ARCHIVE = "请解压后，把照片一张一张上传。"

#: Signature at the very beginning → what it is. Longer ones first where one begins another.
_PREFIXES: Final[tuple[tuple[bytes, Finding], ...]] = (
    (b"\xff\xd8\xff", Finding("jpeg", "JPEG 照片", PhotoFormat.JPEG, picture=True)),
    (b"\x89PNG\r\n\x1a\n", Finding("png", "PNG 图片", PhotoFormat.PNG, picture=True)),
    (b"GIF87a", Finding("gif", "GIF 图片", picture=True, advice=_RESAVE)),
    (b"GIF89a", Finding("gif", "GIF 图片", picture=True, advice=_RESAVE)),
    (b"BM", Finding("bmp", "BMP 图片", picture=True, advice=_RESAVE)),
    (b"II*\x00", _TIFF),
    (b"MM\x00*", _TIFF),
    (b"II+\x00", _TIFF),
    (b"MM\x00+", _TIFF),
    (b"8BPS", Finding("psd", "Photoshop 文件", picture=True, advice=_RESAVE)),
    (b"\x00\x00\x01\x00", Finding("ico", "图标文件", picture=True, advice=_RESAVE)),
    (b"\x00\x00\x00\x0cjP  ", _JP2),
    (b"\xff\x4f\xff\x51", _JP2),
    (b"\x00\x00\x00\x0cJXL ", _JXL),
    (b"\xff\x0a", _JXL),
    (b"{\\rtf", Finding("rtf", "RTF 文档", advice=_PAGES)),
    (b"Rar!\x1a\x07", Finding("rar", "RAR 压缩包", advice=_ARCHIVE)),
    (b"7z\xbc\xaf\x27\x1c", Finding("7z", "7z 压缩包", advice=_ARCHIVE)),
    (b"\x1f\x8b", Finding("gzip", "GZIP 压缩包", advice=_ARCHIVE)),
    (b"BZh", Finding("bzip2", "BZIP2 压缩包", advice=_ARCHIVE)),
    (b"\xfd7zXZ\x00", Finding("xz", "XZ 压缩包", advice=_ARCHIVE)),
    (b"ID3", _AUDIO),
    (b"\xff\xfb", _AUDIO),
    (b"\xff\xf1", _AUDIO),
    (b"fLaC", _AUDIO),
    (b"OggS", _AUDIO),
    (b"#!AMR", _AUDIO),
    (b"\x1a\x45\xdf\xa3", _VIDEO),
    (b"\x00\x00\x01\xba", _VIDEO),
    (b"FLV\x01", _VIDEO),
    (b"MZ", _PROGRAM),
    (b"\x7fELF", _PROGRAM),
    (b"#!", _PROGRAM),
)

_HEIC_BRANDS: Final = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_AVIF_BRANDS: Final = {b"avif", b"avis"}
_AUDIO_BRANDS: Final = {b"M4A ", b"M4B ", b"M4P "}

#: Compound (OLE) documents name their streams in UTF-16.
_OLE_MAGIC: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

#: Telling name inside a ZIP's first local headers → what the package is.
_PACKAGES: Final[tuple[tuple[bytes, Finding], ...]] = (
    (b"OFD.xml", Finding("ofd", "OFD 版式文件", advice=_PAGES)),
    (b"word/", Finding("docx", "Word 文档", advice=_PAGES)),
    (b"xl/", Finding("xlsx", "Excel 表格", advice=_PAGES)),
    (b"ppt/", Finding("pptx", "PowerPoint 演示文稿", advice=_PAGES)),
    (b"application/vnd.oasis.opendocument", Finding("odf", "OpenDocument 文档", advice=_PAGES)),
    (b"[Content_Types].xml", Finding("office", "Office 文档", advice=_PAGES)),
    (b"AndroidManifest.xml", _PROGRAM),
)


def sniff(head: bytes) -> Finding:
    """Name the file that begins with `head` (up to `HEAD_BYTES` of it; fewer only when it is shorter)."""
    head = head[:HEAD_BYTES]
    if not head:
        return _EMPTY
    for signature, finding in _PREFIXES:
        if head.startswith(signature):
            return finding
    if head[:4] == b"RIFF":
        return _riff(head[8:12])
    if head[4:8] == b"ftyp":
        return _iso_media(head)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        return next((finding for name, finding in _PACKAGES if name in head), _ZIP)
    if head.startswith(_OLE_MAGIC):
        return _compound(head)
    if head[257:262] == b"ustar":
        return Finding("tar", "TAR 压缩包", advice=_ARCHIVE)
    # Readers accept a PDF whose header lies within the first kilobyte, so senders make such files.
    if b"%PDF-" in head[:1024]:
        return Finding("pdf", "PDF 文件", advice=_PAGES)
    return _text(head)


def require_photo(head: bytes) -> PhotoFormat:
    """The format of a file that begins with `head`, when it is one that is decoded.

    Raises `DamagedPhoto` for an empty file, `UnsupportedPhoto` for pictures of other formats and
    `NotAPhoto` for everything else; the two carry `kind`.
    """
    finding = sniff(head)
    if finding.photo is not None:
        return finding.photo
    if finding is _EMPTY:
        raise DamagedPhoto("文件是空的，可能没有传完，请重新选择照片。", kind="empty")
    if finding is _UNKNOWN:
        raise NotAPhoto("无法识别这个文件。请上传 JPEG、PNG 或 WebP 格式的照片。", kind="unknown")
    error = UnsupportedPhoto if finding.picture else NotAPhoto
    space = " " if finding.name[0].isascii() else ""
    raise error(f"这是{space}{finding.name}，暂不支持。{finding.advice}", kind=finding.kind)


def _riff(form: bytes) -> Finding:
    match form:
        case b"WEBP":
            return Finding("webp", "WebP 图片", PhotoFormat.WEBP, picture=True)
        case b"WAVE":
            return _AUDIO
        case b"AVI ":
            return _VIDEO
        case _:
            return _UNKNOWN


def _iso_media(head: bytes) -> Finding:
    """HEIC, AVIF, MP4 and their kin share one container and differ by their brands."""
    size = min(int.from_bytes(head[:4], "big"), 256)
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, size - 3, 4))}
    if brands & _AVIF_BRANDS:
        return _AVIF
    if brands & _HEIC_BRANDS:
        return _HEIC
    return _AUDIO if head[8:12] in _AUDIO_BRANDS else _VIDEO


def _compound(head: bytes) -> Finding:
    for name, finding in (
        ("WordDocument", Finding("doc", "Word 文档", advice=_PAGES)),
        ("Workbook", Finding("xls", "Excel 表格", advice=_PAGES)),
        ("PowerPoint Document", Finding("ppt", "PowerPoint 演示文稿", advice=_PAGES)),
    ):
        if name.encode("utf-16-le") in head:
            return finding
    return Finding("office", "Office 文档", advice=_PAGES)


def _text(head: bytes) -> Finding:
    sample = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if b"<svg" in sample[:1024] and sample.startswith(b"<"):
        return Finding("svg", "SVG 图片", picture=True, advice=_RESAVE)
    if sample.startswith((b"<!doctype html", b"<html", b"<script", b"<body", b"<head")):
        return Finding("html", "网页文件", advice="请截屏后上传。")
    if b"\x00" in head:
        return _UNKNOWN
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # a head may end inside a character
    except UnicodeDecodeError:
        return _UNKNOWN
    return _TEXT
