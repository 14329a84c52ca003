"""Forms and samples that editors upload: known by content, kept under a name that says what they hold.

A file is never overwritten: old versions of guides, and the cases on them, go on naming it.
"""

from __future__ import annotations

import hashlib
import io
import re
import unicodedata
import zipfile
from contextlib import suppress
from pathlib import PurePath

from backend.domain.access import Actor, Permission, require
from backend.domain.errors import InvalidInput, TooLarge, UnsupportedMedia
from backend.services.audit import Audit
from backend.services.matters import MAX_GUIDE_FILE
from backend.storage.kept import AlreadyThere
from backend.storage.matters import GuideFile, MatterStore

AGGREGATE = "guide_file"
_OFFICE = "application/vnd.openxmlformats-officedocument"
#: Suffix → media type.
MEDIA_TYPES = {
    "pdf": "application/pdf",
    "docx": f"{_OFFICE}.wordprocessingml.document",
    "xlsx": f"{_OFFICE}.spreadsheetml.sheet",
    "jpg": "image/jpeg",
    "png": "image/png",
    "html": "text/html",
}
_UNWANTED = re.compile(r"[^\w.()（）-]+")
_LONGEST_STEM = 80
#: More entries than an office document has.
_MAX_ENTRIES = 5000


class GuideFiles:
    """Takes in what guides refer to."""

    def __init__(self, *, matters: MatterStore, audit: Audit) -> None:
        self._matters = matters
        self._audit = audit

    def check(self, actor: Actor) -> None:
        """Raises `Forbidden` for who may not: before anything is received."""
        require(actor, Permission.EDIT_CATALOGUE)

    async def put(self, actor: Actor, name: str, content: bytes) -> GuideFile:
        """Keep a form or a sample. `name` is what the sender calls it; the kept one follows from it and from
        the content. The same file again is the same name. Raises `UnsupportedMedia`, `TooLarge`,
        `InvalidInput`."""
        require(actor, Permission.EDIT_CATALOGUE)
        if len(content) > MAX_GUIDE_FILE:
            raise TooLarge(f"附件不能超过 {MAX_GUIDE_FILE // 1024 // 1024} MB。", field="file")
        if not content:
            raise InvalidInput("文件是空的。", field="file")
        suffix = suffix_of(content)
        if suffix is None:
            raise UnsupportedMedia("只能上传 PDF、Word（docx）、Excel（xlsx）、JPEG、PNG 或 HTML 文件。", field="file")
        digest = hashlib.sha256(content).hexdigest()
        file = GuideFile(f"{_stem(name)}-{digest[:10]}.{suffix}", MEDIA_TYPES[suffix], digest, content)
        with suppress(AlreadyThere):  # the same content under the same name
            await self._audit.save(
                actor,
                AGGREGATE,
                file.name,
                "created",
                version=1,
                changes={"bytes": len(content), "sha256": digest},
                write=lambda session: self._matters.add_file(file, session),
            )
        return file


def _stem(name: str) -> str:
    plain = PurePath(unicodedata.normalize("NFC", name).replace("\\", "/")).name
    stem = _UNWANTED.sub("_", plain.rsplit(".", 1)[0]).strip("._")
    return stem[:_LONGEST_STEM] or "file"


def suffix_of(content: bytes) -> str | None:
    """What a file is, by its content alone; None for what a guide does not take."""
    if content.startswith(b"\xff\xd8\xff"):
        return "jpg"
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if b"%PDF-" in content[:1024]:
        return "pdf"
    if content.startswith(b"PK\x03\x04"):
        return _office(content)
    head = content.removeprefix(b"\xef\xbb\xbf").lstrip()[:64].lower()
    if head.startswith((b"<!doctype html", b"<html")):
        try:
            content.decode("utf-8")
        except UnicodeDecodeError:
            return None
        return "html"
    return None


def _office(content: bytes) -> str | None:
    """A Word or Excel package by the names in its directory; nothing is unpacked. Macros are not taken."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as package:
            names = {info.filename for info in package.infolist()[:_MAX_ENTRIES]}
    except (zipfile.BadZipFile, ValueError, NotImplementedError, UnicodeDecodeError):
        return None
    if "[Content_Types].xml" not in names or any(name.endswith("vbaProject.bin") for name in names):
        return None
    return "docx" if "word/document.xml" in names else "xlsx" if "xl/workbook.xml" in names else None
