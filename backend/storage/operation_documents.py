"""Operations as documents and back.

Messages are nearly all of them, so they have encoders and a decoder written by hand; every other kind goes
the general way, and a property test holds that both ways are one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from backend.domain.consultation_content import Attachment, Content
from backend.domain.consultation_operations import (
    PAYLOADS,
    Message,
    Operation,
    OperationKind,
    Party,
    Payload,
    Visibility,
    attachments_of,
)
from backend.domain.consultations import Consultation
from backend.storage.database import Document
from backend.storage.documents import to_document, to_value

_payload_adapters: dict[str, TypeAdapter[Any]] = {kind.value: TypeAdapter(cls) for kind, cls in PAYLOADS.items()}
_party = TypeAdapter(Party)
_VISIBILITIES = {visibility.value: visibility for visibility in Visibility}
_KINDS = frozenset({"citizen", "staff", "system"})
_MESSAGE = OperationKind.MESSAGE.value


def operation_to_document(operation: Operation) -> Document:
    """An operation as it is stored. What staff say to a citizen is still to be relayed."""
    payload = operation.payload
    if not isinstance(payload, Message):
        return general_document(operation)
    document: Document = {
        "_id": operation.id,
        "consultation_id": operation.consultation_id,
        "epoch": operation.epoch,
        "seq": operation.seq,
        "cid": operation.cid,
        "sender": party_value(operation.sender),
        "at": operation.at,
        "payload": {"content": content_value(payload.content)},
        "visibility": operation.visibility._value_,
        "fingerprint": operation.fingerprint,
        "recalled_by": operation.recalled_by,
        "kind": _MESSAGE,
    }
    if operation.sender.kind == "staff" and operation.visibility is Visibility.ALL:
        document["relayed"] = False
    if payload.content.attachments and operation.recalled_by is None:
        document["attachment_ids"] = [attachment.upload_id for attachment in payload.content.attachments]
    return document


def general_document(operation: Operation) -> Document:
    """The same for an operation of any kind, by what its dataclass says."""
    document = to_document(operation)
    document["kind"] = operation.kind.value
    told = operation.sender.kind == "staff" and operation.visibility is Visibility.ALL
    if told and isinstance(operation.payload, Message):
        document["relayed"] = False
    if attachments := attachments_of(operation):
        document["attachment_ids"] = [attachment.upload_id for attachment in attachments]
    return document


def party_value(party: Party) -> Document:
    return {"kind": party.kind, "id": party.id, "name": party.name}


def content_value(content: Content) -> Document:
    """What was said, as it is stored."""
    return {
        "text": content.text,
        "attachments": [_attachment_value(a) for a in content.attachments],
        "location": None if content.location is None else to_value(content.location),
        "card": None if content.card is None else to_value(content.card),
        "reply_to": content.reply_to,
    }


def _attachment_value(attachment: Attachment) -> Document:
    return {
        "upload_id": attachment.upload_id,
        "name": attachment.name,
        "media_type": attachment.media_type,
        "size": attachment.size,
        "width": attachment.width,
        "height": attachment.height,
    }


def operation_from_document(document: Mapping[str, Any]) -> Operation:
    """The operation a document holds; one that does not fit is an error here."""
    return Operation(
        document["_id"],
        document["consultation_id"],
        document["epoch"],
        document["seq"],
        document["cid"],
        party_from_value(document["sender"]),
        document["at"],
        _payload(document["kind"], document["payload"]),
        _VISIBILITIES[document["visibility"]],
        document["fingerprint"],
        document.get("recalled_by"),
    )


def party_from_value(value: Mapping[str, Any]) -> Party:
    kind, id_, name = value["kind"], value["id"], value.get("name", "")
    if kind in _KINDS and type(id_) is str and type(name) is str:
        return Party(kind, id_, name)
    party: Party = _party.validate_python(value)  # says what is wrong with it
    return party


def _payload(kind: str, value: Mapping[str, Any]) -> Payload:
    if kind == _MESSAGE:
        content = value["content"]
        text, reply_to = content.get("text", ""), content.get("reply_to")
        more = content.get("attachments") or content.get("location") or content.get("card")
        if not more and type(text) is str and (reply_to is None or type(reply_to) is int):
            return Message(Content(text, reply_to=reply_to))
    payload: Payload = _payload_adapters[kind].validate_python(value)
    return payload


def talk_value(state: Consultation) -> Document:
    """Of a state that which talk changes: what the lists are brought up to date with. Everything else is
    written together with the operation that changes it."""
    last = state.last_message
    return {
        "last_seq": state.last_seq,
        "citizen": party_value(state.citizen),
        "updated_at": state.updated_at,
        "promised_at": state.promised_at,
        "first_answered_at": state.first_answered_at,
        "last_message": last
        and {"seq": last.seq, "sender": party_value(last.sender), "text": last.text, "at": last.at},
        "unanswered": [{"seq": asked.seq, "at": asked.at} for asked in state.unanswered],
        "citizen_said": list(state.citizen_said),
        "staff_said": list(state.staff_said),
    }
