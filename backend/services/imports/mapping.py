"""A mapping: how the fields of a source become a guide. Written in TOML, see `docs/importing.md`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backend.domain.errors import InvalidInput
from backend.services.imports.patterns import UnsafePattern, compile_safe
from backend.services.imports.targets import PLAIN_TARGETS, TARGETS, parts_of

MAX_MAPPING_NAME = 200


@dataclass(frozen=True, slots=True)
class FieldRule:
    """How one target is read: from the first of `sources` that holds something, or the constant.

    `remove` is cut out of texts, `skip` are texts that mean nothing, `split` makes a list of a text,
    `values` translates (an unknown value is a reject), `each` maps the parts of a list of objects.
    """

    sources: tuple[str, ...] = ()
    const: Any = None
    default: Any = None
    values: Mapping[str, Any] | None = None
    split: re.Pattern[str] | None = None
    remove: re.Pattern[str] | None = None
    skip: frozenset[str] = frozenset()
    each: Mapping[str, FieldRule] | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """Sets targets where all of `when` hold (target = value) and the targets in `empty` are empty."""

    when: Mapping[str, Any]
    empty: tuple[str, ...]
    set: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WarningRule:
    """A warning for every row whose source fields equal `when`."""

    when: Mapping[str, Any]
    field: str
    text: str


@dataclass(frozen=True, slots=True)
class ImportMapping:
    """A whole mapping."""

    name: str
    fields: Mapping[str, FieldRule]
    kind: str | None = None
    rules: tuple[Rule, ...] = ()
    warnings: tuple[WarningRule, ...] = field(default=())


_RULE_KEYS = {"from", "const", "default", "values", "split", "remove", "skip", "each"}


def load_mapping(path: Path) -> ImportMapping:
    """Read a mapping file. Raises `InvalidInput` naming what is wrong in it."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _wrong(f"{path.name} 无法读取：{error.strerror or '文件不存在'}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _wrong(f"{path.name} 不是有效的 TOML：{error}") from error
    return parse_mapping(raw)


def parse_mapping(raw: Mapping[str, Any]) -> ImportMapping:
    """The mapping that a parsed TOML document holds. Raises `InvalidInput`."""
    if unknown := set(raw) - {"name", "format", "fields", "rules", "warnings"}:
        raise _wrong(f"不认识的项：{'、'.join(sorted(unknown))}")
    if not isinstance(raw.get("name", ""), str) or len(raw.get("name", "")) > MAX_MAPPING_NAME:
        raise _wrong(f"name 应当是不超过 {MAX_MAPPING_NAME} 字的文字")
    if raw.get("format") not in (None, "jsonl", "csv"):
        raise _wrong("format 只能是 jsonl 或 csv")
    fields = raw.get("fields")
    if not isinstance(fields, dict) or not {"code", "name"} <= set(fields):
        raise _wrong("[fields] 至少要有 code 和 name")
    if unknown := set(fields) - set(TARGETS):
        raise _wrong(f"[fields] 中有不认识的目标：{'、'.join(sorted(unknown))}")
    return ImportMapping(
        name=str(raw.get("name", "")),
        fields={target: _field(target, rule) for target, rule in fields.items()},
        kind=raw.get("format"),
        rules=tuple(map(_rule, _tables("rules", raw.get("rules", [])))),
        warnings=tuple(map(_warning, _tables("warnings", raw.get("warnings", [])))),
    )


def _field(target: str, raw: Any) -> FieldRule:
    if isinstance(raw, str):
        raw = {"from": raw}
    if not isinstance(raw, dict) or (set(raw) - _RULE_KEYS) or ("from" in raw) == ("const" in raw):
        raise _wrong(f"{target} 的写法不对：需要 from 或 const 之一")
    each = _table(target, "each", raw.get("each")) if "each" in raw else None
    parts = parts_of(target)
    if each is not None and (parts is None or set(each) - parts):
        raise _wrong(f"{target} 的 each 中有不认识的项")
    if parts is not None and each is None and "from" in raw:
        raise _wrong(f"{target} 需要 each 说明它的各部分")
    return FieldRule(
        sources=_texts(target, "from", raw.get("from", [])),
        const=raw.get("const"),
        default=raw.get("default"),
        values=_table(target, "values", raw["values"]) if "values" in raw else None,
        split=_pattern(target, raw.get("split")),
        remove=_pattern(target, raw.get("remove")),
        skip=frozenset(_texts(target, "skip", raw.get("skip", []))),
        each={name: _field(f"{target}.{name}", rule) for name, rule in each.items()} if each else None,
    )


def _texts(target: str, key: str, raw: Any) -> tuple[str, ...]:
    texts = [raw] if isinstance(raw, str) else raw
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise _wrong(f"{target} 的 {key} 应当是文字，或者几个文字的列表")
    return tuple(texts)


def _table(target: str, key: str, raw: Any) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise _wrong(f"{target} 的 {key} 应当是一张表")
    return raw


def _tables(key: str, raw: Any) -> list[dict[str, Any]]:
    if not isinstance(raw, list) or not all(isinstance(item, dict) for item in raw):
        raise _wrong(f"{key} 应当写成 [[{key}]]")
    return raw


def _pattern(target: str, text: Any) -> re.Pattern[str] | None:
    if text is None:
        return None
    if not isinstance(text, str):
        raise _wrong(f"{target} 的正则表达式应当是文字")
    try:
        return compile_safe(text)
    except re.error as error:
        raise _wrong(f"{target} 的正则表达式有误") from error
    except UnsafePattern as error:
        raise _wrong(f"{target} 的正则表达式太复杂：“+”“*”最多用一次，不要嵌套，不要引用前面的分组") from error


def _rule(raw: Mapping[str, Any]) -> Rule:
    if unknown := set(raw) - {"when", "empty", "set"}:
        raise _wrong(f"[[rules]] 中有不认识的项：{'、'.join(sorted(unknown))}")
    when, set_ = (_table("[[rules]]", key, raw.get(key, {})) for key in ("when", "set"))
    rule = Rule(when, _texts("[[rules]]", "empty", raw.get("empty", [])), set_)
    if unknown := {*rule.when, *rule.empty, *rule.set} - set(TARGETS):
        raise _wrong(f"[[rules]] 中有不认识的目标：{'、'.join(sorted(unknown))}")
    if unknown := set(rule.set) - PLAIN_TARGETS:
        raise _wrong(f"[[rules]] 不能设置这些目标：{'、'.join(sorted(unknown))}")
    return rule


def _warning(raw: Mapping[str, Any]) -> WarningRule:
    try:
        when = _table("[[warnings]]", "when", raw["when"])
        return WarningRule(when, str(raw.get("field", "")), str(raw["text"]))
    except KeyError as error:
        raise _wrong("[[warnings]] 需要 when 和 text") from error


def _wrong(detail: str) -> InvalidInput:
    return InvalidInput(f"映射文件有误：{detail}。", field="mapping")
