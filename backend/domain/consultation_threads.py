"""A consultation as people read it: bubbles, folded from the log with edits and recalls applied.

The reference for every client: whoever folds the same operations in the same order shows the same thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType

from backend.domain.consultation_content import EMPTY, Content
from backend.domain.consultation_operations import Edit, Message, Note, Operation, Party, Recall
from backend.domain.consultations import Consultation, apply


@dataclass(frozen=True, slots=True)
class Bubble:
    """One message or note. `edited_at` and `recalled` are shown as such."""

    seq: int
    cid: str
    sender: Party
    at: datetime
    content: Content
    note: bool = False
    edited_at: datetime | None = None
    recalled: bool = False


@dataclass(frozen=True, slots=True)
class Thread:
    """The state of a consultation and its bubbles by sequence number."""

    consultation: Consultation | None = None
    bubbles: Mapping[int, Bubble] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def last_seq(self) -> int:
        return self.consultation.last_seq if self.consultation else 0


def apply_to_thread(thread: Thread, operation: Operation) -> Thread:
    """The thread after one more operation. Raises `SequenceGap` for one that does not follow."""
    bubbles = dict(thread.bubbles)
    match operation.payload:
        case Message(content=content):
            bubbles[operation.seq] = _bubble(operation, content)
        case Note(text=text, attachments=attachments):
            bubbles[operation.seq] = replace(_bubble(operation, Content(text, attachments)), note=True)
        case Edit(target_seq=target, text=text) if (old := bubbles.get(target)) and not old.recalled:
            bubbles[target] = replace(old, content=replace(old.content, text=text), edited_at=operation.at)
        case Recall(target_seq=target) if old := bubbles.get(target):
            bubbles[target] = replace(old, content=EMPTY, edited_at=None, recalled=True)
        case _:
            pass
    return Thread(apply(thread.consultation, operation), MappingProxyType(bubbles))


def _bubble(operation: Operation, content: Content) -> Bubble:
    return Bubble(
        seq=operation.seq,
        cid=operation.cid,
        sender=operation.sender,
        at=operation.at,
        content=content,
        recalled=operation.recalled_by is not None,
    )
