"""Delivery: every reader's cursor follows the log, one number after the other.

A feed is a consultation somebody on this node reads. Commits of this node and hints of other nodes bring
their operations along, already encoded: they are laid into the sockets at once where they follow what a
reader has. Whoever is not in step is served by the feed's pump, which reads the log. Whatever is sent has
number == cursor + 1, nothing else, so that every reader's view is a prefix of the log whatever was lost,
late or twice.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence, Set
from typing import Any, Literal, Protocol

import structlog

from backend.domain.consultation_operations import Audience, Operation
from backend.domain.consultations import changes_state
from backend.domain.errors import DomainError
from backend.rest.consultation_encoding import Encoded, encoded_operation
from backend.services.consultation_reading import MAX_OPS
from chat.connections import Connection
from chat.counters import Counters
from chat.feeds import Feed

log = structlog.get_logger()

#: Packets waiting in a socket above which nothing more is pushed to it, and for how many seconds at most.
MAX_BACKLOG = 256
MAX_BLOCKED = 30.0
_RETRY_BLOCKED = 0.05
#: How long a new feed waits for its subscription before it reads the log all the same.
_SUBSCRIBING_SECONDS = 0.3

ReadLog = Callable[[str, int], Awaitable[list[Operation]]]
Origin = Literal["local", "hinted"]


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

    def takes(self, connection: Connection) -> bool:
        """Whether this socket takes what is written to it now, or is gone."""
        ...

    async def kick(self, connection: Connection, code: str, retry_after: float | None = None) -> None:
        """Say why and close; `retry_after` in seconds, when the client should come back later than at once."""
        ...


class Feeds:
    """All feeds of this node. `want` and `unwant` tell the hint bus what there are readers for."""

    def __init__(
        self,
        *,
        transport: Transport,
        read_log: ReadLog,
        want: Callable[[str], bool],
        unwant: Callable[[str], None],
        moved: Callable[[str], Awaitable[None]],
        counters: Counters | None = None,
    ) -> None:
        """`want` answers whether hints arrive already; when not, `listening` is to be called once they do.
        `moved` is told when the log says that a consultation changed hands and nobody else did; it sends away
        whoever may not see what the log has, which is shown after that."""
        self._transport = transport
        self._read_log = read_log
        self._want = want
        self._unwant = unwant
        self._moved = moved
        self.counters = counters or Counters()
        self._feeds: dict[str, Feed] = {}
        self._of: dict[Connection, set[str]] = {}
        self._kicking: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._feeds)

    def get(self, consultation_id: str) -> Feed | None:
        return self._feeds.get(consultation_id)

    def readers(self, consultation_id: str) -> list[Connection]:
        feed = self._feeds.get(consultation_id)
        return list(feed.cursors) if feed else []

    def reads(self, connection: Connection, consultation_id: str) -> bool:
        return consultation_id in self._of.get(connection, ())

    def of(self, connection: Connection) -> Set[str]:
        """What a socket follows."""
        return self._of.get(connection, frozenset())

    def newest(self) -> dict[str, int]:
        """For the sweep: what is known of each feed."""
        return {feed.consultation_id: feed.newest for feed in self._feeds.values()}

    # --- readers come and go ---------------------------------------------------------------------

    def attach(
        self, connection: Connection, consultation_id: str, cursor: int, epoch: int = 0, looked_at: int = sys.maxsize
    ) -> None:
        """Let a socket follow a consultation from a number on. Again: from that number on, again.

        `cursor` is a number of the log as it is; `epoch` is the log's, where it is known. `looked_at` is the last
        number of the state by which it may follow, `cursor` or above: what changed hands after it was read is found.
        """
        if connection.closed:
            return
        feed = self._feeds.get(consultation_id)
        if feed is not None and epoch > feed.epoch > 0:
            self._restart(feed)
            feed = None
        if feed is None:
            feed = self._feeds[consultation_id] = Feed(consultation_id)
            if not self._want(consultation_id):  # subscribe first, then read: nothing falls in between
                feed.subscribing = asyncio.get_running_loop().call_later(
                    _SUBSCRIBING_SECONDS, self.listening, consultation_id
                )
        feed.epoch = max(feed.epoch, epoch)
        feed.cursors[connection] = cursor
        feed.newest = max(feed.newest, cursor)
        self._of.setdefault(connection, set()).add(consultation_id)
        feed.probe = True
        feed.newcomers[connection] = looked_at
        self._wake(feed)

    def listening(self, consultation_id: str) -> None:
        """Hints of a consultation arrive from now on, or will not soon: its log may be read."""
        feed = self._feeds.get(consultation_id)
        if feed is not None and feed.subscribing is not None:
            feed.subscribing.cancel()
            feed.subscribing = None
            self._wake(feed)

    def detach(self, connection: Connection, consultation_id: str) -> None:
        feed = self._feeds.get(consultation_id)
        if feed is None or feed.cursors.pop(connection, None) is None:
            return
        self._of[connection].discard(consultation_id)
        feed.owed.discard(connection)
        feed.newcomers.pop(connection, None)
        if not feed.cursors:
            del self._feeds[consultation_id]
            feed.stop_timers()
            self._unwant(consultation_id)

    def drop(self, connection: Connection) -> None:
        """The socket is gone."""
        for consultation_id in list(self._of.get(connection, ())):
            self.detach(connection, consultation_id)
        self._of.pop(connection, None)

    # --- what is new -----------------------------------------------------------------------------

    def committed(self, operations: Sequence[Encoded]) -> None:
        """Operations of one consultation were committed by this node, one after the other."""
        if feed := self._feeds.get(operations[0].consultation_id):
            if operations[0].epoch > feed.epoch > 0:
                self._restart(feed)
            else:
                self._take(feed, operations, "local")

    def told(self, operations: Sequence[Encoded]) -> None:
        """Another node says that it committed these."""
        if feed := self._feeds.get(operations[0].consultation_id):
            if operations[0].epoch == feed.epoch:
                self._take(feed, operations, "hinted")
            elif operations[0].epoch > feed.epoch:  # not known yet, or another log: the database says
                feed.probe = True
                self._wake(feed)

    def hinted(self, consultation_id: str, seq: int, *, swept: bool = False) -> bool:
        """There are operations up to `seq`, which only the sweep found if `swept`. Whether that is news."""
        feed = self._feeds.get(consultation_id)
        if feed is None or seq <= feed.newest:
            return False
        if swept:
            feed.swept = range(feed.newest + 1, seq + 1)
        feed.newest = seq
        self._wake(feed)
        return True

    def nudge(self) -> None:
        """Go on where a read failed or a socket was full, and let go of what nobody talks in."""
        idle = time.monotonic() - 30
        for feed in self._feeds.values():
            if feed.is_behind():
                self._wake(feed)
            elif feed.touched < idle:
                feed.forget()

    # --- what has no number -----------------------------------------------------------------------

    def receipt(self, consultation_id: str, receipt: dict[str, Any]) -> None:
        """Show a reader's watermarks if they are news here; who is too full now gets them later."""
        feed = self._feeds.get(consultation_id)
        if feed is None:
            return
        reader, delivered, read = receipt["reader"], int(receipt["delivered"]), int(receipt["read"])
        body = feed.mark(reader, delivered, read)
        if body is None:
            return
        takers = [c for c in list(feed.cursors) if not self._is_blocked(c, feed)]
        feed.owed.update(c for c in feed.cursors if c not in takers)
        self._transport.push("rcpt", body, takers)

    def sign(self, event: str, consultation_id: str, body: bytes, but: Connection | None = None) -> None:
        """Show what is worth nothing later to everybody else who takes it now."""
        takers = [c for c in self.readers(consultation_id) if c is not but and self._transport.backlog(c) < MAX_BACKLOG]
        if takers:
            self._transport.push(event, body, takers)

    async def close(self) -> None:
        tasks = [feed.task for feed in self._feeds.values() if feed.task is not None]
        tasks += self._kicking
        for feed in self._feeds.values():
            feed.stop_timers()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- pushing ---------------------------------------------------------------------------------

    def _take(self, feed: Feed, operations: Sequence[Encoded], origin: Origin) -> None:
        """Show what follows to whoever is in step, and let the pump see to the others."""
        fresh = operations if operations[0].seq > feed.newest else [o for o in operations if o.seq > feed.newest]
        if not fresh:
            return  # known already, and shown or about to be read
        run = feed.remember(fresh)
        if run:
            self._push(feed, run, origin)
        else:
            self.counters.gaps += 1
        if feed.is_behind() and (not run or feed.retry is None):
            self._wake(feed)

    def _push(self, feed: Feed, run: Sequence[Encoded], origin: Origin) -> None:
        before, last = run[0].seq - 1, run[-1].seq
        citizens: list[Connection] = []
        staff: list[Connection] = []
        for connection, cursor in feed.cursors.items():
            if cursor == before and self._transport.backlog(connection) < MAX_BACKLOG:
                (citizens if connection.audience is Audience.CITIZEN else staff).append(connection)
        if not citizens and not staff:
            return
        for operation in run:
            if citizens:
                self._transport.push("op", operation.citizen, citizens)
            if staff:
                self._transport.push("op", operation.staff, staff)
        for connection in citizens:
            feed.cursors[connection] = last
        for connection in staff:
            feed.cursors[connection] = last
        if origin == "local":
            self.counters.pushed_local += len(run)
        else:
            self.counters.pushed_hinted += len(run)

    def _wake(self, feed: Feed) -> None:
        if feed.subscribing is None and (feed.task is None or feed.task.done()):
            feed.task = asyncio.create_task(self._pump(feed), name="feed")

    def _again(self, feed: Feed) -> None:
        feed.retry = None
        for connection in list(feed.owed):
            if not self._is_blocked(connection, feed):
                feed.owed.discard(connection)
                for *_, body in feed.marks.values():
                    self._transport.push("rcpt", body, [connection])
        self._wake(feed)

    async def _pump(self, feed: Feed) -> None:
        try:
            while await self._advance(feed):
                pass
            feed.swept = range(0)
        except DomainError as error:
            log.warning("feed_waits_for_the_database", error=error.code)  # the sweep nudges
        except Exception:
            log.exception("feed_failed")

    async def _advance(self, feed: Feed) -> bool:
        """Send one stretch of the log to whoever is behind. Whether there may be more to send."""
        probe, feed.probe = feed.probe, False
        behind = [c for c, cursor in feed.cursors.items() if probe or cursor < feed.newest]
        ready = [c for c in behind if not self._is_blocked(c, feed)]
        if not ready:
            return False
        before = {c: feed.cursors[c] for c in ready}
        low, claimed = min(before.values()), feed.newest
        unread = probe or not feed.newcomers.keys().isdisjoint(ready)
        operations = None if unread else feed.after(low)
        if operations is None:
            operations = await self._read(feed, low, probe)
        for operation in operations:
            ready = self._send(feed, operation, ready)
        moved = any(feed.cursors.get(c) != cursor for c, cursor in before.items())
        return moved or feed.probe or feed.newest > claimed

    async def _read(self, feed: Feed, after: int, probe: bool) -> Sequence[Encoded]:
        """What the log has after a number. What it does not have, nobody may claim any more."""
        claimed = feed.newest
        self.counters.reads += 1
        seen = {  # what was pushed to one in between was looked at, or was talk
            c: feed.newcomers.pop(c)
            for c, looked_at in list(feed.newcomers.items())
            if looked_at >= after or feed.cursors.get(c, -1) >= after
        }
        try:
            operations = await self._read_log(feed.consultation_id, after)
            looked_at = feed.looked_at(seen)
            if any(o.seq > looked_at and changes_state(o.payload) for o in operations):
                await self._moved(feed.consultation_id)
        except BaseException:
            feed.probe = feed.probe or probe  # still to be done
            feed.newcomers = {c: n for c, n in seen.items() if c in feed.cursors} | feed.newcomers
            raise
        found = [encoded_operation(o) for o in operations]
        if found and found[0].epoch != feed.epoch:
            if found[0].epoch > feed.epoch > 0:
                self._restart(feed)
                return ()
            feed.epoch = found[0].epoch
        if found:
            feed.newest = max(feed.newest, found[-1].seq)
            feed.probe = feed.probe or len(found) >= MAX_OPS  # there may be more than what is known
        elif feed.newest == claimed > after:
            feed.newest = after  # a hint told more than there is
        return found

    def _send(self, feed: Feed, operation: Encoded, ready: Sequence[Connection]) -> list[Connection]:
        """Show one operation to those who are at the number before it. Who may be shown more."""
        open_to = [c for c in ready if feed.cursors.get(c, -1) >= operation.seq or not self._is_blocked(c, feed)]
        shown = False
        for audience, body in ((Audience.CITIZEN, operation.citizen), (Audience.STAFF, operation.staff)):
            next_here = [c for c in open_to if c.audience is audience and feed.cursors.get(c) == operation.seq - 1]
            if next_here:
                self._transport.push("op", body, next_here)
                for connection in next_here:
                    feed.cursors[connection] = operation.seq
                shown = True
        self.counters.pushed_read += shown
        self.counters.pushed_swept += shown and operation.seq in feed.swept
        return open_to

    def _is_blocked(self, connection: Connection, feed: Feed) -> bool:
        """Whether a socket does not take more now; one that stays so is closed and comes back by itself."""
        if self._transport.backlog(connection) < MAX_BACKLOG:
            connection.blocked_since = None
            return False
        now = time.monotonic()
        if connection.blocked_since is None:
            connection.blocked_since = now
            self.counters.overflows += 1
        if now - connection.blocked_since > MAX_BLOCKED:
            self.kick(connection, "too-slow")
        elif feed.retry is None:
            feed.retry = asyncio.get_running_loop().call_later(_RETRY_BLOCKED, self._again, feed)
        return True

    def _restart(self, feed: Feed) -> None:
        """The log is another one now (a restored database): its readers come back and begin again."""
        self.counters.restarts += 1
        for connection in list(feed.cursors):
            self.kick(connection, "resync")
        feed.forget()
        feed.newest = feed.epoch = 0

    def kick(self, connection: Connection, code: str) -> None:
        """Close a socket without waiting for it: it may take nothing any more."""
        self.drop(connection)
        task = asyncio.create_task(self._transport.kick(connection, code), name="kick")
        self._kicking.add(task)
        task.add_done_callback(self._kicking.discard)
