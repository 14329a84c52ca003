"""What keeps a draft of a guide from being published, and what a reader will miss in it.

A guide is checked as a whole: what is missing, what contradicts itself, what points to nothing. Sources:
the fields that the national 实施清单 makes obligatory, and 行政许可法 art. 30 (materials, limits, fees and
places are to be shown).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from backend.domain.guide_drafts import GuideDraft
from backend.domain.matters import LimitUnit, ProjectType, TimeLimit


class Severity(StrEnum):
    BLOCKING = "blocking"
    ADVICE = "advice"


@dataclass(frozen=True, slots=True)
class GuideProblem:
    """One finding. `field` is the path in the guide ("materials.0.name"), `detail` a Chinese sentence."""

    field: str
    code: str
    detail: str
    severity: Severity = Severity.BLOCKING


def problems_of(draft: GuideDraft, *, known_files: Collection[str], today: date) -> tuple[GuideProblem, ...]:
    """Everything that is to be said about `draft`, in the order of a form.

    `known_files` are those of the named forms and samples that exist; `today` is the legal day.
    """
    return (*_needed(draft), *_parts(draft, known_files), *_limits(draft), *_reach(draft, today), *_advice(draft))


def files_of(draft: GuideDraft) -> set[str]:
    """The guide files that a draft names."""
    named = {name for m in draft.materials for name in (m.blank_form, m.filled_sample) if name}
    return named | ({draft.result.sample} if draft.result is not None and draft.result.sample else set())


def _needed(draft: GuideDraft) -> Iterator[GuideProblem]:
    for field, label in (
        ("name", "事项名称"),
        ("task_type", "事项类型"),
        ("level", "行使层级"),
        ("project_type", "办件类型"),
    ):
        value = getattr(draft, field)
        if not (value.strip() if isinstance(value, str) else value):
            yield _missing(field, f"请填写{label}。")


def _parts(draft: GuideDraft, known_files: Collection[str]) -> Iterator[GuideProblem]:
    keys = Counter(material.key for material in draft.materials)
    for at, material in enumerate(draft.materials):
        path = f"materials.{at}"
        if not material.name.strip():
            yield _missing(f"{path}.name", f"第 {at + 1} 份材料没有写名称。")
        if not material.key.strip():
            yield _missing(f"{path}.key", f"第 {at + 1} 份材料没有标识。")
        elif keys[material.key] > 1:
            yield GuideProblem(f"{path}.key", "duplicate", f"第 {at + 1} 份材料的标识与另一份相同。")
        for part, label in (("blank_form", "空白表格"), ("filled_sample", "填写样例")):
            name = getattr(material, part)
            if name and name not in known_files:
                yield GuideProblem(f"{path}.{part}", "unknown-file", f"第 {at + 1} 份材料的{label}还没有上传。")
    for list_name, label, parts in (
        ("basis", "设定依据", {"title": "名称"}),
        ("steps", "办理步骤", {"name": "名称"}),
        ("fees", "收费项目", {"name": "名称", "standard": "收费标准"}),
        ("windows", "办理窗口", {"name": "名称", "address": "地址"}),
        ("questions", "常见问题", {"question": "问题", "answer": "回答"}),
    ):
        for at, item in enumerate(getattr(draft, list_name)):
            for part, what in parts.items():
                if not getattr(item, part).strip():
                    yield _missing(f"{list_name}.{at}.{part}", f"第 {at + 1} 个{label}没有写{what}。")
    if draft.result is not None:
        if not draft.result.name.strip():
            yield _missing("result.name", "办理结果没有写名称。")
        if draft.result.sample and draft.result.sample not in known_files:
            yield GuideProblem("result.sample", "unknown-file", "办理结果的样本还没有上传。")


def _limits(draft: GuideDraft) -> Iterator[GuideProblem]:
    for field, label, limit in (
        ("statutory_limit", "法定时限", draft.statutory_limit),
        ("promised_limit", "承诺时限", draft.promised_limit),
    ):
        if limit is None:
            continue
        if limit.unit is LimitUnit.INSTANT:
            if limit.amount or limit.extended_amount is not None:
                yield _contradiction(field, f"{label}写了当场办结，就不能再写天数。")
        elif limit.amount < 1:
            yield _contradiction(f"{field}.amount", f"{label}的数字应当大于 0。")
        elif limit.extended_amount is not None and limit.extended_amount <= limit.amount:
            yield _contradiction(f"{field}.extended_amount", f"{label}延长后应当比原来长。")
    if draft.project_type is ProjectType.PROMISED and draft.promised_limit is None:
        yield _missing("promised_limit", "承诺件要写明承诺时限。")
    if (
        draft.project_type is ProjectType.INSTANT
        and draft.promised_limit is not None
        and draft.promised_limit.unit is not LimitUnit.INSTANT
    ):
        yield _contradiction("promised_limit", "即办件应当当场办结，与承诺时限不一致。")
    if is_longer(draft.promised_limit, draft.statutory_limit):
        yield _contradiction("promised_limit", "承诺时限比法定时限长。")


def _reach(draft: GuideDraft, today: date) -> Iterator[GuideProblem]:
    if draft.visits > 0 and not (draft.visit_reason or "").strip():
        yield GuideProblem("visit_reason", "required", f"需要到现场 {draft.visits} 次，请写明原因。")
    if draft.project_type is not ProjectType.INFORMATION and not draft.online and not draft.windows:
        yield _missing("windows", "不能网上办理的事项，请写明到哪里办理。")
    if draft.project_type is ProjectType.INFORMATION and draft.online and not (draft.online_address or "").strip():
        yield _contradiction("online", "只供查询了解的事项不能在这里网上办理；能在别的网站办理的，请写明网址。")
    if draft.effective_to is not None:
        if draft.effective_from is not None and draft.effective_to < draft.effective_from:
            yield _contradiction("effective_to", "停止办理的日期早于生效日期。")
        elif draft.effective_to < today:
            yield _contradiction("effective_to", "停止办理的日期已经过去。")


def _advice(draft: GuideDraft) -> Iterator[GuideProblem]:
    for field, detail in (
        ("summary", "没有用一两句话说明这是什么、办给谁。"),
        ("audiences", "没有写服务对象。"),
        ("basis", "没有写设定依据。"),
        ("materials", "没有列出材料；确实不需要材料时可以这样。"),
        ("consult_phone", "没有写咨询电话。"),
    ):
        if not getattr(draft, field):
            yield GuideProblem(field, "advised", detail, Severity.ADVICE)


def is_longer(promised: TimeLimit | None, statutory: TimeLimit | None) -> bool:
    """Whether a promised limit is certainly longer than the statutory one.

    Days of different kinds are compared by what they come to at least and at most.
    """
    if promised is None or statutory is None:
        return False
    if promised.unit is statutory.unit:
        return promised.amount > statutory.amount
    return _natural_days(promised)[0] > _natural_days(statutory)[1]


def _natural_days(limit: TimeLimit) -> tuple[float, float]:
    """At least and at most so many natural days. Holidays in a row are eight days or nine at the longest."""
    match limit.unit:
        case LimitUnit.INSTANT:
            return 0, 1
        case LimitUnit.HOUR:
            return limit.amount / 24, limit.amount
        case LimitUnit.WORKING_DAY:
            return limit.amount, limit.amount * 2 + 14
        case LimitUnit.MONTH:
            return limit.amount * 28, limit.amount * 31
        case _:
            return limit.amount, limit.amount


def _missing(field: str, detail: str) -> GuideProblem:
    return GuideProblem(field, "required", detail)


def _contradiction(field: str, detail: str) -> GuideProblem:
    return GuideProblem(field, "contradiction", detail)
