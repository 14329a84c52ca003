"""Files that come as parts of a request: streamed into temporary files under a cap, nothing kept in memory."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import IO

from aiohttp import BodyPartReader, web

from backend.domain.errors import TooLarge, Unavailable, UnsupportedMedia
from backend.rest import multipart

_CHUNK = 256 * 1024


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """A file as it was sent, open at its beginning. `name` is what the sender calls it: not to be trusted."""

    name: str
    content: IO[bytes]
    size: int


@dataclass(slots=True)
class Received:
    """The parts of one request by their names."""

    files: dict[str, ReceivedFile] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)


@asynccontextmanager
async def receive(
    request: web.Request, *, files: Mapping[str, int], fields: Collection[str] = (), seconds: float = 300
) -> AsyncIterator[Received]:
    """Receive the parts `files` (name → cap in bytes) and the text `fields` of a multipart request.

    Raises `UnsupportedMedia`, `Malformed`, `InvalidInput`, `TooLarge` and `Unavailable`.
    """
    if request.content_type != "multipart/form-data":
        raise UnsupportedMedia("请以 multipart/form-data 上传文件。")
    if request.content_length is not None and request.content_length > sum(files.values()) + multipart.OVERHEAD:
        raise _too_large(max(files.values()))
    received = Received()
    with ExitStack() as stack:
        try:
            async with asyncio.timeout(seconds):
                await _read_parts(request, received, files, fields, stack)
        except TimeoutError as error:
            raise Unavailable("网络太慢，文件没有传完，请稍后重试。") from error
        except multipart.BROKEN as error:
            raise multipart.incomplete() from error
        yield received


async def _read_parts(
    request: web.Request,
    received: Received,
    files: Mapping[str, int],
    fields: Collection[str],
    stack: ExitStack,
) -> None:
    async for name, part in multipart.file_parts(request, files, fields, received.fields):
        file = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115  # closed by the stack
        size = await _read_file(part, file, files[name])
        received.files[name] = ReceivedFile(part.filename or "", file, size)


async def _read_file(part: BodyPartReader, file: IO[bytes], max_bytes: int) -> int:
    size = 0
    while chunk := await part.read_chunk(_CHUNK):
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(max_bytes)
        await asyncio.to_thread(file.write, chunk)
    file.seek(0)
    return size


def _too_large(max_bytes: int) -> TooLarge:
    size = f"{max_bytes // 1024 // 1024} MB" if max_bytes >= 1024 * 1024 else f"{max_bytes // 1024} KB"
    return TooLarge(f"文件不能超过 {size}。", field="file")
