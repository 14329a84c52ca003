"""The open sockets of one node and who is behind them."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from typing import Any

from backend.domain.access import Actor
from backend.domain.consultation_operations import Audience
from backend.domain.errors import RateLimited, Unavailable
from backend.under_way import UnderWay
from chat.order import SendOrder

#: Events one socket may send a second in the long run; four times as many at once.
PER_SECOND = 15.0
#: Seconds after which a client that was not greeted goes and begins again.
PATIENCE = 20.0
#: Sockets of one person on this node.
MAX_SOCKETS = 20
#: A right that was taken away is felt after this many seconds at the latest; see `chat.rights`.
ACTOR_SECONDS = 15.0


class NodeLeaves(Unavailable):
    """This node sends its sockets elsewhere: one that comes only now goes there at once."""

    retry_after = 1


class Connection:
    """One socket: its person, its budget of events, and the order of its events per consultation."""

    def __init__(self, sid: str, namespace: str, actor: Actor, device: str, per_second: float) -> None:
        self.sid = sid
        self.namespace = namespace
        self.actor = actor
        self.device = device
        self.version = 1  # of the protocol, agreed upon when it connected
        self.socket: Any = None  # of Engine.IO, once it was written to
        self.closed = False
        self.ready = False  # said hello, and was greeted
        self.came = time.monotonic()
        self.blocked_since: float | None = None
        self.looked_at = time.monotonic()  # when the rights of the person were read
        self.order = SendOrder()
        self._per_second = per_second
        self._tokens = per_second * 4
        self._refilled = self.looked_at
        self._turns: dict[str, deque[asyncio.Future[None]]] = {}
        self._typed: dict[str, float] = {}
        self.asked = UnderWay()
        """What this socket asked for and has no answer to yet."""

    @property
    def audience(self) -> Audience:
        return Audience.CITIZEN if self.namespace == "/citizen" else Audience.STAFF

    def spend(self) -> None:
        """Count one event. Raises `RateLimited`."""
        now = time.monotonic()
        self._tokens = min(self._per_second * 4, self._tokens + (now - self._refilled) * self._per_second)
        self._refilled = now
        if self._tokens < 1:
            raise RateLimited(retry_after=1)
        self._tokens -= 1

    def may_type(self, consultation_id: str) -> bool:
        """At most one typing sign in three seconds; the others are dropped."""
        now = time.monotonic()
        if now - self._typed.get(consultation_id, float("-inf")) < 3:
            return False
        self._typed = {c: at for c, at in self._typed.items() if now - at < 3}
        self._typed[consultation_id] = now
        return True

    def turn(self, key: str) -> Turn:
        """`async with`: one event at a time per key, in the order of arrival.

        Each event that takes a turn runs in a task of its own; tasks start in the order of arrival, so nothing may
        be awaited before it.
        """
        return Turn(self._turns, key)

    def has_turn(self, key: str) -> bool:
        """Whether an event of this key is being done, or waits to be."""
        return key in self._turns

    @property
    def refresh_due(self) -> bool:
        """Whether the rights of the person are to be looked up again."""
        return time.monotonic() - self.looked_at > ACTOR_SECONDS

    def learned(self, actor: Actor, at: float) -> bool:
        """The rights as they were read from `at` on. Whether they are others than those that were known."""
        if at < self.looked_at:  # somebody looked later
            return False
        self.looked_at = at
        if actor == self.actor:
            return False
        self.actor = actor
        return True


class Turn:
    """A fair lock per key that costs nothing while nobody waits."""

    __slots__ = ("_key", "_turns")

    def __init__(self, turns: dict[str, deque[asyncio.Future[None]]], key: str) -> None:
        self._turns = turns
        self._key = key

    async def __aenter__(self) -> None:
        waiting = self._turns.get(self._key)
        if waiting is None:
            self._turns[self._key] = deque()
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if not mine.cancelled():  # the turn had come at the same moment
                self._next()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._next()

    def _next(self) -> None:
        waiting = self._turns[self._key]
        while waiting:
            following = waiting.popleft()
            if not following.done():
                following.set_result(None)
                return
        del self._turns[self._key]


class Connections:
    """All sockets of this node, by socket and by person."""

    def __init__(self, *, per_second: float = PER_SECOND) -> None:
        """`per_second` bounds the events of each socket."""
        self.per_second = per_second
        self.leaving = False
        """Whether sockets are being sent elsewhere: none is taken any more."""
        self.arriving = UnderWay()
        """Whoever is being looked at, and is neither taken nor refused yet."""
        self._by_sid: dict[str, Connection] = {}
        self._by_person: defaultdict[tuple[str, str], set[Connection]] = defaultdict(set)

    def add(self, connection: Connection) -> None:
        """Raises `RateLimited` above `MAX_SOCKETS` of one person, `NodeLeaves` when sockets go elsewhere."""
        if self.leaving:
            raise NodeLeaves("系统正在更新，正在为您重新连接。")
        person = (connection.actor.kind, connection.actor.id)
        if len(self._by_person.get(person, ())) >= MAX_SOCKETS:
            raise RateLimited("同时打开的连接过多，请先关闭其他页面或设备。", retry_after=30)
        self._by_sid[connection.sid] = connection
        self._by_person[person].add(connection)

    def remove(self, sid: str) -> Connection | None:
        connection = self._by_sid.pop(sid, None)
        if connection is not None:
            connection.closed = True
            person = (connection.actor.kind, connection.actor.id)
            self._by_person[person].discard(connection)
            if not self._by_person[person]:
                del self._by_person[person]
        return connection

    def get(self, sid: str) -> Connection | None:
        return self._by_sid.get(sid)

    def of(self, kind: str, person_id: str) -> list[Connection]:
        return list(self._by_person.get((kind, person_id), ()))

    def desks(self) -> Iterator[Connection]:
        return (c for c in list(self._by_sid.values()) if c.namespace == "/clerk")

    def people(self, kind: str) -> set[str]:
        return {person_id for k, person_id in self._by_person if k == kind}

    def ungreeted(self, patience: float = PATIENCE) -> int:
        """How many of those who came within the last `patience` seconds have not been greeted yet."""
        since = time.monotonic() - patience
        return sum(not c.ready and c.came > since for c in self._by_sid.values())

    def __len__(self) -> int:
        return len(self._by_sid)

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._by_sid.values()))
