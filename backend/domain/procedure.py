"""The procedure of a case as one table: which action leads from which state where, and who may do it.

The states are those of the whole procedure; those without rows yet are reached by nothing. A rule pack
(one per kind of matter) says which clocks run. New steps are new rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from backend.domain.access import Permission
from backend.domain.deadlines import ACCEPTANCE, DELIVERY, LICENSING_DECISION
from backend.domain.errors import Conflict, InvalidTransition
from backend.domain.matters import Guide, LimitUnit, ProjectType, TaskType, TimeLimit


class CaseState(StrEnum):
    DRAFT = "draft"
    SUBMITTED = "submitted"
    PRE_REVIEW = "pre_review"
    CORRECTION_REQUESTED = "correction_requested"
    RESUBMITTED = "resubmitted"
    ACCEPTED = "accepted"
    NOT_ACCEPTED = "not_accepted"
    SITE_VISIT = "site_visit"
    SPECIAL_PROCEDURE = "special_procedure"
    EXTENDED = "extended"
    RE_REVIEW = "re_review"
    APPROVED = "approved"
    REFUSED = "refused"
    CERTIFICATE_PRINT = "certificate_print"
    DELIVERED = "delivered"
    FORWARDED = "forwarded"
    WITHDRAWN = "withdrawn"
    VOID = "void"
    CLOSED = "closed"


class CaseAction(StrEnum):
    EDIT = "edit"
    DISCARD = "discard"
    SUBMIT = "submit"
    RESUBMIT = "resubmit"
    WITHDRAW = "withdraw"
    ACCEPT = "accept"
    NOT_ACCEPT = "not_accept"
    REQUEST_CORRECTION = "request_correction"
    APPROVE = "approve"
    REFUSE = "refuse"
    CLOSE = "close"
    DEEM_ACCEPTED = "deem_accepted"
    EXPIRE_CORRECTION = "expire_correction"
    WARN = "warn"
    RECKON = "reckon"


class CaseEventKind(StrEnum):
    DRAFTED = "drafted"
    EDITED = "edited"
    DISCARDED = "discarded"
    SUBMITTED = "submitted"
    RESUBMITTED = "resubmitted"
    WITHDRAWN = "withdrawn"
    ACCEPTED = "accepted"
    DEEMED_ACCEPTED = "deemed_accepted"
    NOT_ACCEPTED = "not_accepted"
    CORRECTION_REQUESTED = "correction_requested"
    CORRECTION_EXPIRED = "correction_expired"
    APPROVED = "approved"
    REFUSED = "refused"
    CLOSED = "closed"
    DEADLINE_APPROACHING = "deadline_approaching"
    DEADLINE_OVERDUE = "deadline_overdue"
    DEADLINES_MOVED = "deadlines_moved"


class RulePack(StrEnum):
    """Which rules a case follows; from the matter's task type."""

    LICENSING = "licensing"
    CONFIRMATION = "confirmation"
    BENEFIT = "benefit"
    REWARD = "reward"
    ADJUDICATION = "adjudication"
    PUBLIC_SERVICE = "public_service"
    OTHER = "other"


class Guard(StrEnum):
    """A condition on a row beyond state and actor."""

    INSTANT_MATTER = "instant_matter"  # 即办件 alone
    CORRECTION_LEFT = "correction_left"  # 补正 is asked for once
    DEEMED_ACCEPTANCE = "deemed_acceptance"  # where the law lets silence accept


@dataclass(frozen=True, slots=True)
class Transition:
    """One row. `target` None keeps the state. `by` are the kinds of actors, `requires` the inputs that must
    not be empty."""

    action: CaseAction
    source: CaseState
    target: CaseState | None
    permission: Permission
    by: frozenset[str]
    event: CaseEventKind
    requires: tuple[str, ...] = ()
    guard: Guard | None = None


#: The citizen's time to correct. No law fixes it; local rules have 15 working days (台州).
CORRECTION = TimeLimit(15, LimitUnit.WORKING_DAY)


@dataclass(frozen=True, slots=True)
class Rules:
    """What a rule pack says. `correction_limit` is the citizen's time to correct, `default_decision` holds
    where a guide names no statutory limit, the appeals are told with what goes against the applicant."""

    pack: RulePack
    deemed_acceptance: bool
    refusal_appeal: str
    not_accepted_appeal: str
    acceptance_limit: TimeLimit = ACCEPTANCE
    correction_limit: TimeLimit = CORRECTION
    correction_rounds: int = 1
    default_decision: TimeLimit | None = None
    delivery_limit: TimeLimit | None = None


class NotFilable(Conflict):
    """The matter is not one that can be filed here."""

    code = "not-filable"
    title = "这个事项不能在线申办"


_APPEAL = "如不服，可以自收到之日起60日内依法申请行政复议，或者在6个月内依法提起行政诉讼。"
_COMPLAINT = "如有异议，可以向办理部门咨询或投诉，也可以拨打12345政务服务便民热线反映。"

_RULES: Mapping[RulePack, Rules] = {
    pack: Rules(
        pack,
        deemed_acceptance=pack is RulePack.LICENSING,
        refusal_appeal=appeal,
        not_accepted_appeal=appeal,
        default_decision=LICENSING_DECISION if pack is RulePack.LICENSING else None,
        delivery_limit=DELIVERY if pack is RulePack.LICENSING else None,
    )
    for pack, appeal in {
        RulePack.LICENSING: _APPEAL,
        RulePack.CONFIRMATION: _APPEAL,
        RulePack.BENEFIT: _APPEAL,
        RulePack.REWARD: _APPEAL,
        RulePack.ADJUDICATION: _APPEAL,
        RulePack.PUBLIC_SERVICE: _COMPLAINT,
        RulePack.OTHER: _APPEAL,
    }.items()
}

_PACKS: Mapping[TaskType, RulePack] = {
    TaskType.LICENSING: RulePack.LICENSING,
    TaskType.CONFIRMATION: RulePack.CONFIRMATION,
    TaskType.BENEFIT: RulePack.BENEFIT,
    TaskType.REWARD: RulePack.REWARD,
    TaskType.ADJUDICATION: RulePack.ADJUDICATION,
    TaskType.PUBLIC_SERVICE: RulePack.PUBLIC_SERVICE,
    TaskType.LEVY: RulePack.OTHER,
    TaskType.OTHER: RulePack.OTHER,
}


def rules_of(pack: RulePack) -> Rules:
    return _RULES[pack]


def rule_pack_of(guide: Guide) -> RulePack:
    """The rules under which a matter is handled.

    Raises `NotFilable` for what is only told (information), for what an authority does on its own accord
    (penalty, coercion, inspection), and for what is done on the spot only.
    """
    if guide.project_type is ProjectType.INFORMATION:
        raise NotFilable("这个事项只提供信息查询，不需要提交申请。")
    pack = _PACKS.get(guide.task_type)
    if pack is None:
        raise NotFilable("这个事项由行政机关依职权办理，不需要提交申请。")
    if not guide.online:
        raise NotFilable("这个事项暂不支持在线申办，请按办事指南到窗口办理。")
    return pack


_S, _A, _E, _P = CaseState, CaseAction, CaseEventKind, Permission
_CITIZEN, _STAFF, _SYSTEM = frozenset({"citizen"}), frozenset({"staff"}), frozenset({"system"})
_RECEIVED = (_S.SUBMITTED, _S.RESUBMITTED)


def _rows() -> Iterator[Transition]:
    yield Transition(_A.EDIT, _S.DRAFT, None, _P.FILE_CASE, _CITIZEN, _E.EDITED)
    yield Transition(_A.EDIT, _S.CORRECTION_REQUESTED, None, _P.FILE_CASE, _CITIZEN, _E.EDITED)
    yield Transition(_A.DISCARD, _S.DRAFT, _S.VOID, _P.FILE_CASE, _CITIZEN, _E.DISCARDED)
    yield Transition(_A.SUBMIT, _S.DRAFT, _S.SUBMITTED, _P.FILE_CASE, _CITIZEN, _E.SUBMITTED)
    yield Transition(_A.RESUBMIT, _S.CORRECTION_REQUESTED, _S.RESUBMITTED, _P.FILE_CASE, _CITIZEN, _E.RESUBMITTED)
    for source in (*_RECEIVED, _S.CORRECTION_REQUESTED, _S.ACCEPTED):
        yield Transition(_A.WITHDRAW, source, _S.WITHDRAWN, _P.FILE_CASE, _CITIZEN, _E.WITHDRAWN)
    for source in _RECEIVED:
        yield Transition(_A.ACCEPT, source, _S.ACCEPTED, _P.HANDLE_CASE, _STAFF, _E.ACCEPTED)
        yield Transition(_A.NOT_ACCEPT, source, _S.NOT_ACCEPTED, _P.HANDLE_CASE, _STAFF, _E.NOT_ACCEPTED, ("reason",))
        yield Transition(
            _A.REQUEST_CORRECTION,
            source,
            _S.CORRECTION_REQUESTED,
            _P.HANDLE_CASE,
            _STAFF,
            _E.CORRECTION_REQUESTED,
            ("items",),
            Guard.CORRECTION_LEFT,
        )
        yield Transition(
            _A.DEEM_ACCEPTED,
            source,
            _S.ACCEPTED,
            _P.HANDLE_CASE,
            _SYSTEM,
            _E.DEEMED_ACCEPTED,
            guard=Guard.DEEMED_ACCEPTANCE,
        )
        # 即办件: accepting and deciding are one step at the counter.
        yield Transition(
            _A.APPROVE,
            source,
            _S.APPROVED,
            _P.DECIDE_CASE,
            _STAFF,
            _E.APPROVED,
            guard=Guard.INSTANT_MATTER,
        )
    yield Transition(
        _A.EXPIRE_CORRECTION,
        _S.CORRECTION_REQUESTED,
        _S.CLOSED,
        _P.HANDLE_CASE,
        _SYSTEM,
        _E.CORRECTION_EXPIRED,
    )
    yield Transition(_A.APPROVE, _S.ACCEPTED, _S.APPROVED, _P.DECIDE_CASE, _STAFF, _E.APPROVED)
    yield Transition(_A.REFUSE, _S.ACCEPTED, _S.REFUSED, _P.DECIDE_CASE, _STAFF, _E.REFUSED, ("reason",))
    yield Transition(_A.CLOSE, _S.APPROVED, _S.CLOSED, _P.HANDLE_CASE, _STAFF, _E.CLOSED)
    yield Transition(_A.CLOSE, _S.REFUSED, _S.CLOSED, _P.HANDLE_CASE, _STAFF, _E.CLOSED)
    for source in (*_RECEIVED, _S.CORRECTION_REQUESTED, _S.ACCEPTED):
        yield Transition(_A.WARN, source, None, _P.HANDLE_CASE, _SYSTEM, _E.DEADLINE_APPROACHING)
    for source in (*_RECEIVED, _S.CORRECTION_REQUESTED, _S.ACCEPTED, _S.APPROVED):
        yield Transition(_A.RECKON, source, None, _P.HANDLE_CASE, _SYSTEM, _E.DEADLINES_MOVED)


#: (state, action) → row, for every rule pack; what differs between packs are guards and `Rules`.
TABLE: Mapping[tuple[CaseState, CaseAction], Transition] = {(row.source, row.action): row for row in _rows()}

#: States that nothing leaves.
FINAL = frozenset(row.target for row in TABLE.values() if row.target is not None) - {
    row.source for row in TABLE.values()
}

STATE_NAMES: Mapping[CaseState, str] = {
    _S.DRAFT: "草稿",
    _S.SUBMITTED: "已提交，待受理",
    _S.PRE_REVIEW: "预审中",
    _S.CORRECTION_REQUESTED: "待补正",
    _S.RESUBMITTED: "已补正，待受理",
    _S.ACCEPTED: "已受理，办理中",
    _S.NOT_ACCEPTED: "不予受理",
    _S.SITE_VISIT: "现场勘察",
    _S.SPECIAL_PROCEDURE: "特别程序中",
    _S.EXTENDED: "已延期，办理中",
    _S.RE_REVIEW: "复审中",
    _S.APPROVED: "准予",
    _S.REFUSED: "不予",
    _S.CERTIFICATE_PRINT: "证件打印",
    _S.DELIVERED: "已送达",
    _S.FORWARDED: "已转报",
    _S.WITHDRAWN: "已撤回",
    _S.VOID: "已作废",
    _S.CLOSED: "已办结",
}


#: What the office does next, in words for the one who does it; nothing where it is not the office's turn.
NEXT_STEPS: Mapping[CaseState, str] = {
    _S.SUBMITTED: "核对材料，决定是否受理",
    _S.CORRECTION_REQUESTED: "等申请人补正",
    _S.RESUBMITTED: "核对补正的材料，决定是否受理",
    _S.ACCEPTED: "审查并作出决定",
    _S.APPROVED: "送达结果并办结",
    _S.REFUSED: "送达决定并办结",
}


def allowed(pack: RulePack, state: CaseState, *, instant: bool, corrections: int) -> tuple[Transition, ...]:
    """Every row that can be taken now, guards considered."""
    rules = rules_of(pack)
    return tuple(
        row
        for (source, _), row in TABLE.items()
        if source is state and _passes(row.guard, rules, instant=instant, corrections=corrections)
    )


def transition(pack: RulePack, state: CaseState, action: CaseAction, *, instant: bool, corrections: int) -> Transition:
    """The row for an action. Raises `InvalidTransition` where there is none or its guard says no."""
    row = TABLE.get((state, action))
    if row is None or (row.guard is Guard.INSTANT_MATTER and not instant):
        raise InvalidTransition(f"办件现在是“{STATE_NAMES[state]}”，不能进行这个操作。", state=state.value)
    rules = rules_of(pack)
    if not _passes(row.guard, rules, instant=instant, corrections=corrections):
        raise InvalidTransition(
            "补正应当一次性告知，本办件已经要求过补正。"
            if row.guard is Guard.CORRECTION_LEFT
            else "这类事项没有视为受理的规定。",
            state=state.value,
        )
    return row


def _passes(guard: Guard | None, rules: Rules, *, instant: bool, corrections: int) -> bool:
    match guard:
        case Guard.INSTANT_MATTER:
            return instant
        case Guard.CORRECTION_LEFT:
            return corrections < rules.correction_rounds
        case Guard.DEEMED_ACCEPTANCE:
            return rules.deemed_acceptance
        case None:
            return True
