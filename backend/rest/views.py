"""What handlers take and give: base models and common types."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Generic, TypeVar
from zoneinfo import ZoneInfo

import orjson
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, StringConstraints, WithJsonSchema

from backend.domain.errors import InvalidInput

SHANGHAI = ZoneInfo("Asia/Shanghai")


def _local(moment: datetime) -> str:
    return moment.astimezone(SHANGHAI).isoformat(timespec="milliseconds")


Moment = Annotated[
    datetime,
    PlainSerializer(_local, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-03-02T09:00:00.000+08:00"]}),
]
"""A moment: RFC 3339 with +08:00 outside."""

UUID_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
Id = Annotated[str, StringConstraints(pattern=UUID_PATTERN), Field(examples=["01919c6e-7f2b-7c3a-9a51-2f6d1c0b7e11"])]
"""An identifier: UUID as lower-case text."""

Line = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""A line of text: no control characters, no line ends."""
Text = Annotated[str, StringConstraints(max_length=2000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$")]
"""A text of several lines: of the control characters only tab and line feed."""
MaterialKey = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""A material requirement's key in the guide."""


class View(BaseModel):
    """Base of what is answered. Read from a dataclass with `SomeView.model_validate(item)`."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


class Body(BaseModel):
    """Base of what is sent. Unknown members are refused, so that a typo is not a silent loss."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_max_length=20_000)


class Query(BaseModel):
    """Base of query strings."""

    model_config = ConfigDict(extra="ignore", frozen=True, str_max_length=2_000)


class PageQuery(Query):
    """Cursor paging: pass the `next_cursor` of the last answer to go on."""

    limit: int = Field(default=20, ge=1, le=100, description="一页的数量")
    cursor: str | None = Field(default=None, max_length=500, description="上一页返回的 next_cursor")


T = TypeVar("T")
V = TypeVar("V")


class Page(BaseModel, Generic[V]):
    """One page of a list. `next_cursor` is null on the last one."""

    items: list[V]
    next_cursor: str | None = None


_BAD_CURSOR = "翻页标记无效，请从第一页重新开始。"


def page_of(
    found: Sequence[T], limit: int, view: Callable[[T], V], place: Callable[[T], tuple[str | datetime, ...]]
) -> Page[V]:
    """The first `limit` of `found` as a page. One more than `limit` was asked for: it tells that there are more.

    `place` gives the values by which the list is sorted: where the next page goes on.
    """
    shown = found[:limit]
    following = None
    if len(found) > limit:
        parts = place(shown[-1])
        following = encode_cursor(*(part.isoformat() if isinstance(part, datetime) else part for part in parts))
    return Page(items=[view(item) for item in shown], next_cursor=following)


def encode_cursor(*parts: str | int | float | None) -> str:
    """An opaque cursor of the last item's sort values."""
    return base64.urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")


def decode_cursor(cursor: str | None, *kinds: type) -> tuple[object, ...] | None:
    """The sort values in `cursor`, checked to be of `kinds`; None for no cursor.

    Raises `InvalidInput` for a cursor that is not ours.
    """
    if cursor is None:
        return None
    try:
        parts = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error) as error:
        raise InvalidInput(_BAD_CURSOR, field="cursor") from error
    if (
        not isinstance(parts, list)
        or len(parts) != len(kinds)
        or not all(isinstance(part, kind) for part, kind in zip(parts, kinds, strict=True))
    ):
        raise InvalidInput(_BAD_CURSOR, field="cursor")
    return tuple(parts)


def id_cursor(cursor: str | None) -> str | None:
    """The id (or other text) in a cursor. Raises `InvalidInput` for one that is not ours."""
    parts = decode_cursor(cursor, str)
    return str(parts[0]) if parts else None


def moment_cursor(cursor: str | None) -> tuple[datetime, str] | None:
    """The (moment, id) in a cursor. Raises `InvalidInput` for one that is not ours."""
    parts = decode_cursor(cursor, str, str)
    if parts is None:
        return None
    try:
        moment = datetime.fromisoformat(str(parts[0])).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(_BAD_CURSOR, field="cursor") from error
    return moment, str(parts[1])
