"""What clients send: one model for each event. Unknown members are refused, so that a typo is no silent loss."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from backend.domain.consultation_content import (
    MAX_ATTACHMENTS,
    Attachment,
    Card,
    CardKind,
    Content,
    Location,
)
from backend.domain.consultation_operations import CloseReason
from backend.rest.views import Body, Id

#: Longer than any limit of the rules: those give the better answer.
_LONG = 10_000
_SEQ_MAX = 2**53

Seq = Annotated[int, Field(ge=0, le=_SEQ_MAX)]
Cursor = tuple[Seq, Seq]


class AttachmentBody(Body):
    upload_id: Id


class LocationBody(Body):
    latitude: float = Field(ge=-90, le=90, allow_inf_nan=False)
    longitude: float = Field(ge=-180, le=180, allow_inf_nan=False)
    name: str = Field(default="", max_length=100)
    address: str = Field(default="", max_length=200)


class CardBody(Body):
    kind: CardKind
    target_id: str = Field(max_length=64)
    title: str = Field(max_length=200)
    version: int | None = Field(default=None, ge=1, le=_SEQ_MAX)
    item: str | None = Field(default=None, max_length=100)


class ContentBody(Body):
    """消息内容：文字、附件、位置、卡片至少有一样。"""

    text: str = Field(default="", max_length=_LONG)
    attachments: list[AttachmentBody] = Field(default_factory=list, max_length=MAX_ATTACHMENTS)
    location: LocationBody | None = None
    card: CardBody | None = None
    reply_to: int | None = Field(default=None, ge=1, le=_SEQ_MAX)

    def content(self) -> Content:
        return Content(
            text=self.text,
            attachments=tuple(Attachment(a.upload_id) for a in self.attachments),
            location=Location(**self.location.model_dump()) if self.location else None,
            card=Card(**self.card.model_dump()) if self.card else None,
            reply_to=self.reply_to,
        )


class Connect(Body):
    """The `auth` of a connection."""

    ticket: str = Field(max_length=200)
    device: str = Field(default="", max_length=100)
    v: int


class Hello(Body):
    cursors: dict[Id, Cursor] = Field(default_factory=dict, max_length=200)
    rest: bool = True
    """Whether to be told of what is under way and not named in `cursors`."""


class Open(Body):
    cid: Id
    subject: str = Field(max_length=_LONG)
    matter_id: Id | None = None
    case_id: Id | None = None
    area_code: str | None = Field(default=None, pattern=r"^\d{6,12}$")
    body: ContentBody | None = None


class InConversation(Body):
    conv: Id


class Act(InConversation):
    cid: Id


class Send(Act):
    body: ContentBody


class EditMessage(Act):
    target_seq: Seq
    text: str = Field(max_length=_LONG)


class RecallMessage(Act):
    target_seq: Seq


class AddNote(Act):
    text: str = Field(max_length=_LONG)


class Decide(Act):
    ver: Seq


class Decline(Decide):
    reason: str = Field(max_length=_LONG)


class Transfer(Decide):
    post_id: Id
    reason: str = Field(max_length=_LONG)


class CloseIt(Act):
    ver: Seq | None = None
    reason: CloseReason = CloseReason.ANSWERED
    remark: str = Field(default="", max_length=_LONG)


class Rate(Act):
    score: int = Field(ge=-_SEQ_MAX, le=_SEQ_MAX)
    comment: str = Field(default="", max_length=_LONG)


class GetOps(InConversation):
    epoch: Seq
    after: Seq
    limit: int = Field(default=200, ge=1, le=200)


class ReadReceipt(InConversation):
    delivered: Seq = 0
    read: Seq = 0


class Beat(Body):
    convs: dict[Id, Seq] = Field(default_factory=dict, max_length=200)


class SetPresence(Body):
    state: Literal["available", "away"]
