"""What happened: one kind of record for every aggregate but consultations, whose log is their own.

The same record is the citizen's timeline (`text`), the audit trail (`actor_*`, `changes`) and the outbox
(`data`), so that nothing is announced that is not recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from backend.domain.access import Actor
from backend.domain.ids import derived_id


@dataclass(frozen=True, slots=True)
class Event:
    """One fact about one aggregate.

    `sequence` counts from 1 without gaps and is the aggregate's version after the event. `data` is for
    those who are told and holds no personal data. `changes` are the aggregate's fields as they became:
    applied in order they give the aggregate. `text` is plain Chinese for the citizen, empty for what is
    not shown. `request_id` is the client's name for the action, so that a double tap is one action.
    """

    id: str
    aggregate: str
    aggregate_id: str
    sequence: int
    kind: str
    at: datetime
    actor_kind: str
    actor_id: str
    data: Mapping[str, Any] = field(default_factory=dict)
    changes: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""
    request_id: str | None = None


def record(
    aggregate: str,
    aggregate_id: str,
    sequence: int,
    kind: str,
    *,
    at: datetime,
    by: Actor,
    data: Mapping[str, Any] | None = None,
    changes: Mapping[str, Any] | None = None,
    text: str = "",
    request_id: str | None = None,
) -> Event:
    """An event whose id follows from its place: writing it twice is the same event."""
    return Event(
        id=derived_id("event", f"{aggregate}:{aggregate_id}:{sequence}"),
        aggregate=aggregate,
        aggregate_id=aggregate_id,
        sequence=sequence,
        kind=kind,
        at=at,
        actor_kind=by.kind,
        actor_id=by.id,
        data=data or {},
        changes=changes or {},
        text=text,
        request_id=request_id,
    )
