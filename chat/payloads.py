"""What clients send: one model for each event. Unknown members are refused, so that a typo is no silent loss."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field

from backend.domain.consultation_content import MAX_ATTACHMENTS
from backend.domain.consultation_operations import CloseReason
from backend.domain.ids import UUID_LENGTH, is_uuid
from backend.rest.consultation_bodies import LONG, SEQ_MAX, AttachmentBody, ContentBody
from backend.rest.views import Body, Id

Seq = Annotated[int, Field(ge=0, le=SEQ_MAX, strict=True)]
Cursor = tuple[Seq, Seq]


def _all(spoken: Any) -> Any:
    """One version is a list of one: of two kinds of value, pydantic would name each in the field of a mistake."""
    return [spoken] if isinstance(spoken, int) else spoken


class Connect(Body):
    """The `auth` of a connection."""

    ticket: str = Field(max_length=200)
    device: str = Field(default="", max_length=100)
    v: Annotated[list[int], Field(min_length=1, max_length=20), BeforeValidator(_all)]
    """The version of the protocol the client speaks, or all that it speaks."""

    @property
    def versions(self) -> set[int]:
        return set(self.v)


class Hello(Body):
    cursors: dict[Id, Cursor] = Field(default_factory=dict, max_length=200)
    rest: bool = True
    """Whether to be told of what is under way and not named in `cursors`."""


class Open(Body):
    cid: Id
    subject: str = Field(max_length=LONG)
    matter_id: Id | None = None
    case_id: Id | None = None
    area_code: str | None = Field(default=None, pattern=r"^[0-9]{6,12}$")
    body: ContentBody | None = None


class InConversation(Body):
    conv: Id


class Act(InConversation):
    cid: Id


class Send(Act):
    body: ContentBody


class Words(NamedTuple):
    """A `Send` of words alone, and perhaps a quote."""

    conv: str
    cid: str
    text: str
    reply_to: int | None


def plain_words(data: Any) -> tuple[str, str, Words] | None:
    """`msg:send` as nearly all are, with its consultation and client id; None for what only `Send` can read or
    refuse."""
    if type(data) is not dict or len(data) != 3:
        return None
    conv, cid, body = data.get("conv"), data.get("cid"), data.get("body")
    if type(body) is not dict or type(conv) is not str or type(cid) is not str:
        return None
    text, reply_to = body.get("text"), body.get("reply_to")
    if len(body) != 1 + ("reply_to" in body) or type(text) is not str or not 0 < len(text) <= LONG:
        return None
    if reply_to is not None and not (type(reply_to) is int and 1 <= reply_to <= SEQ_MAX):
        return None
    if not (len(conv) == len(cid) == UUID_LENGTH and is_uuid(conv) and is_uuid(cid)):
        return None
    return conv, cid, Words(conv, cid, text, reply_to)


class EditMessage(Act):
    target_seq: Seq
    text: str = Field(max_length=LONG)


class RecallMessage(Act):
    target_seq: Seq


class AddNote(Act):
    text: str = Field(default="", max_length=LONG)
    attachments: list[AttachmentBody] = Field(default_factory=list, max_length=MAX_ATTACHMENTS)


class Decide(Act):
    ver: Seq


class Decline(Decide):
    reason: str = Field(max_length=LONG)


class Transfer(Decide):
    post_id: Id
    reason: str = Field(max_length=LONG)


class CloseIt(Act):
    ver: Seq | None = None
    reason: CloseReason = CloseReason.ANSWERED
    remark: str = Field(default="", max_length=LONG)


class Rate(Act):
    score: int = Field(ge=-SEQ_MAX, le=SEQ_MAX, strict=True)
    comment: str = Field(default="", max_length=LONG)


class GetOps(InConversation):
    epoch: Seq
    after: Seq
    limit: int = Field(default=200, ge=1, le=200, strict=True)


class ReadReceipt(InConversation):
    delivered: Seq = 0
    read: Seq = 0


def plain_receipt(data: Any) -> tuple[str, str, tuple[str, int, int]] | None:
    """`rcpt` as nearly all are, in the form of `plain_words`; None for what only `ReadReceipt` can read or refuse."""
    if type(data) is not dict:
        return None
    conv, delivered, read = data.get("conv"), data.get("delivered", 0), data.get("read", 0)
    if type(conv) is not str or type(delivered) is not int or type(read) is not int:
        return None
    if len(data) != 1 + ("delivered" in data) + ("read" in data):
        return None
    if not (0 <= delivered <= SEQ_MAX and 0 <= read <= SEQ_MAX and len(conv) == UUID_LENGTH and is_uuid(conv)):
        return None
    return conv, "", (conv, delivered, read)


class Beat(Body):
    convs: dict[Id, Seq] = Field(default_factory=dict, max_length=200)


class SetPresence(Body):
    state: Literal["available", "away"]
