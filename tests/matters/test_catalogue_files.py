"""Forms and samples that editors upload."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import aiohttp
import pytest

from backend.services.matters import MAX_GUIDE_FILE


def package(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name in names:
            file.writestr(name, "<x/>")
    return content.getvalue()


def form(content: bytes, name: str) -> aiohttp.FormData:
    data = aiohttp.FormData(quote_fields=False)  # as browsers send names
    data.add_field("file", io.BytesIO(content), filename=name)
    return data


@pytest.mark.parametrize(
    ("content", "suffix"),
    [
        (b"%PDF-1.7 ...", "pdf"),
        (b"\xff\xd8\xff\xe0 ...", "jpg"),
        (b"\x89PNG\r\n\x1a\n ...", "png"),
        (b"<!DOCTYPE html><p>x</p>", "html"),
        (package("[Content_Types].xml", "word/document.xml"), "docx"),
        (package("[Content_Types].xml", "xl/workbook.xml"), "xlsx"),
    ],
)
async def test_a_form_is_known_by_its_content_and_read_by_everybody(
    bureau: Any, http: aiohttp.ClientSession, content: bytes, suffix: str
) -> None:
    status, made = await bureau.editor.post("/api/catalogue/guide-files", data=form(content, "../申请 表.exe"))
    assert status == 201, made
    assert made["name"].startswith("申请_表-")
    assert made["name"].endswith(f".{suffix}")
    async with http.get(made["url"]) as response:
        assert (response.status, response.content_type) == (200, made["media_type"])
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert ("sandbox" in policy) is (suffix != "pdf")  # browsers leave the page of a sandboxed PDF empty
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert await response.read() == content
    assert (await bureau.editor.post("/api/catalogue/guide-files", data=form(content, "申请 表.pdf")))[1] == made


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"MZ....", 415),
        (b"GIF89a", 415),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415),
        (package("a.txt"), 415),
        (package("[Content_Types].xml", "word/document.xml", "word/vbaProject.bin"), 415),
        (b"PK\x03\x04 cut off", 415),
        (b"", 422),
        (b"%PDF-" + b"0" * MAX_GUIDE_FILE, 413),
    ],
)
async def test_what_a_guide_does_not_take(bureau: Any, content: bytes, status: int) -> None:
    assert (await bureau.editor.post("/api/catalogue/guide-files", data=form(content, "a.pdf")))[0] == status


async def test_the_same_name_with_another_content_is_another_file(bureau: Any) -> None:
    _, one = await bureau.editor.post("/api/catalogue/guide-files", data=form(b"%PDF-1", "a.pdf"))
    _, two = await bureau.editor.post("/api/catalogue/guide-files", data=form(b"%PDF-2", "a.pdf"))
    assert one["name"] != two["name"]
