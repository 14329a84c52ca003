"""What clients say in a consultation: the same body over HTTP and sockets."""

from __future__ import annotations

from pydantic import Field

from backend.domain.consultation_content import (
    MAX_ATTACHMENTS,
    Attachment,
    Card,
    CardKind,
    Content,
    Location,
)
from backend.rest.views import Body, Id

#: Longer than any limit of the rules: those give the better answer.
LONG = 10_000
#: Numbers that every client can count to.
SEQ_MAX = 2**53


class AttachmentBody(Body):
    upload_id: Id


class LocationBody(Body):
    latitude: float = Field(ge=-90, le=90, allow_inf_nan=False)
    longitude: float = Field(ge=-180, le=180, allow_inf_nan=False)
    name: str = Field(default="", max_length=100)
    address: str = Field(default="", max_length=200)


class CardBody(Body):
    kind: CardKind
    target_id: Id
    title: str = Field(max_length=200)
    version: int | None = Field(default=None, ge=1, le=SEQ_MAX)
    item: str | None = Field(default=None, max_length=100)


class ContentBody(Body):
    """消息内容：文字、附件、位置、卡片至少有一样。"""

    text: str = Field(default="", max_length=LONG)
    attachments: list[AttachmentBody] = Field(default_factory=list, max_length=MAX_ATTACHMENTS)
    location: LocationBody | None = None
    card: CardBody | None = None
    reply_to: int | None = Field(default=None, ge=1, le=SEQ_MAX)

    def content(self) -> Content:
        return Content(
            text=self.text,
            attachments=tuple(Attachment(a.upload_id) for a in self.attachments),
            location=Location(**self.location.model_dump()) if self.location else None,
            card=Card(**self.card.model_dump()) if self.card else None,
            reply_to=self.reply_to,
        )
