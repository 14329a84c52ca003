"""Photographs of consultations: uploaded first, then attached to a message or a note."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote

from backend.domain.errors import IdempotencyConflict

_MAX_NAME = 60
_UNSHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff/\\:\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


@dataclass(frozen=True, slots=True)
class ConsultationPhoto:
    """One photograph that may be attached. `id` is the name the client gave the upload.

    `content_sha256` is the digest of what was sent: the same id with the same content is the same photograph.
    `sha256` addresses the stored file, of `size` bytes. `stored_at` is None until its bytes are there,
    `used_at` when somebody last named it in a message, `kept_at` is set once an operation was seen to carry
    it: what never is carried is deleted after a while.
    """

    id: str
    owner_id: str
    content_sha256: str
    sha256: str
    name: str
    media_type: str
    width: int
    height: int
    size: int
    created_at: datetime
    used_at: datetime
    stored_at: datetime | None = None
    kept_at: datetime | None = None


def check_same(photo: ConsultationPhoto, owner_id: str, content_sha256: str) -> None:
    """Raises `IdempotencyConflict` when the upload id stands for another photograph, or is somebody else's."""
    if (photo.owner_id, photo.content_sha256) != (owner_id, content_sha256):
        raise IdempotencyConflict("这个上传编号已经用于另一张照片。", field="upload_id")


def photo_name(filename: str, media_type: str) -> str:
    """A name to show, from what the client called the file (some clients percent-encode it); the ending is that of
    the stored file."""
    stem = _UNSHOWN.sub("", re.split(r"[/\\]", unquote(filename))[-1]).rsplit(".", 1)[0].strip(" .")
    ending = {"image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp"}.get(media_type, "")
    return f"{stem[:_MAX_NAME] or '照片'}{ending}"
