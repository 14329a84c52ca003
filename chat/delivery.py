"""Delivery: every reader's cursor follows the log, one number after the other.

A feed is a consultation somebody on this node reads. Commits of this node bring their operations along;
hints of other nodes and the sweep only say that there is more, and the feed reads the log. Whatever is
sent goes through one pump per feed: number == cursor + 1, nothing else, so that every reader's view is a
prefix of the log whatever was lost, late or twice.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import structlog

from backend.domain.consultation_operations import Audience, Operation, Recall
from backend.domain.errors import DomainError
from backend.rest.consultation_views import operation_json
from chat.connections import Connection

log = structlog.get_logger()

#: Operations kept in memory per feed, so that readers in step cost no query.
RECENT = 128
#: Packets waiting in a socket above which nothing more is pushed to it, and for how many seconds at most.
MAX_BACKLOG = 256
MAX_BLOCKED = 30.0
_RETRY_BLOCKED = 0.05

ReadLog = Callable[[str, int], Awaitable[list[Operation]]]


class Transport(Protocol):
    """What the pump needs of the socket server."""

    def push(self, event: str, body: bytes, connections: Sequence[Connection]) -> None:
        """Lay an event into the write queue of each socket, in this order, without waiting.

        `body` is the JSON of the event's one argument. Sockets that are gone are passed over.
        """
        ...

    async def emit(self, event: str, data: Any, connections: Sequence[Connection]) -> None:
        """The same for what is not encoded yet."""
        ...

    def backlog(self, connection: Connection) -> int:
        """Packets that wait to be written to this socket, or 4 KB of them, whichever is more.

        So `MAX_BACKLOG` of 256 bounds both: 256 packets, or 1 MB.
        """
        ...

    async def kick(self, connection: Connection, code: str, retry_after: float | None = None) -> None:
        """Say why and close; `retry_after` in seconds, when the client should come back later than at once."""
        ...


class Feed:
    """The readers of one consultation on this node and what they have."""

    def __init__(self, consultation_id: str) -> None:
        self.consultation_id = consultation_id
        self.cursors: dict[Connection, int] = {}
        self.recent: deque[Operation] = deque(maxlen=RECENT)
        self.newest = 0  # the highest number known to be committed
        self.probe = False  # whether the log is to be read even if nothing newer is known
        self.task: asyncio.Task[None] | None = None

    def remember(self, operations: Sequence[Operation]) -> None:
        """Keep operations that were just committed here, as long as they follow each other."""
        for operation in operations:
            if isinstance(operation.payload, Recall):
                self.recent.clear()  # what it emptied is read from the log from now on
            if self.recent and operation.seq != self.recent[-1].seq + 1:
                self.recent.clear()
            self.recent.append(operation)
            self.newest = max(self.newest, operation.seq)

    def after(self, cursor: int) -> list[Operation] | None:
        """What follows `cursor`, when memory has all of it."""
        if not self.recent or self.recent[0].seq > cursor + 1 or self.recent[-1].seq < self.newest:
            return None
        return [operation for operation in self.recent if operation.seq > cursor]


class Feeds:
    """All feeds of this node. `want` and `unwant` tell the hint bus what there are readers for."""

    def __init__(
        self,
        *,
        transport: Transport,
        read_log: ReadLog,
        want: Callable[[str], None],
        unwant: Callable[[str], None],
    ) -> None:
        self._transport = transport
        self._read_log = read_log
        self._want = want
        self._unwant = unwant
        self._feeds: dict[str, Feed] = {}
        self._of: dict[Connection, set[str]] = {}

    def get(self, consultation_id: str) -> Feed | None:
        return self._feeds.get(consultation_id)

    def readers(self, consultation_id: str) -> list[Connection]:
        feed = self._feeds.get(consultation_id)
        return list(feed.cursors) if feed else []

    def reads(self, connection: Connection, consultation_id: str) -> bool:
        return consultation_id in self._of.get(connection, ())

    def newest(self) -> dict[str, int]:
        """For the sweep: what is known of each feed."""
        return {feed.consultation_id: feed.newest for feed in self._feeds.values()}

    def attach(self, connection: Connection, consultation_id: str, cursor: int) -> None:
        """Let a socket follow a consultation from a number on. Again: from that number on, again."""
        if connection.closed:
            return
        feed = self._feeds.setdefault(consultation_id, Feed(consultation_id))
        if connection not in feed.cursors:
            self._want(consultation_id)
        feed.cursors[connection] = cursor
        self._of.setdefault(connection, set()).add(consultation_id)
        feed.probe = True
        self._wake(feed)

    def detach(self, connection: Connection, consultation_id: str) -> None:
        feed = self._feeds.get(consultation_id)
        if feed is None or feed.cursors.pop(connection, None) is None:
            return
        self._unwant(consultation_id)
        self._of[connection].discard(consultation_id)
        if not feed.cursors:
            del self._feeds[consultation_id]

    def drop(self, connection: Connection) -> None:
        """The socket is gone."""
        for consultation_id in list(self._of.get(connection, ())):
            self.detach(connection, consultation_id)
        self._of.pop(connection, None)

    def committed(self, operations: Sequence[Operation]) -> None:
        """Operations of one consultation were committed by this node."""
        if feed := self._feeds.get(operations[0].consultation_id):
            feed.remember(operations)
            self._wake(feed)

    def hinted(self, consultation_id: str, seq: int) -> None:
        """There are operations up to `seq`."""
        feed = self._feeds.get(consultation_id)
        if feed is not None and seq > feed.newest:
            feed.newest = seq
            self._wake(feed)

    def resync(self) -> None:
        """Hints may have been lost: look at the log for every feed."""
        for feed in self._feeds.values():
            feed.probe = True
            self._wake(feed)

    def nudge(self) -> None:
        """Go on where a read failed or a socket was full."""
        for feed in self._feeds.values():
            if any(cursor < feed.newest for cursor in feed.cursors.values()):
                self._wake(feed)

    async def close(self) -> None:
        tasks = [feed.task for feed in self._feeds.values() if feed.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _wake(self, feed: Feed) -> None:
        if feed.task is None or feed.task.done():
            feed.task = asyncio.create_task(self._pump(feed), name="feed")

    async def _pump(self, feed: Feed) -> None:
        try:
            while await self._advance(feed):
                pass
        except DomainError as error:
            log.warning("feed_waits_for_the_database", error=error.code)  # the sweep nudges
        except Exception:
            log.exception("feed_failed")

    async def _advance(self, feed: Feed) -> bool:
        """Send one stretch of the log. Whether there may be more to send."""
        probe, feed.probe = feed.probe, False
        behind = [c for c, cursor in feed.cursors.items() if probe or cursor < feed.newest]
        ready = [c for c in behind if not await self._is_blocked(c, feed)]
        if not ready:
            return False
        low = min(feed.cursors.get(c, feed.newest) for c in ready)
        operations = None if probe else feed.after(low)
        if operations is None:
            operations = await self._read_log(feed.consultation_id, low)
        if not operations:
            return feed.probe  # a hint ahead of what is readable: the sweep comes again
        feed.newest = max(feed.newest, operations[-1].seq)
        for operation in operations:
            await self._send(feed, operation, ready)
        return True

    async def _send(self, feed: Feed, operation: Operation, ready: Sequence[Connection]) -> None:
        for audience in Audience:
            next_here = [c for c in ready if c.audience is audience and feed.cursors.get(c) == operation.seq - 1]
            if next_here:
                for connection in next_here:
                    feed.cursors[connection] = operation.seq
                await self._transport.emit("op", operation_json(operation, audience), next_here)

    async def _is_blocked(self, connection: Connection, feed: Feed) -> bool:
        """Whether a socket does not take more now; one that stays so is closed and comes back by itself."""
        if self._transport.backlog(connection) < MAX_BACKLOG:
            connection.blocked_since = None
            return False
        now = time.monotonic()
        connection.blocked_since = connection.blocked_since or now
        if now - connection.blocked_since > MAX_BLOCKED:
            await self._transport.kick(connection, "too-slow")
        else:
            asyncio.get_running_loop().call_later(_RETRY_BLOCKED, self._wake, feed)
        return True
