"""Hands out stored photographs: entity tags, ranges, the reader's own cache; the same for every place of them."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from backend.domain.errors import RangeNotSatisfiable
from backend.rest.context import REQUEST_ID
from backend.rest.problems import problem_of, problem_response


@dataclass(frozen=True, slots=True)
class StoredPhoto:
    """A file by the digest of its content, with its size in bytes and the name under which it is saved."""

    sha256: str
    size: int
    media_type: str
    filename: str


async def serve(
    request: web.Request, photo: StoredPhoto, content: Callable[[int, int], Awaitable[bytes]]
) -> web.StreamResponse:
    """The photograph, a range of it, or the word that the reader has it already.

    `content` reads from the first byte to the second, exclusive, and is called only when something is sent.
    """
    headers = {**_headers(photo, photo.sha256), "Accept-Ranges": "bytes"}
    if _matches(request.headers.get("If-None-Match"), headers["ETag"]):
        return web.Response(status=304, headers=headers)
    try:
        wanted = _range(request, headers["ETag"], photo.size)
    except RangeNotSatisfiable as error:
        problem = problem_of(error, request.get(REQUEST_ID))
        return problem_response(problem, {"Content-Range": f"bytes */{photo.size}"})
    start, end = wanted or (0, photo.size)
    body = await content(start, end)
    if wanted is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{photo.size}"
    return web.Response(
        status=200 if wanted is None else 206, body=body, headers=headers, content_type=photo.media_type
    )


async def serve_thumbnail(
    request: web.Request, photo: StoredPhoto, thumbnail: Callable[[], Awaitable[bytes]]
) -> web.StreamResponse:
    """The photograph's thumbnail, or the word that the reader has it already."""
    headers = _headers(photo, f"{photo.sha256}-thumbnail")
    if _matches(request.headers.get("If-None-Match"), headers["ETag"]):
        return web.Response(status=304, headers=headers)
    return web.Response(body=await thumbnail(), headers=headers, content_type=photo.media_type)


def _headers(photo: StoredPhoto, tag: str) -> dict[str, str]:
    return {
        "ETag": f'"{tag}"',
        # Kept by the reader's own browser, but asked for each time: who may read may change.
        "Cache-Control": "private, no-cache",
        "Content-Disposition": f'inline; filename="{photo.filename}"',
        "X-Content-Type-Options": "nosniff",
    }


def _matches(header: str | None, etag: str) -> bool:
    """Whether an If-None-Match names `etag` (weak comparison, RFC 9110, 13.1.2)."""
    if header is None:
        return False
    return header.strip() == "*" or etag in re.findall(r'"[^"]*"', header)


def _range(request: web.Request, etag: str, size: int) -> tuple[int, int] | None:
    """The bytes asked for, as (start, end exclusive); None for all of them.

    What is malformed, of several ranges, or conditional on another version is ignored, as RFC 9110 (14.2)
    has it. Raises `RangeNotSatisfiable` beyond the end.
    """
    match = re.fullmatch(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*", request.headers.get("Range", ""), re.IGNORECASE)
    if match is None or request.headers.get("If-Range", etag).strip() != etag:
        return None
    first, last = match.groups()
    if not first and not last:
        return None
    if not first:
        start, end = max(0, size - int(last)), size
        if not int(last):
            raise RangeNotSatisfiable
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < int(first):
            return None
    if start >= size:
        raise RangeNotSatisfiable
    return start, end
