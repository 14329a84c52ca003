"""Documents and dataclasses.

One codec for the whole storage layer: dataclass → document with enums as their values and tuples as
arrays, and back through pydantic's validation, so that a document that does not fit is an error where it
is read. Personal data passes through `protect`/`reveal`, so that encrypting it is a change in one place.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from enum import Enum
from typing import Any, TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")

Document = dict[str, Any]


_adapters: dict[type[Any], TypeAdapter[Any]] = {}


def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]


def to_value(value: object) -> Any:
    """A value as BSON takes it. Dates and times of day become ISO text; moments stay moments."""
    match value:
        case Enum():
            return value.value
        case datetime() | None | str() | bool() | int() | float() | bytes():
            return value
        case date() | time():
            return value.isoformat()
        case Mapping():
            return {str(k): to_value(v) for k, v in value.items()}
        case tuple() | list():
            return [to_value(v) for v in value]
        case frozenset() | set():
            return sorted(to_value(v) for v in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_value(getattr(value, f.name)) for f in dataclasses.fields(value)}
    raise TypeError(f"cannot store a {type(value).__name__}")


def to_document(item: object) -> Document:
    """A dataclass as a document; its `id` becomes `_id`."""
    document: Document = to_value(item)
    if "id" in document:
        document = {"_id": document.pop("id"), **document}
    return document


def from_document(kind: type[T], document: Mapping[str, Any]) -> T:
    """The dataclass a document holds. Unknown members are ignored, so that a newer writer does no harm."""
    names = {f.name for f in dataclasses.fields(kind)}  # type: ignore[arg-type]  # always a dataclass
    data = {k: v for k, v in document.items() if k in names}
    if "id" in names and "_id" in document:
        data["id"] = document["_id"]
    item: T = _adapter(kind).validate_python(data)
    return item


def utc(moment: datetime) -> datetime:
    """MongoDB keeps milliseconds in UTC: the same moment as it will be read back."""
    return moment.astimezone(UTC).replace(microsecond=moment.microsecond // 1000 * 1000)
