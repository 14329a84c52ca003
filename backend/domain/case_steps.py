"""The citizen's steps of a case: draft, fill in, submit, resubmit, withdraw.

Every step takes the case as it is and returns it as it becomes, with the event that says so. Pure: time,
calendar, number and actor are arguments. Whether the actor may is decided by the caller with
`permission_for`; whether the step is possible is decided here, by the table of `backend.domain.procedure`.
The office's steps are in `backend.domain.case_decisions`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from backend.domain.access import Actor, Permission
from backend.domain.calendar import Calendar
from backend.domain.cases import (
    MAX_PAGES,
    PARTS,
    Case,
    Channel,
    Deadlines,
    MaterialSlot,
    Outcome,
    Party,
    apply,
    check_complete,
)
from backend.domain.deadlines import Deadline, due, say_day
from backend.domain.errors import InvalidInput, InvalidTransition
from backend.domain.events import Event, record
from backend.domain.matter_edits import has_ended
from backend.domain.matters import Guide, Matter, MatterState, ProjectType
from backend.domain.procedure import (
    TABLE,
    CaseAction,
    CaseEventKind,
    CaseState,
    NotFilable,
    Transition,
    rule_pack_of,
    rules_of,
    transition,
)

AGGREGATE = "case"

Step = tuple[Case, Event]


def permission_for(action: CaseAction) -> Permission:
    """What an actor needs to be allowed for an action; the same for every state it starts from."""
    return next(row.permission for (_, named), row in TABLE.items() if named is action)


def draft(case_id: str, matter: Matter, *, by: Actor, now: datetime, channel: Channel = Channel.WECHAT) -> Step:
    """Begin a case on the present version of a matter.

    Raises `NotFilable` for a matter that is not in use or cannot be filed here.
    """
    if matter.state is MatterState.CANCELLED or has_ended(matter.guide, now=now):
        raise NotFilable("这个事项已经停止办理。")
    if matter.state is not MatterState.ACTIVE:
        raise NotFilable("这个事项目前暂停办理。")
    guide = matter.guide
    changes: dict[str, Any] = {
        "citizen_id": by.id,
        "matter_id": matter.id,
        "matter_version": matter.version,
        "matter_code": matter.code,
        "matter_name": guide.name,
        "department_id": matter.department_id,
        "department_name": matter.department_name,
        "area_code": matter.area_code,
        "reception_mode": guide.reception_mode,
        "rule_pack": rule_pack_of(guide),
        "instant": guide.project_type is ProjectType.INSTANT,
        "state": CaseState.DRAFT,
        "channel": channel,
        "created_at": now,
        "updated_at": now,
    }
    event = record(
        AGGREGATE,
        case_id,
        1,
        CaseEventKind.DRAFTED.value,
        at=now,
        by=by,
        changes=changes,
        data={"state": CaseState.DRAFT.value},
    )
    return apply(None, event), event


@dataclass(frozen=True, slots=True)
class Edit:
    """What a citizen fills in; None leaves it as it is. `drop_agent` removes the agent."""

    applicant: Party | None = None
    agent: Party | None = None
    drop_agent: bool = False
    form: Mapping[str, str] | None = None
    situations: tuple[str, ...] | None = None


def edit(case: Case, change: Edit, *, by: Actor, now: datetime) -> Step:
    """Fill in a draft, or a case sent back for correction."""
    row = row_for(case, CaseAction.EDIT)
    changes: dict[str, Any] = {
        name: value
        for name in ("applicant", "agent", "form", "situations")
        if (value := getattr(change, name)) is not None
    }
    if change.drop_agent:
        changes["agent"] = None
    fields = sorted(changes)
    if case.state is CaseState.CORRECTION_REQUESTED:
        *earlier, last = case.corrections
        changed = {name for name in PARTS if name in changes and changes[name] != getattr(case, name)}
        changes["corrections"] = (*earlier, replace(last, touched=tuple(sorted(changed.union(last.touched)))))
    return take(case, row, by=by, now=now, changes=changes, data={"fields": fields})


def place_pages(case: Case, key: str, page_ids: Sequence[str], *, guide: Guide, by: Actor, now: datetime) -> Step:
    """Put these pages, in this order, into the slot of a material; no pages empty it.

    Raises `InvalidInput` for a material the guide does not ask for, for too many pages and for a page
    that is named twice or lies in another slot.
    """
    row = row_for(case, CaseAction.EDIT)
    if all(requirement.key != key for requirement in guide.materials):
        raise InvalidInput("办事指南没有要求这份材料。", field="material_key")
    if len(page_ids) > MAX_PAGES:
        raise InvalidInput(f"一份材料最多 {MAX_PAGES} 页。", field="page_ids")
    elsewhere = {page for slot in case.materials if slot.key != key for page in slot.page_ids}
    if len(set(page_ids)) < len(page_ids) or elsewhere.intersection(page_ids):
        raise InvalidInput("同一页不能重复使用。", field="page_ids")
    others = tuple(slot for slot in case.materials if slot.key != key)
    slots = (*others, MaterialSlot(key, tuple(page_ids))) if page_ids else others
    data = {"fields": [f"materials.{key}"]}
    return take(case, row, by=by, now=now, changes={"materials": slots}, data=data)


def submit(
    case: Case,
    *,
    guide: Guide,
    by: Actor,
    now: datetime,
    calendar: Calendar,
    number: str,
    post_id: str | None,
    handling_department_id: str | None = None,
) -> Step:
    """Hand a draft in; the acceptance clock begins. Raises `IncompleteCase` with all that is missing."""
    row = row_for(case, CaseAction.SUBMIT)
    applicant, agent = check_complete(case, guide, now=now)
    acceptance = due(rules_of(case.rule_pack).acceptance_limit, now, calendar)
    return take(
        case,
        row,
        by=by,
        now=now,
        changes={
            "applicant": applicant,
            "agent": agent,
            "number": number,
            "post_id": post_id,
            "handling_department_id": handling_department_id or case.department_id,
            "submitted_at": now,
            "received_at": now,
            "deadlines": Deadlines(acceptance=acceptance),
        },
        data={
            "number": number,
            "post_id": post_id,
            "department_id": handling_department_id or case.department_id,
            "due_at": acceptance.due_at,
        },
        text=f"您的申请已提交，办件编号{number}。{case.department_name}将在{before(acceptance)}告知您是否受理。",
    )


def discard(case: Case, *, by: Actor, now: datetime) -> Step:
    """Throw a draft away; what was handed in is withdrawn instead (`InvalidTransition`)."""
    return take(case, row_for(case, CaseAction.DISCARD), by=by, now=now, changes={})


def resubmit(
    case: Case,
    *,
    guide: Guide,
    by: Actor,
    now: datetime,
    calendar: Calendar,
    answers: Mapping[str, str] | None = None,
) -> Step:
    """Hand the corrected case in again; the acceptance clock begins anew. `answers` says to an item, by its
    key, why there is nothing to hand in or what was done.

    Raises `InvalidTransition` when the time to correct is over, whether or not the timer has said so yet, and
    `IncompleteCase` when something is missing, or nothing was done about an item that was asked for.
    """
    row = row_for(case, CaseAction.RESUBMIT)
    if case.deadlines.correction is not None and now > case.deadlines.correction.due_at:
        raise InvalidTransition("补正期限已过，这份申请不能再提交。需要时可以重新申办。", state=case.state.value)
    case = _answered(case, answers or {})
    applicant, agent = check_complete(case, guide, now=now)
    acceptance = due(rules_of(case.rule_pack).acceptance_limit, now, calendar)
    *earlier, last = case.corrections
    return take(
        case,
        row,
        by=by,
        now=now,
        changes={
            "applicant": applicant,
            "agent": agent,
            "received_at": now,
            "corrections": (*earlier, replace(last, resubmitted_at=now)),
            "deadlines": Deadlines(acceptance=acceptance),
        },
        data={"due_at": acceptance.due_at},
        text=f"补正材料已提交，{case.department_name}将在{before(acceptance)}告知您是否受理。",
    )


def _answered(case: Case, answers: Mapping[str, str]) -> Case:
    """The case with the answers at the items of its last correction. Raises `InvalidInput`."""
    *earlier, last = case.corrections
    if unknown := set(answers) - {item.key for item in last.items}:
        raise InvalidInput("这一项没有要求补正。", field=f"answers.{min(unknown)}")
    items = tuple(replace(item, answer=answers.get(item.key, "").strip() or None) for item in last.items)
    return replace(case, corrections=(*earlier, replace(last, items=items)))


def withdraw(case: Case, *, by: Actor, now: datetime, reason: str | None = None) -> Step:
    """The citizen takes the case back, before it is decided."""
    row = row_for(case, CaseAction.WITHDRAW)
    return take(
        case,
        row,
        by=by,
        now=now,
        changes=ending(now, Outcome.WITHDRAWN, reason=reason or None),
        text="您已撤回这份申请。需要时可以重新申办。",
    )


# --- shared -------------------------------------------------------------------


def row_for(case: Case, action: CaseAction) -> Transition:
    """The row of the table by which a case takes an action. Raises `InvalidTransition`."""
    return transition(case.rule_pack, case.state, action, instant=case.instant, corrections=len(case.corrections))


def take(
    case: Case,
    row: Transition,
    *,
    by: Actor,
    now: datetime,
    changes: Mapping[str, Any],
    data: Mapping[str, Any] | None = None,
    text: str = "",
    kind: CaseEventKind | None = None,
) -> Step:
    """Take the case along a row: the event says what changed, and the case follows from the event."""
    target = row.target or case.state
    event = record(
        AGGREGATE,
        case.id,
        case.version + 1,
        (kind or row.event).value,
        at=now,
        by=by,
        data={**about(case), "action": row.action.value, "state": target.value, **(data or {})},
        changes={**changes, "state": target, "updated_at": now},
        text=text,
    )
    return apply(case, event), event


def about(case: Case) -> dict[str, Any]:
    """What those who are told of an event need to know of its case, so that nobody reads it again."""
    return {
        "citizen_id": case.citizen_id,
        "matter_id": case.matter_id,
        "matter_name": case.matter_name,
        "department_id": case.handling_department_id or case.department_id,
        "post_id": case.post_id,
    }


def ending(now: datetime, outcome: Outcome, **more: Any) -> dict[str, Any]:
    """The fields of a case that is over: no clock runs on."""
    return {"closed_at": now, "outcome": outcome, "deadlines": Deadlines(), **more}


def before(deadline: Deadline) -> str:
    """Until when, that day included, with a word when the date is not final."""
    words = f"{say_day(deadline.day)}（含当日）前"
    return f"{words}（放假安排尚未公布，日期为暂定）" if deadline.provisional else words
