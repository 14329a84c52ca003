"""What a mapping can aim at: the fields of a matter and its guide, and how their values are read."""

from __future__ import annotations

import hashlib
import re
import typing
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from datetime import date
from enum import StrEnum
from types import UnionType
from typing import Any

from backend.domain.errors import InvalidInput
from backend.domain.limits import names_no_limit, parse_limit
from backend.domain.matters import (
    Fee,
    Guide,
    LegalBasis,
    LimitUnit,
    MaterialRequirement,
    QuestionAnswer,
    Result,
    Step,
    TaskType,
    TimeLimit,
    Window,
)

#: Targets of the matter beside its guide.
OWN_TARGETS = ("code", "base_code", "department_code", "department_name", "area_code", "state")
TARGETS: tuple[str, ...] = (*OWN_TARGETS, *(f.name for f in fields(Guide)))

#: Targets that hold objects.
_OBJECTS: dict[str, type[Any]] = {
    "materials": MaterialRequirement,
    "basis": LegalBasis,
    "steps": Step,
    "fees": Fee,
    "windows": Window,
    "questions": QuestionAnswer,
    "result": Result,
}

MAX_TEXT = 20_000
MAX_NAME = 500
MAX_ITEMS = 500
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_DATE = re.compile(r"(\d{4})[-/.年]?(\d{1,2})[-/.月]?(\d{1,2})日?(?:[ T].*)?$")
_TRUE, _FALSE = {"是", "true", "1", "yes", "y", "支持", "有"}, {"否", "false", "0", "no", "n", "不支持", "无", ""}

#: Targets that hold one value: those of the guide that a rule may set.
PLAIN_TARGETS = frozenset(
    name for name, kind in typing.get_type_hints(Guide).items() if typing.get_origin(kind) is not tuple
) - frozenset(_OBJECTS)


def parts_of(target: str) -> set[str] | None:
    """The parts of a target that holds objects; None for a plain one."""
    kind = _OBJECTS.get(target)
    return {f.name for f in fields(kind)} if kind else None


def clean(value: object) -> str:
    """A value as text: composed, without control characters and outer spaces. Empty for None."""
    if value is None:
        return ""
    text = unicodedata.normalize("NFC", str(value))
    return _CONTROL.sub("", text).replace("\r\n", "\n").strip()


_HINTS = {target: typing.get_type_hints(kind) for target, kind in _OBJECTS.items()}


def build_object(target: str, values: Mapping[str, Any], position: int) -> Any:
    """One material, step, window … of texts. Raises `InvalidInput`."""
    kind = _OBJECTS[target]
    made: dict[str, Any] = {}
    for item in fields(kind):
        if item.name in values and values[item.name] not in (None, ""):
            made[item.name] = convert(_HINTS[target][item.name], values[item.name], f"{target}.{item.name}")
        elif item.default is MISSING and item.name != "key":
            raise InvalidInput(f"第 {position} 项缺少“{item.name}”。", field=target)
    if kind is MaterialRequirement and "key" not in made:
        made["key"] = material_key(made["name"])
    return kind(**made)


def material_key(name: str) -> str:
    """A key that stays the same when materials are reordered: it follows from the name."""
    return "m-" + hashlib.sha256(re.sub(r"\s+", "", name).encode()).hexdigest()[:10]


def convert(kind: Any, value: Any, target: str, *, task_type: TaskType | None = None) -> Any:
    """`value` as the annotated type of a target. Raises `InvalidInput` with a reason in words."""
    if isinstance(kind, UnionType):
        kind = next(choice for choice in kind.__args__ if choice is not type(None))
    if kind is TimeLimit:
        return _limit(clean(value), target, task_type)
    if kind is bool:
        return _bool(value, target)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        try:
            return kind(clean(value))
        except ValueError as error:
            raise InvalidInput("不在可选的范围内。", field=target) from error
    converter = _CONVERTERS.get(kind)
    if converter is None:
        raise TypeError(f"no converter for {target}")
    return converter(value, target)


def _text(value: Any, target: str) -> str:
    text = clean(value)
    limit = MAX_NAME if target.endswith("name") else MAX_TEXT
    if len(text) > limit:
        raise InvalidInput(f"文字太长（超过 {limit} 字）。", field=target)
    return text


def _integer(value: Any, target: str) -> int:
    match = re.fullmatch(r"(\d{1,6})(?:\.0+)?(?:次|份|页)?", unicodedata.normalize("NFKC", clean(value)))
    if match is None:
        raise InvalidInput("应当是不小于 0 的整数。", field=target)
    return int(match[1])


def _bool(value: Any, target: str) -> bool:
    if isinstance(value, bool):
        return value
    text = clean(value).lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise InvalidInput("应当是“是”或“否”。", field=target)


def _date(value: Any, target: str) -> date:
    match = _DATE.match(clean(value))
    try:
        if match:
            return date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        pass
    raise InvalidInput("不是有效的日期，请写成 2026-01-31 这样的形式。", field=target)


def _limit(text: str, target: str, task_type: TaskType | None) -> TimeLimit | None:
    if names_no_limit(text):
        return None
    legal_days = task_type is TaskType.LICENSING  # 行政许可法 art. 82
    plain_day = LimitUnit.WORKING_DAY if legal_days else LimitUnit.NATURAL_DAY
    try:
        return parse_limit(text, plain_day=plain_day)
    except InvalidInput as error:
        raise InvalidInput(error.detail, field=target) from error


_CONVERTERS: dict[Any, Callable[[Any, str], Any]] = {str: _text, int: _integer, date: _date}
