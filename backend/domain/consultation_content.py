"""What may be said in a consultation: texts, attachments, locations, cards, and the limits on them.

A text is kept exactly as it was typed (no trimming, no normalising, no escaping: that is the reader's
duty); what cannot be shown or stored safely is refused with a reason instead of being changed in silence.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from json.encoder import encode_basestring_ascii

from backend.domain.errors import InvalidInput, TooLarge
from backend.domain.ids import is_uuid

MAX_TEXT = 2000  # characters (code points) of a message or a note
MAX_SUBJECT = 100
MAX_REASON = 200
MAX_PREVIEW = 80  # characters of the last message in a list
MAX_ATTACHMENTS = 9  # as many pictures as WeChat lets one choose at once

#: What is refused: halves of characters, and controls but those a person types (tabulator, line feed, return).
_REFUSED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
#: Invisible on every screen: a text of these alone says nothing.
_INVISIBLE = frozenset("\u200b\u200c\u200d\u2060\ufeff\u00ad\u180e\u200e\u200f\u2061\u2062\u2063\u2064")


class CardKind(StrEnum):
    """What a card shows: a guide, a case, or a request to hand in one material."""

    GUIDE = "guide"
    CASE = "case"
    MATERIAL_REQUEST = "material_request"


@dataclass(frozen=True, slots=True)
class Attachment:
    """A photograph by reference to an upload. `size` is in bytes, `width` and `height` in pixels."""

    upload_id: str
    name: str = ""
    media_type: str = ""
    size: int = 0
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class Location:
    """A place, in GCJ-02 degrees, which is what WeChat gives and what its maps want."""

    latitude: float
    longitude: float
    name: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """A thing of the product shown in a message, at the version it had: `target_id` is a matter for a
    guide, else a case; `item` is the key of the material that is asked for."""

    kind: CardKind
    target_id: str
    title: str
    version: int | None = None
    item: str | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """The body of a message. At least one of text, attachments, location, card; `reply_to` is the
    sequence number of the message that is quoted."""

    text: str = ""
    attachments: tuple[Attachment, ...] = ()
    location: Location | None = None
    card: Card | None = None
    reply_to: int | None = None


EMPTY = Content()


def checked_text(text: str, *, field: str, limit: int = MAX_TEXT, required: bool = True) -> str:
    """`text` unchanged, if it may be sent.

    Raises `InvalidInput` for nothing visible (when required), for control characters and for halves of
    characters, `TooLarge` above `limit` characters.
    """
    if len(text) > limit:
        raise TooLarge(f"内容太长：最多 {limit} 个字，请分几次发送。", field=field, limit=limit)
    if refused := _REFUSED.search(text):
        if refused.group() >= "\ud800":
            raise InvalidInput("内容里有不完整的字符，请重新输入。", field=field)
        raise InvalidInput("内容里有不能显示的控制字符，请删除后再发送。", field=field)
    if required and not any(char not in _INVISIBLE and not char.isspace() for char in text):
        raise InvalidInput("内容不能为空。", field=field)
    return text


def checked_content(content: Content) -> Content:
    """`content` unchanged, if it may be sent; the errors of `checked_text` otherwise."""
    bare = not (content.attachments or content.location or content.card)
    checked_text(content.text, field="body.text", required=bare)
    check_attachments(content.attachments, field="body.attachments")
    if content.location is not None:
        _check_location(content.location)
    if content.card is not None:
        checked_text(content.card.title, field="body.card.title", limit=200)
        checked_text(content.card.target_id, field="body.card.target_id", limit=64)
        checked_text(content.card.item or "", field="body.card.item", limit=100, required=False)
        if content.card.kind is CardKind.MATERIAL_REQUEST and not content.card.item:
            raise InvalidInput("请说明需要哪一份材料。", field="body.card.item")
    if content.reply_to is not None and content.reply_to < 1:
        raise InvalidInput("引用的消息不存在。", field="body.reply_to")
    return content


def check_attachments(attachments: Sequence[Attachment], *, field: str) -> None:
    """Raises `TooLarge` for too many, `InvalidInput` for one that is named twice or is no upload at all."""
    if len(attachments) > MAX_ATTACHMENTS:
        raise TooLarge(f"一次最多发送 {MAX_ATTACHMENTS} 张照片。", field=field)
    if len({a.upload_id for a in attachments}) != len(attachments):
        raise InvalidInput("同一张照片重复了。", field=field)
    for attachment in attachments:
        if not is_uuid(attachment.upload_id):
            raise InvalidInput("照片编号不正确。", field=field)
        checked_text(attachment.name, field=field, limit=200, required=False)


def _check_location(location: Location) -> None:
    in_range = abs(location.latitude) <= 90 and abs(location.longitude) <= 180
    if not (math.isfinite(location.latitude) and math.isfinite(location.longitude) and in_range):
        raise InvalidInput("位置不正确。", field="body.location")
    checked_text(location.name, field="body.location.name", limit=100, required=False)
    checked_text(location.address, field="body.location.address", limit=200, required=False)


def preview_of(content: Content, limit: int = MAX_PREVIEW) -> str:
    """One line for lists: the beginning of the text, or what stands in its place."""
    if text := " ".join(content.text[: limit * 4].split()):
        return text if len(text) <= limit else text[: limit - 1] + "…"
    if content.attachments:
        return "[图片]"
    if content.location:
        return "[位置]"
    return f"[卡片] {content.card.title}"[:limit] if content.card else ""


def text_fingerprint(kind: str, text: str, reply_to: int | None) -> str:
    """`fingerprint` of a body that is nothing but a text and perhaps a quote, which nearly all are."""
    quoted = "null" if reply_to is None else str(reply_to)
    canonical = (
        f'["{kind}",{{"body":{{"attachments":[],"card":null,"location":null,'
        f'"reply_to":{quoted},"text":{encode_basestring_ascii(text)}}}}}]'
    )
    return hashlib.sha256(canonical.encode()).hexdigest()


def fingerprint(kind: str, **inputs: object) -> str:
    """A hash over what the client asked for, so that a retry is told from another request that reuses the
    same client id. `inputs` must be JSON values."""
    canonical = json.dumps([kind, inputs], sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
