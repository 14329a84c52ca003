"""The operations of a consultation (咨询): one log, one gapless order.

Everything that happens in a consultation is an `Operation` with the next sequence number: messages, edits,
recalls, notes between staff, and what the system does (opened, assigned, closed …).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Literal

from backend.domain.consultation_content import EMPTY, Attachment, Content
from backend.domain.organisation import DutyTier


class OperationKind(StrEnum):
    OPENED = "opened"
    MESSAGE = "message"
    EDIT = "edit"
    RECALL = "recall"
    NOTE = "note"  # between staff; citizens see a skip
    OFFERED = "offered"
    ASSIGNED = "assigned"
    WAITING = "waiting"  # became a message to be answered later (留言)
    TRANSFERRED = "transferred"  # handover (转办)
    CLOSED = "closed"
    REOPENED = "reopened"
    RATED = "rated"
    SKIP = "skip"  # a number that means nothing to the reader


class Visibility(StrEnum):
    ALL = "all"
    STAFF = "staff"


class Audience(StrEnum):
    """For whom a view is made."""

    CITIZEN = "citizen"
    STAFF = "staff"


class AssignmentCause(StrEnum):
    ROUTED = "routed"  # found by responsibility, duty and presence
    TAKEN = "taken"  # a clerk took it from those waiting
    DECLINED = "declined"  # the one before gave it back
    TRANSFERRED = "transferred"


class CloseReason(StrEnum):
    ANSWERED = "answered"
    CITIZEN_LEFT = "citizen_left"
    SILENT = "silent"  # nobody spoke for long
    MISPLACED = "misplaced"  # not a matter for this place; the remark says where to go


@dataclass(frozen=True, slots=True)
class Party:
    """Who took part, with the name that was shown at the time."""

    kind: Literal["citizen", "staff", "system"]
    id: str
    name: str = ""


SYSTEM_PARTY = Party("system", "system", "系统")


@dataclass(frozen=True, slots=True)
class MatterRef:
    """A matter pinned at the version of its guide that the citizen read."""

    id: str
    version: int
    name: str


@dataclass(frozen=True, slots=True)
class Opened:
    KIND: ClassVar[OperationKind] = OperationKind.OPENED
    citizen: Party
    subject: str
    matter: MatterRef | None = None
    case_id: str | None = None
    area_code: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    KIND: ClassVar[OperationKind] = OperationKind.MESSAGE
    content: Content


@dataclass(frozen=True, slots=True)
class Edit:
    KIND: ClassVar[OperationKind] = OperationKind.EDIT
    target_seq: int
    text: str


@dataclass(frozen=True, slots=True)
class Recall:
    KIND: ClassVar[OperationKind] = OperationKind.RECALL
    target_seq: int


@dataclass(frozen=True, slots=True)
class Note:
    """What staff write for each other: a text, photographs, or both."""

    KIND: ClassVar[OperationKind] = OperationKind.NOTE
    text: str
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class Offered:
    """Laid before one clerk, who may accept until `expires_at`."""

    KIND: ClassVar[OperationKind] = OperationKind.OFFERED
    staff: Party
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Assigned:
    KIND: ClassVar[OperationKind] = OperationKind.ASSIGNED
    staff: Party
    post_id: str | None
    department_id: str | None
    tier: DutyTier
    cause: AssignmentCause
    explanation: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nobody responsible can answer now. `promised_at` is when an answer is promised by."""

    KIND: ClassVar[OperationKind] = OperationKind.WAITING
    post_id: str | None
    department_id: str | None
    promised_at: datetime
    explanation: str = ""


@dataclass(frozen=True, slots=True)
class Transferred:
    KIND: ClassVar[OperationKind] = OperationKind.TRANSFERRED
    post_id: str | None
    department_id: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Closed:
    KIND: ClassVar[OperationKind] = OperationKind.CLOSED
    reason: CloseReason
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Reopened:
    KIND: ClassVar[OperationKind] = OperationKind.REOPENED


@dataclass(frozen=True, slots=True)
class Rated:
    """`score` is 1 (very poor) to 5 (very good), the five steps of 好差评."""

    KIND: ClassVar[OperationKind] = OperationKind.RATED
    score: int
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Skip:
    KIND: ClassVar[OperationKind] = OperationKind.SKIP


Payload = (
    Opened
    | Message
    | Edit
    | Recall
    | Note
    | Offered
    | Assigned
    | Waiting
    | Transferred
    | Closed
    | Reopened
    | Rated
    | Skip
)

PAYLOADS: dict[OperationKind, type[Payload]] = {
    cls.KIND: cls
    for cls in (
        Opened,
        Message,
        Edit,
        Recall,
        Note,
        Offered,
        Assigned,
        Waiting,
        Transferred,
        Closed,
        Reopened,
        Rated,
        Skip,
    )
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One line of the log. Never changed, but for `recalled_by`, which empties it for every reader.

    `seq` counts from 1 without gaps within the consultation; `cid` is the sender's own UUID, unique per
    sender and consultation; `fingerprint` is over what was asked for, to tell a retry from a reuse.
    """

    id: str
    consultation_id: str
    epoch: int
    seq: int
    cid: str
    sender: Party
    at: datetime
    payload: Payload
    visibility: Visibility = Visibility.ALL
    fingerprint: str = ""
    recalled_by: int | None = None

    @property
    def kind(self) -> OperationKind:
        return self.payload.KIND


def attachments_of(operation: Operation) -> tuple[Attachment, ...]:
    """The photographs an operation carries; a recalled message carries none any more."""
    if operation.recalled_by is not None:
        return ()
    match operation.payload:
        case Message(content=content):
            return content.attachments
        case Note(attachments=attachments):
            return attachments
        case _:
            return ()


def view_for(operation: Operation, audience: Audience) -> Operation:
    """The operation as a reader may see it: staff-only ones become skips for citizens, recalled ones are
    empty for everybody. Numbers stay, so that every view is gapless."""
    if audience is Audience.CITIZEN and operation.visibility is Visibility.STAFF:
        return replace(
            operation,
            id="",
            cid="",
            fingerprint="",
            sender=SYSTEM_PARTY,
            visibility=Visibility.ALL,
            payload=Skip(),
        )
    if operation.recalled_by is not None:
        if isinstance(operation.payload, Message):
            return replace(operation, payload=Message(EMPTY))
        if isinstance(operation.payload, Edit):
            return replace(operation, payload=replace(operation.payload, text=""))
    return operation
