"""Who may connect now, and when the others shall come: a virtual queue per node.

When a node dies, everybody who was on it comes to the others at once. Connecting is the dearest thing a client
does, so a node lets in so many a second. Whoever is above that is given a place in a queue that nobody has to
stand in: the k-th gets the k-th free slot, goes away, comes back at that time, and is let in. Slots that are
given away are kept for whom they were given to: newcomers get only what is over. Nobody is refused for good: a
place is told again to whoever comes early, and stays where it is.

No clock and no socket in `Queue`, so that its properties can be tested (`tests/chat/test_admission.py`).
"""

from __future__ import annotations

import heapq
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from backend.domain.errors import Unavailable

#: The longest time anybody is told to wait, in seconds. Whose place is farther off is told again then.
LONGEST = 60.0
#: Of what they were told, clients add so much at most (docs/protocol.md); beyond that and the time of a slow
#: network in seconds, a place is given up.
_SPREAD, _GRACE = 0.2, 3.0
#: A timer may be early by so many seconds.
_EARLY = 0.05
_MOST_PLACES = 100_000
#: A ticket of ours lives so long (`backend.services.socket_tickets.LIFETIME`), and so does the right to use it.
_PASS_SECONDS = 60.0

Kind = Literal["citizen", "staff"]


class Busy(Unavailable):
    """The node connects as many as it can; `retry_after` seconds say when this one will be let in."""

    title = "现在连接的人较多"

    def __init__(self, retry_after: float) -> None:
        self.retry_after = round(retry_after, 2)
        super().__init__(f"现在连接的人较多，请在 {math.ceil(retry_after)} 秒后再试。")


@dataclass(slots=True, eq=False)
class _Place:
    due: float
    until: float  # given up then, unless its owner has come
    ripe: bool = False  # its time has come; a slot is kept for it


@dataclass(slots=True)
class Queue:
    """Admits `per_second` in the long run and `burst` at once. Times are seconds of any steady clock."""

    per_second: float
    burst: float
    _tokens: float = field(init=False)
    _at: float = field(init=False, default=-math.inf)
    _speed: float = field(init=False, default=1.0)
    _end: float = field(init=False, default=-math.inf)  # the last slot that was given away
    _ripe: int = field(init=False, default=0)
    _places: dict[str, _Place] = field(init=False, default_factory=dict)
    _coming: list[tuple[float, int, _Place]] = field(init=False, default_factory=list)
    _ends: list[tuple[float, int, str, _Place]] = field(init=False, default_factory=list)
    _count: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._tokens = self.burst

    def __len__(self) -> int:
        """How many have a place."""
        return len(self._places)

    def ask(self, key: str, now: float) -> float:
        """0: come in, which uses the place of `key` up. Else: after how many seconds to come."""
        self._advance(now)
        place = self._places.get(key)
        if place is None:
            return self._newcomer(key, now)
        if now < place.due - _EARLY:
            return self._tell(key, place, now)
        if self._tokens - 1 >= -self.burst:
            self._tokens -= 1
            self._drop(key, place)
            return 0.0
        # The node is slower than it was when it promised: those who wait longest go first, soon.
        if place.ripe:
            self._ripe, place.ripe = self._ripe - 1, False
        self._take(place, now + (self._ripe + 1) / self.per_second)
        return self._tell(key, place, now)

    def is_due(self, key: str, now: float) -> bool:
        """Whether `key` has a place whose time has come."""
        place = self._places.get(key)
        return place is not None and now >= place.due - _EARLY

    def debit(self, now: float) -> None:
        """Somebody was let in by another way: one less here."""
        self._advance(now)
        self._tokens = max(-self.burst, self._tokens - 1)

    def slow_down(self, speed: float, now: float) -> None:
        """Go at `speed` (0 – 1) from now on. Places that were given stay."""
        self._advance(now)
        self._speed = speed

    def _newcomer(self, key: str, now: float) -> float:
        if self._tokens - self._ripe >= 1:
            self._tokens -= 1
            return 0.0
        if len(self._places) >= _MOST_PLACES:
            return LONGEST
        place = self._places[key] = _Place(0.0, 0.0)
        self._end = max(self._end, now) + 1 / self.per_second
        self._take(place, self._end)
        return self._tell(key, place, now)

    def _take(self, place: _Place, due: float) -> None:
        place.due = due
        self._count += 1
        heapq.heappush(self._coming, (due, self._count, place))

    def _tell(self, key: str, place: _Place, now: float) -> float:
        wait = min(LONGEST, max(_EARLY, place.due - now))
        place.until = now + wait * (1 + _SPREAD) + _GRACE
        self._count += 1
        heapq.heappush(self._ends, (place.until, self._count, key, place))
        return wait

    def _drop(self, key: str, place: _Place) -> None:
        del self._places[key]
        self._ripe -= place.ripe
        place.ripe, place.until = False, -math.inf

    def _advance(self, now: float) -> None:
        while self._coming and self._coming[0][0] <= now:
            due, _, place = heapq.heappop(self._coming)
            if place.due == due and place.until > -math.inf and not place.ripe:
                place.ripe = True
                self._ripe += 1
        passed = 0.0 if self._at == -math.inf else max(0.0, now - self._at)
        self._at = max(self._at, now)
        # What those whose time has come have not used yet is kept for them beyond the burst.
        most = self.burst + self._ripe
        self._tokens = min(most, self._tokens + passed * self.per_second * self._speed)
        while self._ends and self._ends[0][0] <= now:
            until, _, key, place = heapq.heappop(self._ends)
            if place.until == until and self._places.get(key) is place:
                self._drop(key, place)


class Admission:
    """The way in to one node: tickets over HTTP, then sockets; desks before citizens.

    A ticket that was given here is the right to one socket here: nobody waits twice. Sockets with tickets of
    other nodes have a wider gate of their own, in case a balancer sends everybody to one node.
    """

    def __init__(self, per_second: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`per_second`: people who may begin to connect; half as many at once."""
        self._clock = clock
        self._per_second = per_second
        self._tickets = {kind: _queue(per_second) for kind in ("citizen", "staff")}
        self._sockets = {kind: _queue(2 * per_second) for kind in ("citizen", "staff")}
        self._passes: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self.refused = 0

    def waiting(self) -> int:
        """How many were told to come later and have not come."""
        return sum(len(queue) for queues in (self._tickets, self._sockets) for queue in queues.values())

    def ticket(self, kind: str, holder: str) -> None:
        """Somebody asks for a ticket. Raises `Busy`. `holder` is of `backend.services.socket_tickets.holder_of`."""
        now = self._clock()
        if self._sockets[kind].is_due(holder, now):
            self._tickets[kind].debit(now)  # sent away from the second gate, and back in time
        else:
            self._ask(self._tickets[kind], holder, now)
        if kind == "staff":  # citizens wait for desks: these have a budget of their own, and it is of the same node
            self._tickets["citizen"].debit(now)
        until, count = self._passes.pop(holder, (now, 0))
        self._passes[holder] = (now + _PASS_SECONDS, count + 1 if until > now else 1)
        while self._passes and next(iter(self._passes.values()))[0] <= now:
            self._passes.popitem(last=False)

    def socket(self, kind: str, ticket: str) -> None:
        """Somebody comes with a ticket, which may be anything. Raises `Busy`."""
        now, holder = self._clock(), ticket.partition(".")[0]
        until, count = self._passes.get(holder, (now, 0))
        if until > now:
            if count > 1:
                self._passes[holder] = (until, count - 1)
            else:
                del self._passes[holder]
            return
        self._ask(self._sockets[kind], holder, now)

    def follow(self, lag: float, ungreeted: int) -> None:
        """The event loop is late by `lag` seconds, and so many who have a socket still wait to be greeted: connect the
        fewer, the more that is, and hardly anybody while as many wait as come within `_GREETED_WITHIN`.

        Whoever waits longer than a client's patience goes and begins again, and what was done for it was done for
        nobody: a node that goes on letting people in then never greets anybody.
        """
        now = self._clock()
        by_lag = max(_SLOWEST, _LAG / max(lag, _LAG))
        by_greeting = 2 * (1 - ungreeted / max(1.0, self._per_second * _GREETED_WITHIN))
        speed = min(by_lag, max(_AJAR, by_greeting))
        for queue in (*self._tickets.values(), *self._sockets.values()):
            queue.slow_down(speed, now)

    def _ask(self, queue: Queue, holder: str, now: float) -> None:
        if wait := queue.ask(holder, now):
            self.refused += 1
            raise Busy(wait)


#: Seconds of lag that mean nothing, and the part of its speed at which a node that is late goes on connecting at least.
_LAG, _SLOWEST = 0.15, 0.25
#: As many may wait for their greeting as are let in within so many seconds. The door stays ajar: who connects and
#: never says hello cannot shut it.
_GREETED_WITHIN, _AJAR = 2.0, 0.1


def _queue(per_second: float) -> Queue:
    return Queue(per_second, burst=max(1.0, per_second / 2))
