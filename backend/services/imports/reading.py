"""One row of a source, through a mapping, into a draft of a matter, or the reason why not."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import UnionType
from typing import Any

from backend.domain.catalogue import MatterDraft, oddities
from backend.domain.codes import check_base_code, parse_matter_code
from backend.domain.errors import InvalidInput
from backend.domain.matters import Guide, Level, MatterState, TaskType
from backend.services.imports.mapping import FieldRule, ImportMapping
from backend.services.imports.rows import Row
from backend.services.imports.targets import MAX_ITEMS, MAX_TEXT, OWN_TARGETS, build_object, clean, convert, parts_of

_LEVEL_OF_DIGIT = dict(zip("123456", Level, strict=True))


@dataclass(frozen=True, slots=True)
class RowNote:
    """What is to be said about a row: a warning, or why it was rejected."""

    row: int
    code: str | None
    field: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class ReadRow:
    """A row after reading: a draft with its warnings, or a reject."""

    number: int
    draft: MatterDraft | None
    warnings: tuple[RowNote, ...] = ()
    reject: RowNote | None = None


def read_matter(row: Row, mapping: ImportMapping) -> ReadRow:
    """The matter a row describes. Never raises for what a row holds."""
    code = None
    if row.error is not None:
        return ReadRow(row.number, None, reject=RowNote(row.number, None, None, row.error))
    try:
        code = clean(_raw(row.values, mapping.fields["code"])) or None
        draft, notes = _draft(row.values, mapping)
    except InvalidInput as error:
        return ReadRow(row.number, None, reject=RowNote(row.number, code, error.field, error.detail))
    warnings = tuple(RowNote(row.number, draft.code, field, text) for field, text in notes)
    return ReadRow(row.number, draft, warnings)


def _draft(values: Mapping[str, Any], mapping: ImportMapping) -> tuple[MatterDraft, list[tuple[str | None, str]]]:
    notes: list[tuple[str | None, str]] = [
        (rule.field or None, rule.text)
        for rule in mapping.warnings
        if all(_at(values, path) == wanted for path, wanted in rule.when.items())
    ]
    texts = {target: _raw(values, rule) for target, rule in mapping.fields.items()}
    try:
        code = parse_matter_code(clean(texts["code"]))
    except InvalidInput as error:
        raise InvalidInput(error.detail, field="code") from error
    notes.extend(("code", text) for text in code.warnings)
    base_code = _base_code(texts, code.base_code, notes)
    made = _guide_values(texts, mapping, _LEVEL_OF_DIGIT.get(code.level_digit))
    guide = Guide(**made)
    notes.extend((None, text) for text in oddities(guide))
    department_name = clean(texts.get("department_name"))
    if not department_name:
        raise InvalidInput("没有写明部门名称。", field="department_name")
    draft = MatterDraft(
        code=code.code,
        base_code=base_code,
        department_code=clean(texts.get("department_code")) or code.uscc,
        department_name=convert(str, department_name, "department_name"),
        area_code=_area_code(clean(texts.get("area_code"))),
        guide=guide,
        warnings=tuple(text for _, text in notes),
        state=convert(MatterState, texts["state"], "state") if texts.get("state") else None,
    )
    return draft, notes


def _base_code(texts: Mapping[str, Any], own: str, notes: list[tuple[str | None, str]]) -> str:
    text = clean(texts.get("base_code"))
    if not text:
        return own
    try:
        base_code = check_base_code(text)
    except InvalidInput as error:
        raise InvalidInput(error.detail, field="base_code") from error
    if base_code != own:
        notes.append(("base_code", "基本编码与事项编码第 20 到 31 位不一致。"))
    return base_code


def _area_code(text: str) -> str:
    if not (text.isascii() and text.isdigit() and len(text) in (2, 4, 6, 9, 12)):
        raise InvalidInput("行政区划代码应为 2、4、6、9 或 12 位数字。", field="area_code")
    return text


@cache
def _guide_hints() -> dict[str, Any]:
    return typing.get_type_hints(Guide)


_NEEDED = {"name": "事项名称", "task_type": "事项类型", "level": "行使层级", "project_type": "办件类型"}


def _guide_values(texts: Mapping[str, Any], mapping: ImportMapping, level: Level | None) -> dict[str, Any]:
    made: dict[str, Any] = {}
    task_type: TaskType | None = None
    order = sorted(texts, key=lambda target: target != "task_type")  # limits are read by its rules
    for target in order:
        if target in OWN_TARGETS:
            continue
        rule, raw = mapping.fields[target], texts[target]
        value = _value(target, raw, rule, task_type)
        if target == "task_type":
            task_type = value
        if value is not None:
            made[target] = value
    if level is not None:
        made.setdefault("level", level)
    for item in mapping.rules:
        holds = all(made.get(target) == wanted for target, wanted in item.when.items())
        if holds and all(not made.get(target) for target in item.empty):
            for target, value in item.set.items():
                made[target] = convert(_guide_hints()[target], value, target)
    for target, label in _NEEDED.items():
        if not made.get(target):
            raise InvalidInput(f"没有写明{label}。", field=target)
    return made


def _value(target: str, raw: Any, rule: FieldRule, task_type: TaskType | None) -> Any:
    """The converted value of a guide's target, None when the row says nothing."""
    kind = _guide_hints()[target]
    if isinstance(kind, UnionType):
        kind = next(choice for choice in kind.__args__ if choice is not type(None))
    if typing.get_origin(kind) is tuple:
        return _tuple(target, typing.get_args(kind)[0], raw, rule)
    if raw in (None, "", []):
        return None
    if parts_of(target) is not None:
        return _object(target, raw, rule, 1)
    return convert(kind, raw, target, task_type=task_type)


def _tuple(target: str, kind: Any, raw: Any, rule: FieldRule) -> tuple[Any, ...] | None:
    items = raw if isinstance(raw, list) else [raw] if raw not in (None, "") else []
    if len(items) > MAX_ITEMS:
        raise InvalidInput(f"数量太多（超过 {MAX_ITEMS} 项）。", field=target)
    if parts_of(target) is None:
        made = [convert(kind, item, target) for item in items if clean(item)]
        return tuple(dict.fromkeys(made)) or None
    objects = [_object(target, item, rule, n) for n, item in enumerate(items, 1) if item not in (None, "", {})]
    return tuple(_distinct(objects)) or None if target == "materials" else tuple(objects) or None


def _object(target: str, raw: Any, rule: FieldRule, position: int) -> Any:
    parts = {name: _part(raw, part) for name, part in (rule.each or {}).items()}
    return build_object(target, parts, position)


def _part(raw: Any, rule: FieldRule) -> Any:
    if rule.sources == (".",):
        return _shaped(raw, rule)
    return _raw(raw if isinstance(raw, dict) else {}, rule)


def _distinct(materials: list[Any]) -> list[Any]:
    """Materials with one key each: a name that is listed twice is numbered."""
    seen: dict[str, int] = {}
    result = []
    for material in materials:
        seen[material.key] = count = seen.get(material.key, 0) + 1
        result.append(material if count == 1 else replace(material, key=f"{material.key}-{count}"))
    return result


def _raw(values: Mapping[str, Any], rule: FieldRule) -> Any:
    """What the source says for a rule: the first source that holds something, shaped and translated."""
    if rule.const is not None:
        return rule.const
    for path in rule.sources:
        found = _shaped(_at(values, path), rule)
        if found not in (None, "", []):
            return found
    return rule.default


def _at(values: Mapping[str, Any], path: str) -> Any:
    found: Any = values
    for name in path.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(name)
    return found


def _shaped(value: Any, rule: FieldRule) -> Any:
    if isinstance(value, str):
        if (rule.remove or rule.split) and len(value) > MAX_TEXT:
            raise InvalidInput(f"文字太长（超过 {MAX_TEXT} 字）。", field=rule.sources[0] if rule.sources else None)
        value = rule.remove.sub("", value).strip() if rule.remove else value.strip()
        if value in rule.skip:
            return None
        if rule.split is not None:
            value = [part.strip() for part in rule.split.split(value) if part and part.strip()]
    if isinstance(value, list) and rule.skip:
        value = [item for item in value if not isinstance(item, str) or item not in rule.skip]
    if rule.values is not None and value not in (None, ""):
        return [_translated(v, rule) for v in value] if isinstance(value, list) else _translated(value, rule)
    return value


def _translated(value: Any, rule: FieldRule) -> Any:
    assert rule.values is not None
    try:
        return rule.values[str(value)]
    except KeyError as error:
        raise InvalidInput("这个值不在映射的对照表中。", field=rule.sources[0] if rule.sources else None) from error
