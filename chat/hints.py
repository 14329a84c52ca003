"""Hints between nodes over Redis: "these operations of consultation X are committed".

A hint may be lost, doubled or late: the log tells, and the sweep finds what no hint told. There is one
channel per consultation, to which a node subscribes while it has readers for it, so that nodes without a
part in a consultation do nothing for it; and one channel for consultations that change hands. Everything
that waits leaves in one round trip, what concerns one consultation in one message. Not `AsyncRedisManager`,
which loses messages when Redis is away and makes every node decode everything.

Each node hears its own canary over Redis. One that falls silent for `DEAF_SECONDS` means that Redis or the
way to it is silently deaf: both connections are made anew.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import orjson
import structlog
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from backend.rest.consultation_encoding import Encoded
from chat.counters import Counters
from chat.hint_messages import Garbled, Incoming, Outgoing, opened, packed, sealed, unpacked

log = structlog.get_logger()

#: Hints and bytes that may wait to be published; what is beyond is dropped and found by the sweep.
MAX_QUEUED = 10_000
MAX_QUEUED_BYTES = 16 * 1024 * 1024
_BATCH = 500  # messages in one round trip
_SUBSCRIBE_AT_ONCE = 1000
_PAUSE = 0.25  # seconds between attempts while Redis is away
_ANSWER_SECONDS = 1.0
CANARY_SECONDS = 3.0
DEAF_SECONDS = 15.0

Receive = Callable[[str, Incoming], None]


class HintBus:
    """Publishes and receives hints of one database's nodes. `start` and `stop` it in one place."""

    def __init__(
        self,
        redis: Redis,
        *,
        prefix: str,
        node: str,
        receive: Receive,
        changed: Callable[[dict[str, Any]], None],
        listening: Callable[[str], None],
        resync: Callable[[], None],
        counters: Counters | None = None,
        canary_seconds: float = CANARY_SECONDS,
        deaf_seconds: float = DEAF_SECONDS,
    ) -> None:
        """`receive` is told of one consultation, `changed` of one that changed hands, `listening` when hints of
        a consultation arrive from now on, `resync` when hints may have been lost."""
        self._pool = redis.connection_pool
        self._prefix = f"{prefix}:hint:"
        self._own = node.encode()
        self._node = node
        self._receive = receive
        self._changed_hands = changed
        self._listening = listening
        self._resync = resync
        self.counters = counters or Counters()
        self._canary_seconds = canary_seconds
        self._deaf_seconds = deaf_seconds
        self._queue: dict[str, Outgoing] = {}
        self._all: list[tuple[str, bytes]] = []
        self._waiting = self._waiting_bytes = 0
        self._queued = asyncio.Event()
        self._wanted: set[str] = set()
        self._active: set[str] = set()
        self._more: dict[str, None] = {}
        self._less: dict[str, None] = {}
        self._awaited: set[str] = set()  # what is subscribed again after a loss, until Redis confirms it
        self._wishes = asyncio.Event()
        self._connected = False
        self._subscriber: AbstractConnection | None = None
        self._seen = time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._seen = time.monotonic()
        self._tasks = [
            asyncio.create_task(self._publish(), name="hints-publish"),
            asyncio.create_task(self._subscribe(), name="hints-subscribe"),
            asyncio.create_task(self._sing(), name="hints-canary"),
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def silent_for(self) -> float:
        """Seconds since this node last heard itself over Redis."""
        return time.monotonic() - self._seen

    # --- out -------------------------------------------------------------------------------------

    def tell(self, operations: Iterable[Encoded]) -> None:
        """Committed operations of one consultation, for the nodes with readers of it."""
        for operation in operations:
            size = len(operation.citizen) + len(operation.staff)
            if outgoing := self._place_for(operation.consultation_id, size):
                outgoing.operations.append(operation)

    def tell_receipt(self, consultation_id: str, receipt: dict[str, Any]) -> None:
        """Somebody's watermarks; several of one reader that wait are the last one."""
        reader = receipt["reader"]
        if outgoing := self._place_for(consultation_id, 200):
            outgoing.receipts[reader["kind"], reader["id"]] = receipt

    def tell_typing(self, consultation_id: str, kind: str) -> None:
        if outgoing := self._place_for(consultation_id, 10):
            outgoing.typing.add(kind)

    def tell_all(self, **members: Any) -> None:
        """A hint for every node: a consultation changed hands, which is rare."""
        data = sealed(self._node, orjson.dumps(members))
        if self._has_place(len(data)):
            self._all.append((f"{self._prefix}state", data))

    def _place_for(self, consultation_id: str, size: int) -> Outgoing | None:
        if not self._has_place(size):
            return None
        outgoing = self._queue.get(consultation_id)
        if outgoing is None:
            outgoing = self._queue[consultation_id] = Outgoing()
        outgoing.count += 1
        outgoing.size += size
        return outgoing

    def _has_place(self, size: int) -> bool:
        if self._waiting >= MAX_QUEUED or self._waiting_bytes + size > MAX_QUEUED_BYTES:
            self.counters.hints_dropped += 1
            return False
        self._waiting += 1
        self._waiting_bytes += size
        self._queued.set()
        return True

    async def _publish(self) -> None:
        away = False
        connection: AbstractConnection | None = None
        try:
            while True:
                await self._queued.wait()
                self._queued.clear()
                while self._waiting:
                    messages, hints = self._taken()
                    try:
                        if connection is None:
                            connection = self._connection()
                        async with asyncio.timeout(_ANSWER_SECONDS):
                            await _round_trip(connection, messages)
                        self.counters.hints_published += hints
                        self.counters.publish_rounds += 1
                        away = False
                    except Exception as error:  # noqa: BLE001 - nothing may end the publisher
                        if not away:
                            log.warning("hints_not_published", error=type(error).__name__)  # the sweep takes over
                        away = True
                        self.counters.hints_unsent += hints + self._let_go()
                        if connection is not None:
                            await connection.disconnect(nowait=True)
                            connection = None
                        await asyncio.sleep(_PAUSE)
                        self.counters.hints_unsent += self._let_go()
        finally:
            if connection is not None:
                await connection.disconnect(nowait=True)

    def _taken(self) -> tuple[list[tuple[str, bytes]], int]:
        """The messages of the next round trip, and how many hints they stand for."""
        messages, self._all = self._all, []
        hints, size = len(messages), sum(len(data) for _, data in messages)
        now = time.time()
        while self._queue and len(messages) < _BATCH:
            consultation_id = next(iter(self._queue))
            outgoing = self._queue.pop(consultation_id)
            hints += outgoing.count
            size += outgoing.size
            messages.append((self._prefix + consultation_id, sealed(self._node, packed(outgoing, now))))
        self._waiting -= hints
        self._waiting_bytes -= size
        return messages, hints

    def _let_go(self) -> int:
        """Forget what waits. Returns how many hints that were."""
        lost, self._waiting, self._waiting_bytes = self._waiting, 0, 0
        self._queue.clear()
        self._all.clear()
        return lost

    def _connection(self) -> AbstractConnection:
        """A connection of our own, with the pool's address and credentials, and without a timer for each read.

        RESP2, in which a published message is a plain answer; maintenance notices exist in RESP3 alone.
        """
        options = {**self._pool.connection_kwargs, "socket_timeout": None, "protocol": 2, "health_check_interval": 0}
        for name in ("maint_notifications_pool_handler", "maint_notifications_config"):
            options.pop(name, None)
        connection: AbstractConnection = self._pool.connection_class(**options)
        return connection

    # --- in --------------------------------------------------------------------------------------

    def want(self, consultation_id: str) -> bool:
        """There are readers here. Whether hints arrive already, or cannot: `listening` is called otherwise."""
        self._wanted.add(consultation_id)
        if not self._connected:
            return True
        self._less.pop(consultation_id, None)
        if consultation_id in self._active:
            return True
        self._more[consultation_id] = None
        self._wishes.set()
        return False

    def unwant(self, consultation_id: str) -> None:
        """There are none any more."""
        self._wanted.discard(consultation_id)
        self._awaited.discard(consultation_id)
        self._more.pop(consultation_id, None)
        if self._connected:
            self._less[consultation_id] = None
            self._wishes.set()

    async def _subscribe(self) -> None:
        away = False
        while True:
            connection = self._connection()
            follower: asyncio.Task[None] | None = None
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    await connection.connect()  # type: ignore[no-untyped-call]  # redis leaves it untyped
                    await self._send(connection, "SUBSCRIBE", ["state", f"canary:{self._node}"])
                self._subscriber, self._connected = connection, True
                self._more = dict.fromkeys(self._wanted)  # all of it: also after Redis came back empty
                self._awaited = set(self._wanted)
                self._wishes.set()
                follower = asyncio.create_task(self._follow(connection), name="hints-follow")
                if away:
                    log.info("hints_received_again")
                    away = False
                if not self._awaited:
                    self._resync()
                while True:  # no timer per message: a silent connection is the canary's business
                    self._hear(await connection.read_response(disconnect_on_error=False))
                    for response in came_along(connection):
                        self._hear(response)
            except Exception as error:  # noqa: BLE001 - nothing may leave this node deaf
                if not away:
                    log.warning("hints_not_received", error=type(error).__name__)  # the sweep takes over
                away = True
                self.counters.subscriptions_rebuilt += 1
            finally:
                self._subscriber, self._connected = None, False
                self._active.clear()
                self._less.clear()
                waiting, self._more = self._more, {}
                if follower is not None:
                    follower.cancel()
                await connection.disconnect(nowait=True)
                for consultation_id in waiting:
                    self._listening(consultation_id)  # in vain: let them read the log
            await asyncio.sleep(_PAUSE)

    async def _follow(self, connection: AbstractConnection) -> None:
        """Keep the subscriptions equal to what is wanted; whatever came together goes together."""
        try:
            while True:
                await self._wishes.wait()
                self._wishes.clear()
                less, self._less = list(self._less), {}
                self._active.difference_update(less)
                more, self._more = list(self._more), {}
                await self._send(connection, "UNSUBSCRIBE", less)
                await self._send(connection, "SUBSCRIBE", more)
        except (RedisError, OSError):
            await connection.disconnect(nowait=True)  # ends the reading loop

    async def _send(self, connection: AbstractConnection, command: str, names: list[str]) -> None:
        for start in range(0, len(names), _SUBSCRIBE_AT_ONCE):
            channels = [self._prefix + name for name in names[start : start + _SUBSCRIBE_AT_ONCE]]
            await connection.send_packed_command(connection.pack_command(command, *channels), check_health=False)

    def _hear(self, response: Any) -> None:
        """One thing Redis says. Whatever that is must not end the subscriber."""
        try:
            kind, channel = response[0], response[1][len(self._prefix) :].decode()
            if kind == b"message":
                self._read(channel, response[2])
            elif kind == b"subscribe" and channel in self._wanted:
                self._active.add(channel)
                self._listening(channel)
                if self._awaited:
                    self._awaited.discard(channel)
                    if not self._awaited:
                        self._resync()  # whatever was said while nobody listened here
        except Garbled:
            self.counters.hints_garbled += 1
            log.warning("hint_garbled")
        except Exception:
            log.exception("hint_not_read")

    def _read(self, channel: str, data: bytes) -> None:
        if channel.startswith("canary:"):
            self._seen = time.monotonic()
        elif not data.startswith(self._own):
            content = opened(data)
            self.counters.hints_received += 1
            if channel == "state":
                self._changed_hands(orjson.loads(content))
            else:
                incoming = unpacked(channel, content)
                self.counters.lagged(time.time() - incoming.sent_at)
                self._receive(channel, incoming)

    # --- the canary ------------------------------------------------------------------------------

    async def _sing(self) -> None:
        """Tell oneself something over Redis, and make the connection anew when it does not arrive."""
        while True:
            if self._has_place(1):
                self._all.append((f"{self._prefix}canary:{self._node}", b"1"))
            await asyncio.sleep(self._canary_seconds)
            if self.silent_for > self._deaf_seconds and self._subscriber is not None:
                log.warning("hints_silent", seconds=round(self.silent_for))
                self._seen = time.monotonic()  # the new connection has its own time
                await self._subscriber.disconnect(nowait=True)


def came_along(connection: AbstractConnection) -> Iterator[list[Any]]:
    """What came with the response that was read last and is parsed already: `read_response` takes as long for each
    as all else that is done for a hint. Looks into redis-py (`tests/chat/test_hints.py`); nothing where that is
    another one, and `read_response` gives the same then."""
    gets = getattr(getattr(getattr(connection, "_parser", None), "_reader", None), "gets", None)
    while gets is not None:
        response = gets()
        if isinstance(response, Exception):
            raise response
        if type(response) is not list:
            return
        yield response


#: Publishes every message in one command: an answer for each would cost more than all else that is done for it.
_SCRIPT = b"for i = 1, #ARGV, 2 do redis.call('PUBLISH', ARGV[i], ARGV[i + 1]) end"


async def _round_trip(connection: AbstractConnection, messages: list[tuple[str, bytes]]) -> None:
    """Publish everything, in this order, and wait until it is done."""
    await connection.connect()  # type: ignore[no-untyped-call]  # redis leaves it untyped
    words = [b"EVAL", _SCRIPT, b"0"]
    for channel, data in messages:
        words += (channel.encode(), data)
    command = [b"*%d\r\n" % len(words), *(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)]
    await connection.send_packed_command(b"".join(command), check_health=False)
    await connection.read_response()
