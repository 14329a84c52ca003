"""The state of a consultation: a pure fold over its log, and the rules for what may happen next.

A stored state is only a cache: state + later operations == the state fetched again. `epoch` changes when
a database was restored from a backup: numbers of another epoch mean nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum
from operator import attrgetter
from typing import Any, Literal

from backend.domain.consultation_content import Content, preview_of
from backend.domain.consultation_operations import (
    Assigned,
    AssignmentCause,
    Closed,
    CloseReason,
    Edit,
    MatterRef,
    Message,
    Note,
    Offered,
    Opened,
    Operation,
    Party,
    Payload,
    Rated,
    Recall,
    Reopened,
    Skip,
    Transferred,
    Visibility,
    Waiting,
)
from backend.domain.errors import EditConflict, InvalidInput, InvalidTransition, NotFound
from backend.domain.organisation import DutyTier

RECALL_WITHIN = timedelta(minutes=2)  # as in WeChat, which is what citizens know
EDIT_WITHIN = timedelta(minutes=5)
REOPEN_WITHIN = timedelta(days=30)
#: As many messages of a side are counted as unread, and remembered as unanswered.
KEPT = 100
_RECALLED = "[已撤回]"


class ConsultationClosed(InvalidTransition):
    """Nothing more is said in a closed consultation: it is reopened, or another one is opened."""

    code = "consultation-closed"
    title = "咨询已结束"


class TooLate(InvalidTransition):
    """The time in which this could be done is over."""

    code = "too-late"
    title = "已超过时限"


class State(StrEnum):
    QUEUED = "queued"
    OFFERED = "offered"
    ACTIVE = "active"
    WAITING_ANSWER = "waiting_answer"  # 留言
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Preview:
    """The last message, for lists."""

    seq: int
    sender: Party
    text: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Asked:
    """A citizen's message that nobody has answered yet."""

    seq: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Consultation:
    """The state after `last_seq` operations. `version` is the number of the last operation that changed
    more than the talk itself: who decides on a state says which version was seen."""

    id: str
    epoch: int
    last_seq: int
    version: int
    citizen: Party
    subject: str
    state: State
    opened_at: datetime
    updated_at: datetime
    matter: MatterRef | None = None
    case_id: str | None = None
    area_code: str | None = None
    post_id: str | None = None
    department_id: str | None = None
    staff: Party | None = None  # assigned, or offered to while `state` is OFFERED
    tier: DutyTier | None = None
    cause: AssignmentCause | None = None
    explanation: str = ""  # why it went where it is, for people
    promised_at: datetime | None = None  # while an answer is owed
    first_answered_at: datetime | None = None
    closed_at: datetime | None = None
    close_reason: CloseReason | None = None
    score: int | None = None
    last_message: Preview | None = None
    past_staff_ids: frozenset[str] = field(default=frozenset())  # who may still read it
    unanswered: tuple[Asked, ...] = ()  # the oldest of them, at most `KEPT`
    citizen_said: tuple[int, ...] = ()  # the numbers of either side's latest messages, at most `KEPT`,
    staff_said: tuple[int, ...] = ()  # recalled ones not among them: what is unread is counted from these

    @property
    def waiting_since(self) -> datetime | None:
        """When the oldest message that waits for an answer was sent; None when nothing waits."""
        return self.unanswered[0].at if self.unanswered else None

    def unread(self, reader: Literal["citizen", "staff"], read: int) -> int:
        """How many messages of the other side follow the number `read`, counted up to `KEPT`."""
        said = self.staff_said if reader == "citizen" else self.citizen_said
        return sum(seq > read for seq in said)


@dataclass(frozen=True, slots=True)
class Watermarks:
    """Up to which number each side has read. Of the staff whoever got furthest."""

    citizen: int = 0
    staff: int = 0


class SequenceGap(ValueError):
    """The operation is not the one that follows the state: fetch what lies between first."""


def opened(operation: Operation) -> Consultation:
    """The state after the first operation of a log."""
    payload = operation.payload
    if not isinstance(payload, Opened) or operation.seq != 1:
        raise SequenceGap
    return Consultation(
        id=operation.consultation_id,
        epoch=operation.epoch,
        last_seq=1,
        version=1,
        citizen=payload.citizen,
        subject=payload.subject,
        state=State.QUEUED,
        opened_at=operation.at,
        updated_at=operation.at,
        matter=payload.matter,
        case_id=payload.case_id,
        area_code=payload.area_code,
    )


def apply(state: Consultation | None, operation: Operation) -> Consultation:
    """The state after one more operation; `None` is before the first.

    Raises `SequenceGap` when `operation` is not the next one of the same epoch.
    """
    if state is None:
        return opened(operation)
    if operation.epoch != state.epoch or operation.seq != state.last_seq + 1:
        raise SequenceGap
    payload = operation.payload
    seen = operation.visibility is not Visibility.STAFF and not isinstance(payload, Skip)
    if seen and isinstance(payload, Message):
        return _changed(state, _talked(state, (operation,)))
    changes: dict[str, Any] = {"last_seq": operation.seq}
    if changes_state(payload):
        changes["version"] = operation.seq
    if seen:  # what citizens cannot see must not show in the state either
        changes["updated_at"] = operation.at
        if operation.sender.kind == "citizen" and operation.sender.id == state.citizen.id:
            changes["citizen"] = operation.sender  # under the name that is used now
        changes |= _fold(state, operation)
    return _changed(state, changes)


def apply_all(state: Consultation, operations: Sequence[Operation]) -> Consultation:
    """As `apply` of one after the other; messages that follow each other are folded together."""
    messages: list[Operation] = []
    for operation in operations:
        last_seq = messages[-1].seq if messages else state.last_seq
        if operation.epoch != state.epoch or operation.seq != last_seq + 1:
            raise SequenceGap
        if isinstance(operation.payload, Message) and operation.visibility is not Visibility.STAFF:
            messages.append(operation)
        else:
            if messages:
                state, messages = _changed(state, _talked(state, messages)), []
            state = apply(state, operation)
    return _changed(state, _talked(state, messages)) if messages else state


_NAMES = tuple(member.name for member in fields(Consultation))
_values = attrgetter(*_NAMES)
_setters = {name: Consultation.__dict__[name].__set__ for name in _NAMES}
_all_setters = tuple(_setters.values())


def _changed(state: Consultation, changes: Mapping[str, Any]) -> Consultation:
    """As `dataclasses.replace`, which takes several times as long on so many members: this is done for every
    message. The slots are set directly, since the class is frozen for everybody else."""
    after = object.__new__(Consultation)
    for setter, value in zip(_all_setters, _values(state), strict=True):
        setter(after, value)
    for name, value in changes.items():
        _setters[name](after, value)
    return after


_TALK = (Message, Edit, Recall, Note, Skip)


def changes_state(payload: Payload) -> bool:
    """Whether an operation changes more than the talk itself."""
    return not isinstance(payload, _TALK)


def _fold(state: Consultation, operation: Operation) -> dict[str, Any]:
    """The members that an operation changes, which is no message."""
    match operation.payload:
        case Edit(target_seq=target, text=text):
            return _repreview(state, target, preview_of(Content(text=text)))
        case Recall(target_seq=target):
            return _repreview(state, target, _RECALLED) | _recalled(state, target)
        case Offered(staff=staff):
            return {"state": State.OFFERED, "staff": staff}
        case Assigned() as payload:
            return {
                "state": State.ACTIVE,
                "staff": payload.staff,
                "post_id": payload.post_id,
                "department_id": payload.department_id,
                "tier": payload.tier,
                "cause": payload.cause,
                "explanation": payload.explanation or state.explanation,
                "past_staff_ids": state.past_staff_ids | {payload.staff.id},
            }
        case Waiting() as payload:
            return _UNASSIGNED | {
                "state": State.WAITING_ANSWER,
                "post_id": payload.post_id,
                "department_id": payload.department_id,
                "promised_at": payload.promised_at,
                "explanation": payload.explanation,
            }
        case Transferred() as payload:
            return _UNASSIGNED | {
                "state": State.QUEUED,
                "post_id": payload.post_id,
                "department_id": payload.department_id,
            }
        case Closed(reason=reason):
            return {
                "state": State.CLOSED,
                "closed_at": operation.at,
                "close_reason": reason,
                "promised_at": None,
                "unanswered": (),
            }
        case Reopened():
            return {"state": State.QUEUED, "staff": None, "closed_at": None, "close_reason": None, "score": None}
        case Rated(score=score):
            return {"score": score}
        case _:
            raise SequenceGap  # a second `opened`


_UNASSIGNED: dict[str, Any] = {"staff": None, "tier": None, "cause": None}


def _talked(state: Consultation, messages: Sequence[Operation]) -> dict[str, Any]:
    """The members that messages change which follow each other."""
    citizen, promised_at, first_answered_at = state.citizen, state.promised_at, state.first_answered_at
    waiting = state.unanswered
    asked: list[Asked] = []
    citizen_said: list[int] = []
    staff_said: list[int] = []
    # one that was recalled is taken out where its recall follows
    for operation in messages:
        sender = operation.sender
        if sender.kind == "staff":
            promised_at, first_answered_at = None, first_answered_at or operation.at
            waiting = ()
            asked.clear()
            staff_said.append(operation.seq)
        else:
            if sender.kind == "citizen" and sender.id == citizen.id:
                citizen = sender  # under the name that is used now
            if len(waiting) + len(asked) < KEPT:
                asked.append(Asked(operation.seq, operation.at))
            citizen_said.append(operation.seq)
    last = messages[-1]
    said: Message = last.payload  # type: ignore[assignment]  # they are messages
    text = _RECALLED if last.recalled_by else preview_of(said.content)
    changes: dict[str, Any] = {
        "last_seq": last.seq,
        "updated_at": last.at,
        "citizen": citizen,
        "last_message": Preview(last.seq, last.sender, text, last.at),
        "promised_at": promised_at,
        "first_answered_at": first_answered_at,
        "unanswered": (*waiting, *asked) if asked else waiting,
    }
    if citizen_said:
        changes["citizen_said"] = (*state.citizen_said, *citizen_said)[-KEPT:]
    if staff_said:
        changes["staff_said"] = (*state.staff_said, *staff_said)[-KEPT:]
    return changes


def _recalled(state: Consultation, target_seq: int) -> dict[str, Any]:
    """A recalled message is not unread and asks nothing any more."""
    return {
        "unanswered": tuple(asked for asked in state.unanswered if asked.seq != target_seq),
        "citizen_said": tuple(seq for seq in state.citizen_said if seq != target_seq),
        "staff_said": tuple(seq for seq in state.staff_said if seq != target_seq),
    }


def _repreview(state: Consultation, target_seq: int, text: str) -> dict[str, Any]:
    last = state.last_message
    if last is None or last.seq != target_seq or last.text == _RECALLED:
        return {}
    return {"last_message": replace(last, text=text)}


def check_open(state: Consultation) -> None:
    """Raises `ConsultationClosed` when nothing more can be said."""
    if state.state is State.CLOSED:
        raise ConsultationClosed("这次咨询已经结束，如仍有疑问请重新打开或发起新的咨询。")


def check_version(state: Consultation, seen: int | None) -> None:
    """Raises `EditConflict` when the state was decided on at another version than the present one."""
    if seen is not None and seen != state.version:
        raise EditConflict("咨询的状态刚刚变了，请按最新的状态再操作。", version=state.version)


def check_edit(target: Operation | None, editor: Party, now: datetime) -> Operation:
    """The message to be edited. Raises `NotFound` for what is not one's own message, `TooLate` after
    `EDIT_WITHIN`, `InvalidInput` for one that was recalled."""
    return _own_message(target, editor, now, EDIT_WITHIN, "修改")


def check_recall(target: Operation | None, sender: Party, now: datetime) -> Operation:
    """The message to be recalled, with the errors of `check_edit` and a limit of `RECALL_WITHIN`."""
    return _own_message(target, sender, now, RECALL_WITHIN, "撤回")


def _own_message(target: Operation | None, sender: Party, now: datetime, within: timedelta, verb: str) -> Operation:
    own = target is not None and (target.sender.kind, target.sender.id) == (sender.kind, sender.id)
    if target is None or not own or not isinstance(target.payload, Message):
        raise NotFound(f"没有找到可以{verb}的消息。", field="target_seq")
    if target.recalled_by is not None:
        raise InvalidInput("这条消息已经撤回。", field="target_seq")
    if now - target.at > within:
        raise TooLate(f"消息发出超过 {within.seconds // 60} 分钟，不能再{verb}。", field="target_seq")
    return target


def check_edited_content(target: Operation, text: str) -> Content:
    """The content a message has after its edit; only a message that had a text can be edited."""
    if not isinstance(target.payload, Message) or not target.payload.content.text:
        raise InvalidInput("只能修改文字消息。", field="target_seq")
    return replace(target.payload.content, text=text)


def check_reopen(state: Consultation, now: datetime) -> None:
    """Raises `InvalidTransition` when it is not closed, `TooLate` after `REOPEN_WITHIN`."""
    if state.state is not State.CLOSED or state.closed_at is None:
        raise InvalidTransition("这次咨询还没有结束，可以直接留言。")
    if now - state.closed_at > REOPEN_WITHIN:
        raise TooLate("这次咨询结束已久，请发起新的咨询。")


def check_rate(state: Consultation, score: int) -> None:
    """Raises `InvalidTransition` before the end and for a second rating, `InvalidInput` for the score."""
    if not 1 <= score <= 5:
        raise InvalidInput("评分应在 1 到 5 之间。", field="score")
    if state.state is not State.CLOSED:
        raise InvalidTransition("咨询结束后才能评价。")
    if state.score is not None:
        raise InvalidTransition("您已经评价过这次咨询。")
