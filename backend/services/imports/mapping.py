"""A mapping: how the fields of a source become a guide. Written in TOML, see `docs/importing.md`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backend.domain.errors import InvalidInput
from backend.services.imports.targets import TARGETS, parts_of


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
        rules=tuple(_rule(item) for item in raw.get("rules", ())),
        warnings=tuple(_warning(item) for item in raw.get("warnings", ())),
    )


def _field(target: str, raw: Any) -> FieldRule:
    if isinstance(raw, str):
        raw = {"from": raw}
    if not isinstance(raw, dict) or (set(raw) - _RULE_KEYS) or ("from" in raw) == ("const" in raw):
        raise _wrong(f"{target} 的写法不对：需要 from 或 const 之一")
    sources = raw.get("from", ())
    each = raw.get("each")
    parts = parts_of(target)
    if each is not None and (parts is None or set(each) - parts):
        raise _wrong(f"{target} 的 each 中有不认识的项")
    if parts is not None and each is None and "from" in raw:
        raise _wrong(f"{target} 需要 each 说明它的各部分")
    return FieldRule(
        sources=(sources,) if isinstance(sources, str) else tuple(sources),
        const=raw.get("const"),
        default=raw.get("default"),
        values=raw.get("values"),
        split=_pattern(target, raw.get("split")),
        remove=_pattern(target, raw.get("remove")),
        skip=frozenset(raw.get("skip", ())),
        each={name: _field(f"{target}.{name}", rule) for name, rule in each.items()} if each else None,
    )


def _pattern(target: str, text: str | None) -> re.Pattern[str] | None:
    try:
        return re.compile(text) if text is not None else None
    except re.error as error:
        raise _wrong(f"{target} 的正则表达式有误") from error


def _rule(raw: Mapping[str, Any]) -> Rule:
    rule = Rule(raw.get("when", {}), tuple(raw.get("empty", ())), raw.get("set", {}))
    if unknown := {*rule.when, *rule.empty, *rule.set} - set(TARGETS):
        raise _wrong(f"[[rules]] 中有不认识的目标：{'、'.join(sorted(unknown))}")
    return rule


def _warning(raw: Mapping[str, Any]) -> WarningRule:
    try:
        return WarningRule(raw["when"], str(raw.get("field", "")), str(raw["text"]))
    except KeyError as error:
        raise _wrong("[[warnings]] 需要 when 和 text") from error


def _wrong(detail: str) -> InvalidInput:
    return InvalidInput(f"映射文件有误：{detail}。", field="mapping")
