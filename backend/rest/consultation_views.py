"""Consultations and their operations as clients see them: the same objects over HTTP and sockets.

Dictionaries are built once here, since a socket sends thousands of them; the models describe and check
them for HTTP.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Any, Literal

from pydantic import ConfigDict, Field

from backend.domain.consultation_operations import Audience, Operation, Party, Skip, view_for
from backend.domain.consultations import Consultation, Watermarks
from backend.rest.views import SHANGHAI, Id, Moment, View
from backend.services.consultation_reading import Receipt
from backend.storage.documents import to_value

PROTOCOL_VERSION = 1


def moment(value: datetime | None) -> str | None:
    """RFC 3339 with +08:00."""
    return _moment(value) if value else None


@lru_cache(maxsize=1024)  # of what was said just now: it is told to who said it, to readers, to other nodes
def _moment(value: datetime) -> str:
    return value.astimezone(SHANGHAI).isoformat(timespec="milliseconds")


def party_json(party: Party | None) -> dict[str, str] | None:
    return {"kind": party.kind, "id": party.id, "name": party.name} if party else None


def operation_json(operation: Operation, audience: Audience) -> dict[str, Any]:
    """One operation for one kind of reader. A skip has its number and nothing else."""
    seen = view_for(operation, audience)
    found: dict[str, Any] = {
        "v": PROTOCOL_VERSION,
        "conv": seen.consultation_id,
        "epoch": seen.epoch,
        "seq": seen.seq,
        "kind": seen.kind.value,
    }
    if isinstance(seen.payload, Skip):
        return found
    found |= {
        "id": seen.id,
        "cid": seen.cid,
        "from": party_json(seen.sender),
        "ts": moment(seen.at),
        "vis": seen.visibility.value,
        "body": _json(seen.payload),
    }
    if seen.recalled_by is not None:
        found["recalled_by"] = seen.recalled_by
    return found


def _json(payload: object) -> Any:
    """The members of a payload; a message's content stands for itself."""
    value = to_value(payload)
    return _local(value["content"] if set(value) == {"content"} else value)


def _local(value: Any) -> Any:
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, dict):
        return {name: _local(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_local(member) for member in value]
    return value


def consultation_json(state: Consultation, read: Watermarks, audience: Audience) -> dict[str, Any]:
    """The state as one side sees it; but for `unread` both see the same."""
    last = state.last_message
    return {
        "id": state.id,
        "epoch": state.epoch,
        "last_seq": state.last_seq,
        "version": state.version,
        "state": state.state.value,
        "subject": state.subject,
        "citizen": party_json(state.citizen),
        "matter": to_value(state.matter),
        "case_id": state.case_id,
        "area_code": state.area_code,
        "post_id": state.post_id,
        "department_id": state.department_id,
        "staff": party_json(state.staff),
        "tier": state.tier.value if state.tier else None,
        "explanation": state.explanation,
        "promised_at": moment(state.promised_at),
        "opened_at": moment(state.opened_at),
        "updated_at": moment(state.updated_at),
        "first_answered_at": moment(state.first_answered_at),
        "closed_at": moment(state.closed_at),
        "close_reason": state.close_reason.value if state.close_reason else None,
        "score": state.score,
        "last_message": {
            "seq": last.seq,
            "from": party_json(last.sender),
            "text": last.text,
            "ts": moment(last.at),
        }
        if last
        else None,
        "read": {"citizen": read.citizen, "staff": read.staff},
        "unread": state.unread("citizen", read.citizen)
        if audience is Audience.CITIZEN
        else state.unread("staff", read.staff),
        "waiting_since": moment(state.waiting_since),
    }


def receipt_json(receipt: Receipt) -> dict[str, Any]:
    return {
        "reader": party_json(receipt.reader),
        "delivered": receipt.delivered,
        "read": receipt.read,
    }


class PartyView(View):
    kind: Literal["citizen", "staff", "system"]
    id: str
    name: str


class OperationView(View):
    """咨询记录中的一条操作；对市民隐藏的内容只有序号（kind 为 skip）。"""

    model_config = ConfigDict(serialize_by_alias=True)

    v: int
    conv: Id
    epoch: int
    seq: int = Field(ge=1)
    kind: str
    id: str | None = None
    cid: str | None = None
    sender: PartyView | None = Field(default=None, validation_alias="from", serialization_alias="from")
    ts: Moment | None = None
    vis: Literal["all", "staff"] = "all"
    body: dict[str, Any] = Field(default_factory=dict)
    recalled_by: int | None = None


class OperationsView(View):
    """从某个序号之后的操作。`last_seq` 为目前最后的序号，`more` 表示还没有取完。"""

    conv: Id
    epoch: int
    last_seq: int
    more: bool
    ops: list[OperationView]


class MatterRefView(View):
    id: str
    version: int
    name: str


class PreviewView(View):
    model_config = ConfigDict(serialize_by_alias=True)

    seq: int
    sender: PartyView = Field(validation_alias="from", serialization_alias="from")
    text: str
    ts: Moment


class ReadView(View):
    """双方各读到第几条。"""

    citizen: int
    staff: int


class ConsultationView(View):
    """一次咨询的当前状态。"""

    id: Id
    epoch: int
    last_seq: int
    version: int
    state: Literal["queued", "offered", "active", "waiting_answer", "closed"]
    subject: str
    citizen: PartyView
    matter: MatterRefView | None
    case_id: str | None
    area_code: str | None
    post_id: str | None
    department_id: str | None
    staff: PartyView | None
    tier: str | None
    explanation: str
    promised_at: Moment | None
    opened_at: Moment
    updated_at: Moment
    first_answered_at: Moment | None
    closed_at: Moment | None
    close_reason: str | None
    score: int | None
    last_message: PreviewView | None = Field(
        description="最后一条消息；撤回的显示为“[已撤回]”，只有照片的显示为“[图片]”"
    )
    read: ReadView
    unread: int = Field(description="对方在我方已读之后发的消息数，最多数到 100")
    waiting_since: Moment | None = Field(description="市民最早一条还没有答复的消息的时间；都已答复时为 null")


class ReceiptView(View):
    reader: PartyView
    delivered: int
    read: int
