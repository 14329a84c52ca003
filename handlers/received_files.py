"""Files that come as parts of a request: streamed into temporary files under a cap, nothing kept in memory."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import IO

from aiohttp import BodyPartReader, web
from aiohttp.client_exceptions import ClientError
from aiohttp.http_exceptions import HttpProcessingError

from backend.domain.errors import InvalidInput, Malformed, TooLarge, Unavailable, UnsupportedMedia

_CHUNK = 256 * 1024
_FIELD_BYTES = 1024
_MAX_PARTS = 8
#: Room for the boundaries and headers around the files.
_OVERHEAD = 64 * 1024


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
    if request.content_length is not None and request.content_length > sum(files.values()) + _OVERHEAD:
        raise _too_large(max(files.values()))
    received = Received()
    with ExitStack() as stack:
        try:
            async with asyncio.timeout(seconds):
                await _read_parts(request, received, files, fields, stack)
        except TimeoutError as error:
            raise Unavailable("网络太慢，文件没有传完，请稍后重试。") from error
        except (
            ValueError,
            RuntimeError,
            AssertionError,
            ClientError,
            HttpProcessingError,
            web.RequestPayloadError,
        ) as error:
            raise Malformed("上传的内容不完整，请重试。") from error
        yield received


async def _read_parts(
    request: web.Request,
    received: Received,
    files: Mapping[str, int],
    fields: Collection[str],
    stack: ExitStack,
) -> None:
    reader = await request.multipart()
    for _ in range(_MAX_PARTS):
        part = await reader.next()
        if part is None:
            return
        if not isinstance(part, BodyPartReader) or part.name is None:
            raise Malformed("上传的内容应当是文件和几个文字字段。")
        if part.name in files and part.name not in received.files:
            file = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115  # closed by the stack
            size = await _read_file(part, file, files[part.name])
            received.files[part.name] = ReceivedFile(part.filename or "", file, size)
        elif part.name in fields and part.name not in received.fields:
            received.fields[part.name] = await _read_field(part)
        else:
            raise InvalidInput("上传的内容里有多余或重复的部分。", field=part.name[:64])
    raise Malformed("上传的内容里部分太多。")


async def _read_file(part: BodyPartReader, file: IO[bytes], max_bytes: int) -> int:
    size = 0
    while chunk := await part.read_chunk(_CHUNK):
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(max_bytes)
        await asyncio.to_thread(file.write, chunk)
    file.seek(0)
    return size


async def _read_field(part: BodyPartReader) -> str:
    value = b""
    while chunk := await part.read_chunk(_FIELD_BYTES):
        value += chunk
        if len(value) > _FIELD_BYTES:
            raise InvalidInput("填写的内容太长。", field=part.name)
    return value.decode()


def _too_large(max_bytes: int) -> TooLarge:
    size = f"{max_bytes // 1024 // 1024} MB" if max_bytes >= 1024 * 1024 else f"{max_bytes // 1024} KB"
    return TooLarge(f"文件不能超过 {size}。", field="file")
