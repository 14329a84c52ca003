"""The steps of a case that are not the citizen's: the clerk's, and those the clocks take by themselves.

Built as those of `backend.domain.case_steps`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from backend.domain.access import Actor
from backend.domain.calendar import Calendar
from backend.domain.case_clocks import decision_limits
from backend.domain.case_steps import Step, before, ending, row_for, take
from backend.domain.cases import (
    PARTS,
    Case,
    Correction,
    CorrectionItem,
    Deadlines,
    Outcome,
    Timer,
    TimerKind,
)
from backend.domain.deadlines import due
from backend.domain.errors import InvalidInput, InvalidTransition
from backend.domain.matters import Guide
from backend.domain.procedure import CaseAction, CaseEventKind, Transition, rules_of


def accept(
    case: Case,
    *,
    guide: Guide,
    by: Actor,
    now: datetime,
    calendar: Calendar,
) -> Step:
    """Accept; the statutory and the promised clock begin.

    Where the law lets silence accept and the acceptance clock is over, they began at receipt
    (行政许可法 art. 32), however late the clerk is.
    """
    row = row_for(case, CaseAction.ACCEPT)
    start = case.received_at if _is_deemed(case, now) and case.received_at else now
    return _accept(case, row, guide, start, by, now, calendar)


def deem_accepted(case: Case, *, guide: Guide, by: Actor, now: datetime, calendar: Calendar) -> Step:
    """视为受理: nobody told the applicant in time. Raises `InvalidTransition` while there is still time."""
    row = row_for(case, CaseAction.DEEM_ACCEPTED)
    if not _is_deemed(case, now) or case.received_at is None:
        raise InvalidTransition("受理期限还没有届满。")
    return _accept(case, row, guide, case.received_at, by, now, calendar)


def not_accept(case: Case, *, by: Actor, now: datetime, reason: str) -> Step:
    """不予受理, with the reason and what can be done against it."""
    row = row_for(case, CaseAction.NOT_ACCEPT)
    _require_in_time(case, now)
    reason = _reason(reason)
    appeal = rules_of(case.rule_pack).not_accepted_appeal
    return take(
        case,
        row,
        by=by,
        now=now,
        changes=ending(now, Outcome.NOT_ACCEPTED, reason=reason, appeal=appeal),
        data={"outcome": Outcome.NOT_ACCEPTED.value},
        text=f"您的申请不予受理。理由：{reason} {appeal}",
    )


def request_correction(
    case: Case,
    items: Mapping[str, str],
    *,
    guide: Guide,
    by: Actor,
    now: datetime,
    calendar: Calendar,
) -> Step:
    """补正: tell once and completely what is to be corrected; the acceptance clock stops.

    `items` maps a material's key, or "applicant", "agent", "form", to what is wrong with it.
    """
    row = row_for(case, CaseAction.REQUEST_CORRECTION)
    _require_in_time(case, now)
    if not items:
        raise InvalidInput("请写明需要补正的内容。", field="items")
    names = {m.key: m.name for m in guide.materials}
    names |= PARTS
    asked = []
    for key, text in items.items():
        if key not in names:
            raise InvalidInput("办事指南没有要求这份材料。", field=f"items.{key}")
        if not text.strip():
            raise InvalidInput("请写明哪里需要补正。", field=f"items.{key}")
        asked.append(CorrectionItem(key, names[key], text.strip(), case.pages(key)))
    deadline = due(rules_of(case.rule_pack).correction_limit, now, calendar)
    listing = "".join(f"{n}. {item.name}：{item.text} " for n, item in enumerate(asked, start=1))
    return take(
        case,
        row,
        by=by,
        now=now,
        changes={
            "corrections": (*case.corrections, Correction(tuple(asked), now)),
            "deadlines": Deadlines(correction=deadline),
        },
        data={"keys": [item.key for item in asked], "due_at": deadline.due_at},
        text=f"您的申请需要补正，请在{before(deadline)}补齐：{listing.strip()}",
    )


def expire_correction(case: Case, *, by: Actor, now: datetime) -> Step:
    """补交不来: the time to correct is over. Raises `InvalidTransition` while there is still time."""
    row = row_for(case, CaseAction.EXPIRE_CORRECTION)
    if case.deadlines.correction is None or now <= case.deadlines.correction.due_at:
        raise InvalidTransition("补正期限还没有届满。")
    return take(
        case,
        row,
        by=by,
        now=now,
        changes=ending(now, Outcome.CORRECTION_EXPIRED),
        data={"outcome": Outcome.CORRECTION_EXPIRED.value},
        text="补正期限已过，这份申请已退回并办结。需要时可以重新申办。",
    )


def approve(
    case: Case,
    *,
    by: Actor,
    now: datetime,
    calendar: Calendar,
    result: str | None = None,
) -> Step:
    """Grant what was applied for. An instant matter is accepted by the same step."""
    row = row_for(case, CaseAction.APPROVE)
    limit = rules_of(case.rule_pack).delivery_limit
    delivery = due(limit, now, calendar) if limit else None
    changes: dict[str, Any] = {
        "decided_at": now,
        "outcome": Outcome.APPROVED,
        "result": (result or "").strip() or None,
        "deadlines": replace(case.deadlines, acceptance=None, delivery=delivery),
    }
    if case.accepted_at is None:
        changes["accepted_at"] = now
    text = f"您的申请“{case.matter_name}”已审核通过。"
    if changes["result"]:
        text += f"办理结果：{changes['result']}"
    elif delivery:
        text += f"证件或文书将在{before(delivery)}送达。"
    return take(
        case,
        row,
        by=by,
        now=now,
        changes=changes,
        data={"outcome": Outcome.APPROVED.value},
        text=text,
    )


def refuse(case: Case, *, by: Actor, now: datetime, reason: str) -> Step:
    """Refuse, with the reason and what can be done against it."""
    row = row_for(case, CaseAction.REFUSE)
    reason = _reason(reason)
    appeal = rules_of(case.rule_pack).refusal_appeal
    return take(
        case,
        row,
        by=by,
        now=now,
        changes={"decided_at": now, "outcome": Outcome.REFUSED, "reason": reason, "appeal": appeal},
        data={"outcome": Outcome.REFUSED.value},
        text=f"您的申请“{case.matter_name}”未获通过。理由：{reason} {appeal}",
    )


def close(case: Case, *, by: Actor, now: datetime) -> Step:
    """办结: the result is handed over or kept; nothing follows."""
    row = row_for(case, CaseAction.CLOSE)
    outcome = case.outcome
    return take(
        case,
        row,
        by=by,
        now=now,
        changes={"closed_at": now},
        data={"outcome": outcome.value if outcome else None},
        text=f"您的申请“{case.matter_name}”已办结。",
    )


def warn(case: Case, timer: Timer, *, by: Actor, now: datetime) -> Step:
    """Record that a deadline comes near or has passed, so that `timers_of` no longer names the timer.

    The citizen is told what concerns the citizen: that the time to correct ends.
    """
    row = row_for(case, CaseAction.WARN)
    soon = timer.kind in (TimerKind.ACCEPTANCE_SOON, TimerKind.CORRECTION_SOON, TimerKind.DECISION_SOON)
    deadline = case.deadlines.correction
    remind = timer.kind is TimerKind.CORRECTION_SOON and deadline is not None
    return take(
        case,
        row,
        by=by,
        now=now,
        kind=CaseEventKind.DEADLINE_APPROACHING if soon else CaseEventKind.DEADLINE_OVERDUE,
        changes={"warned": (*case.warned, timer.key)},
        data={"timer": timer.kind.value},
        text=f"补正期限快到了，请在{before(deadline)}提交补正材料。" if remind and deadline else "",
    )


def _accept(
    case: Case,
    row: Transition,
    guide: Guide,
    start: datetime,
    by: Actor,
    now: datetime,
    calendar: Calendar,
) -> Step:
    statutory_limit, promised_limit = decision_limits(case, guide)
    statutory = due(statutory_limit, start, calendar) if statutory_limit else None
    promised = due(promised_limit, start, calendar) if promised_limit else None
    binding = promised or statutory
    deemed = start != now
    when = f"将在{before(binding)}办结。" if binding else "请留意后续通知。"
    said = "受理期限内未告知，依法视为已受理" if deemed else "您的申请已受理"
    return take(
        case,
        row,
        by=by,
        now=now,
        changes={
            "accepted_at": start,
            "deemed_accepted": deemed,
            "deadlines": Deadlines(statutory=statutory, promised=promised),
        },
        data={"due_at": binding.due_at if binding else None, "deemed": deemed},
        text=f"{said}，{when}",
    )


def _is_deemed(case: Case, now: datetime) -> bool:
    deadline = case.deadlines.acceptance
    return rules_of(case.rule_pack).deemed_acceptance and deadline is not None and now > deadline.due_at


def _require_in_time(case: Case, now: datetime) -> None:
    """After silence has accepted, neither correction nor rejection is left."""
    if _is_deemed(case, now):
        raise InvalidTransition("已超过5个工作日的告知期限，依法视为受理，只能继续审查。")


def _reason(reason: str) -> str:
    if not reason.strip():
        raise InvalidInput("请写明理由，申请人会看到。", field="reason")
    return reason.strip()
