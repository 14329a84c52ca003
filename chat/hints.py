"""Hints between nodes over Redis: "consultation X has operations up to N".

A hint is never the message itself and may be lost: the log tells, and the sweep finds what no hint told.
Hints leave through one bounded queue and one pipelined publisher; consultations hash to `CHANNELS` channels
and a node subscribes only to those of consultations it has readers for. Not `AsyncRedisManager`, which
loses messages when Redis is away and makes every node decode everything.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import orjson
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = structlog.get_logger()

CHANNELS = 32
MAX_QUEUED = 10_000
_BATCH = 500
_PAUSE = 0.25  # seconds between attempts while Redis is away

Hint = dict[str, Any]
Receive = Callable[[Hint], None]


def channel_of(consultation_id: str) -> int:
    return zlib.crc32(consultation_id.encode()) % CHANNELS


class HintBus:
    """Publishes and receives hints of one database's nodes. `start` and `stop` it in one place."""

    def __init__(self, redis: Redis, *, prefix: str, node: str, receive: Receive, resync: Callable[[], None]) -> None:
        self._redis = redis
        self._prefix = f"{prefix}:hint:"
        self._node = node
        self._receive = receive
        self._resync = resync
        self._queue: deque[tuple[str, bytes]] = deque(maxlen=MAX_QUEUED)
        self._queued = asyncio.Event()
        self._wanted: Counter[int] = Counter()
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._publish(), name="hints-publish"),
            asyncio.create_task(self._subscribe(), name="hints-subscribe"),
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- out -------------------------------------------------------------------------------------

    def tell(self, consultation_id: str, **members: Any) -> None:
        """A hint for the nodes with readers of this consultation."""
        self._put(str(channel_of(consultation_id)), {"conv": consultation_id, **members})

    def tell_all(self, **members: Any) -> None:
        """A hint for every node: a consultation changed hands, which is rare."""
        self._put("state", members)

    def _put(self, channel: str, hint: Hint) -> None:
        self._queue.append((self._prefix + channel, orjson.dumps({"node": self._node, **hint})))
        self._queued.set()

    async def _publish(self) -> None:
        away = False
        while True:
            await self._queued.wait()
            self._queued.clear()
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]
                try:
                    async with self._redis.pipeline(transaction=False) as pipeline:
                        for channel, data in batch:
                            pipeline.publish(channel, data)
                        await pipeline.execute()
                    away = False
                except (RedisError, OSError) as error:
                    if not away:
                        log.warning("hints_not_published", error=type(error).__name__)  # the sweep takes over
                    away = True
                    self._queue.clear()
                    await asyncio.sleep(_PAUSE)

    # --- in --------------------------------------------------------------------------------------

    def want(self, consultation_id: str) -> None:
        """There is a reader here. Once for each reader."""
        channel = channel_of(consultation_id)
        self._wanted[channel] += 1
        if self._wanted[channel] == 1:
            self._changed.set()

    def unwant(self, consultation_id: str) -> None:
        channel = channel_of(consultation_id)
        self._wanted[channel] -= 1
        if self._wanted[channel] <= 0:
            del self._wanted[channel]
            self._changed.set()

    async def _subscribe(self) -> None:
        away = False
        while True:
            pubsub = self._redis.pubsub(ignore_subscribe_messages=True)
            try:
                await pubsub.subscribe(self._prefix + "state")
                follower = asyncio.create_task(self._follow(pubsub))
                if away:
                    log.info("hints_received_again")
                    away = False
                self._resync()
                try:
                    while not follower.done():
                        message = await pubsub.get_message(timeout=1.0)
                        if message is not None:
                            self._hear(message["data"])
                    await follower
                finally:
                    follower.cancel()
                    await asyncio.gather(follower, return_exceptions=True)
            except (RedisError, OSError) as error:
                if not away:
                    log.warning("hints_not_received", error=type(error).__name__)  # the sweep takes over
                away = True
                await asyncio.sleep(_PAUSE)
            finally:
                try:
                    await pubsub.aclose()  # type: ignore[no-untyped-call]  # redis leaves it untyped
                except (RedisError, OSError):
                    log.debug("hints_not_unsubscribed")

    async def _follow(self, pubsub: Any) -> None:
        """Keep the subscriptions equal to what is wanted."""
        have: set[int] = set()
        while True:
            self._changed.clear()
            wanted = set(self._wanted)
            if more := wanted - have:
                await pubsub.subscribe(*(f"{self._prefix}{c}" for c in sorted(more)))
            if less := have - wanted:
                await pubsub.unsubscribe(*(f"{self._prefix}{c}" for c in sorted(less)))
            have = wanted
            await self._changed.wait()

    def _hear(self, data: bytes) -> None:
        try:
            hint = orjson.loads(data)
            if hint.pop("node") != self._node:
                self._receive(hint)
        except Exception:  # whatever comes over Redis must not end the subscriber
            log.exception("hint_not_read")
