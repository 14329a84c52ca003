"""Receives one photograph over HTTP: streamed to a temporary file under a byte cap, nothing kept in memory.

Temporary files are held under a lock by the process that writes them. A process that is killed loses its
locks, so whoever sweeps the folder can tell what is left over from what is being written.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog
from aiohttp import BodyPartReader, web

from backend.domain.errors import InvalidInput, Unavailable, UnsupportedMedia
from backend.rest import multipart
from uploads.errors import PhotoTooLarge
from uploads.sniff import HEAD_BYTES, require_photo

log = structlog.get_logger()

_CHUNK: Final = HEAD_BYTES
_WRITE: Final = 512 * 1024


class UploadTooSlow(Unavailable):
    """The photograph did not arrive in time; `retry_after` seconds say when to try again."""

    code = "upload-too-slow"
    title = "网络太慢，照片没有传完"
    retry_after = 5


@dataclass(slots=True)
class ReceivedPhoto:
    """One request's file and fields. `path` is there until the context of `receive` ends; `filename` is what
    the client called the file."""

    path: Path
    fields: dict[str, str] = field(default_factory=dict)
    filename: str = ""
    content_sha256: str = ""
    size: int = 0


@asynccontextmanager
async def receive(
    request: web.Request, folder: Path, *, max_bytes: int, fields: frozenset[str], seconds: float = 180
) -> AsyncIterator[ReceivedPhoto]:
    """Receive the part `file` and the text `fields` of a multipart request.

    Refuses as soon as it is known: by the declared length, by the first bytes of the file, by the cap.
    Raises `UnsupportedMedia`, `Malformed`, `InvalidInput`, `PhotoTooLarge`, `UploadTooSlow`,
    `Unavailable` (no room on the disk), and what `require_photo` raises.
    """
    if request.content_type != "multipart/form-data":
        raise UnsupportedMedia("请以 multipart/form-data 上传照片。")
    if request.content_length is not None and request.content_length > max_bytes + multipart.OVERHEAD:
        raise _too_large(max_bytes)
    descriptor, path = await asyncio.to_thread(_create, folder)
    received = ReceivedPhoto(path)
    try:
        try:
            async with asyncio.timeout(seconds):
                await _read_parts(request, descriptor, received, max_bytes, fields)
        except TimeoutError as error:
            raise UploadTooSlow from error
        except multipart.BROKEN as error:
            raise multipart.incomplete() from error
        except OSError as error:
            if isinstance(error, ConnectionError):
                raise
            log.exception("upload_not_written")
            raise Unavailable("暂时无法接收照片，请稍后再试。") from error
        yield received
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def sweep(folder: Path) -> int:
    """Delete temporary files whose process is gone; how many that were. Makes the folder."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    count = 0
    for path in folder.iterdir():
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            continue  # another sweep was faster
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
            count += 1
        except OSError:
            pass  # locked: it is being written
        finally:
            os.close(descriptor)
    return count


def _create(folder: Path) -> tuple[int, Path]:
    while True:
        descriptor, name = tempfile.mkstemp(dir=folder, suffix=".upload")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor, Path(name)
        os.close(descriptor)  # a sweep came between the two lines


async def _read_parts(
    request: web.Request, descriptor: int, received: ReceivedPhoto, max_bytes: int, fields: frozenset[str]
) -> None:
    seen_file = False
    async for _, part in multipart.file_parts(request, ("file",), fields, received.fields):
        seen_file = True
        received.filename = part.filename or ""
        await _read_file(part, descriptor, received, max_bytes)
    if not seen_file:
        raise InvalidInput("没有收到照片文件。", field="file")


async def _read_file(part: BodyPartReader, descriptor: int, received: ReceivedPhoto, max_bytes: int) -> None:
    digest = hashlib.sha256()
    head, waiting, judged = b"", bytearray(), False
    while chunk := await part.read_chunk(_CHUNK):
        received.size += len(chunk)
        if received.size > max_bytes:
            raise _too_large(max_bytes)
        digest.update(chunk)
        if not judged:
            head += chunk
            if judged := len(head) >= HEAD_BYTES:
                require_photo(head)
        waiting += chunk
        if len(waiting) >= _WRITE:
            await asyncio.to_thread(_write, descriptor, bytes(waiting))
            waiting.clear()
    if not judged:
        require_photo(head)
    await asyncio.to_thread(_write, descriptor, bytes(waiting))
    received.content_sha256 = digest.hexdigest()


def _write(descriptor: int, content: bytes) -> None:
    with memoryview(content) as view:
        written = 0
        while written < len(view):
            written += os.write(descriptor, view[written:])


def _too_large(max_bytes: int) -> PhotoTooLarge:
    return PhotoTooLarge(f"照片文件不能超过 {max_bytes / 1024 / 1024:g} MB，请压缩后上传。")
