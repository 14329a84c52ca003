"""One feed: the readers of one consultation on this node, and the latest operations for them."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence

from backend.rest.consultation_encoding import Encoded, json_bytes
from chat.connections import Connection

#: Operations and bytes kept in memory per feed, so that readers nearly in step cost no query.
RECENT = 128
RECENT_BYTES = 64 * 1024


class Feed:
    """Who reads a consultation here and what they have."""

    __slots__ = (
        "_kept",
        "checked",
        "consultation_id",
        "cursors",
        "epoch",
        "marks",
        "newcomers",
        "newest",
        "owed",
        "probe",
        "recent",
        "retry",
        "subscribing",
        "swept",
        "task",
        "touched",
    )

    def __init__(self, consultation_id: str) -> None:
        self.consultation_id = consultation_id
        self.cursors: dict[Connection, int] = {}
        self.epoch = 0  # 0: not known yet
        self.recent: deque[Encoded] = deque()
        self._kept = 0
        self.newest = 0  # the highest number known to be committed
        self.newcomers: dict[Connection, int] = {}  # attached since the log was read, as `Feeds.attach` says
        self.probe = False  # whether the log is to be read even if nothing newer is known
        self.task: asyncio.Task[None] | None = None
        self.retry: asyncio.TimerHandle | None = None  # until a full socket is looked at again
        self.subscribing: asyncio.TimerHandle | None = None  # until hints arrive
        self.swept = range(0)  # the numbers that only the sweep told of, until they are shown
        self.touched = time.monotonic()
        self.checked = 0  # the number up to which the rights of those who follow were looked at
        self.marks: dict[tuple[str, str], tuple[int, int, bytes]] = {}  # receipts shown here, by reader
        self.owed: set[Connection] = set()  # sockets that were too full for a receipt

    def looked_at(self, seen: Mapping[Connection, int]) -> int:
        """The number up to which it is sure that all who follow may; `seen` are those who were newcomers."""
        return min((seen.get(c, self.newcomers.get(c, self.checked)) for c in self.cursors), default=self.checked)

    def remember(self, fresh: Sequence[Encoded]) -> Sequence[Encoded]:
        """Keep operations above `newest`. Returns them when they follow it without a gap, else nothing; nothing
        as well where one recalls what may be before it here.

        A recall empties what memory keeps, its own number and later ones excepted: the log is read for
        what came before, and gives the recalled message and its edits without their texts.
        """
        follows = fresh[0].seq == self.newest + 1
        if len(fresh) > 1:
            follows = follows and not any(operation.recalls for operation in fresh[1:])
        for operation in fresh:
            if operation.recalls or (self.recent and operation.seq != self.recent[-1].seq + 1):
                self.forget()
            follows = follows and operation.seq == self.newest + 1
            self.recent.append(operation)
            self._kept += len(operation.staff)
            self.newest = operation.seq
        while len(self.recent) > RECENT or self._kept > RECENT_BYTES:
            self._kept -= len(self.recent.popleft().staff)
        if not self.epoch:
            self.epoch = fresh[-1].epoch
        self.touched = time.monotonic()
        return fresh if follows else ()

    def forget(self) -> None:
        """Let go of what memory keeps."""
        self.recent.clear()
        self._kept = 0

    def after(self, cursor: int) -> Sequence[Encoded] | None:
        """What follows `cursor`, when memory has all of it."""
        if not self.recent or self.recent[0].seq > cursor + 1 or self.recent[-1].seq < self.newest:
            return None
        return [operation for operation in self.recent if operation.seq > cursor]

    def is_behind(self) -> bool:
        """Whether somebody lacks something that is known."""
        newest = self.newest
        return any(cursor < newest for cursor in self.cursors.values())

    def mark(self, reader: dict[str, str], delivered: int, read: int) -> bytes | None:
        """A reader's watermarks as they are to be shown, or None when more was shown already: those of several
        devices on several nodes overtake each other on their way here."""
        key = (reader["kind"], reader["id"])
        before = self.marks.get(key, (0, 0, b""))
        if delivered <= before[0] and read <= before[1]:
            return None
        delivered, read = max(delivered, before[0]), max(read, before[1])
        body = json_bytes({"conv": self.consultation_id, "reader": reader, "delivered": delivered, "read": read})
        self.marks[key] = (delivered, read, body)
        return body

    def stop_timers(self) -> None:
        for timer in (self.retry, self.subscribing):
            if timer is not None:
                timer.cancel()
        self.retry = self.subscribing = None
