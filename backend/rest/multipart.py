"""What all uploads share: the parts of a multipart request one by one, and how a request says it was cut off."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from typing import Final

from aiohttp import BodyPartReader, web
from aiohttp.client_exceptions import ClientError
from aiohttp.http_exceptions import HttpProcessingError

from backend.domain.errors import InvalidInput, Malformed

#: Bytes of room for the boundaries, headers and fields around the files.
OVERHEAD: Final = 64 * 1024
_FIELD_BYTES: Final = 1024
_MAX_PARTS: Final = 8

#: What aiohttp raises where a multipart body ends early or breaks its grammar.
BROKEN: Final = (ValueError, RuntimeError, AssertionError, ClientError, HttpProcessingError, web.RequestPayloadError)


def incomplete() -> Malformed:
    """What is answered to a body that is `BROKEN`."""
    return Malformed("上传的内容不完整，请重试。")


async def file_parts(
    request: web.Request, files: Collection[str], fields: Collection[str], into: dict[str, str]
) -> AsyncIterator[tuple[str, BodyPartReader]]:
    """The file parts named in `files`, each to be read before the next is asked for; text parts named in `fields`
    are read `into` the mapping on the way.

    Raises `Malformed`, `InvalidInput` (a part that nobody asked for, or one that comes twice) and `BROKEN`.
    """
    seen: set[str] = set()
    reader = await request.multipart()
    for _ in range(_MAX_PARTS):
        part = await reader.next()
        if part is None:
            return
        if not isinstance(part, BodyPartReader) or part.name is None:
            raise Malformed("上传的内容应当是文件和几个文字字段。")
        if part.name in seen or part.name not in (*files, *fields):
            raise InvalidInput("上传的内容里有多余或重复的部分。", field=part.name[:64])
        seen.add(part.name)
        if part.name in files:
            yield part.name, part
        else:
            into[part.name] = await _read_field(part)
    raise Malformed("上传的内容里部分太多。")


async def _read_field(part: BodyPartReader) -> str:
    value = b""
    while chunk := await part.read_chunk(_FIELD_BYTES):
        value += chunk
        if len(value) > _FIELD_BYTES:
            raise InvalidInput("填写的内容太长。", field=part.name)
    return value.decode()
