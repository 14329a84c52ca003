"""What handlers take and give: base models and common types."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
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


V = TypeVar("V")


class Page(BaseModel, Generic[V]):
    """One page of a list. `next_cursor` is null on the last one."""

    items: list[V]
    next_cursor: str | None = None


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
        raise InvalidInput("翻页标记无效，请从第一页重新开始。", field="cursor") from error
    if (
        not isinstance(parts, list)
        or len(parts) != len(kinds)
        or not all(isinstance(part, kind) for part, kind in zip(parts, kinds, strict=True))
    ):
        raise InvalidInput("翻页标记无效，请从第一页重新开始。", field="cursor")
    return tuple(parts)
