"""Rate limits: a sliding window in Redis, and each process's own when Redis is away.

A caller who asks now and then should not cost a trip to Redis for each request. So every process keeps a
tenth of a minute's allowance for itself and tells Redis about them in one go when they are used up; from
then on it asks for every hit. Somebody who spreads requests over N processes gains at most N tenths.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict

import structlog
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError
from redis.exceptions import RedisError

from backend.domain.errors import RateLimited

log = structlog.get_logger()

_REST = 5.0  # seconds without Redis after it failed
_WINDOW = 60.0  # seconds
_OWN_SHARE = 10  # a process's own part of the allowance: one in so many
_REMEMBERED = 50_000  # callers


class RateLimiter:
    """Counts hits per key and minute over all processes."""

    def __init__(self, redis_url: str) -> None:
        self._shared = SlidingWindowCounterRateLimiter(
            RedisStorage(
                f"async+{redis_url}",
                implementation="redispy",
                wrap_exceptions=True,
                key_prefix="rate",
                socket_timeout=0.25,
                socket_connect_timeout=0.25,
            )
        )
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._away_until = 0.0
        #: key → (when this process's window of the key began, hits in it)
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()

    async def hit(self, key: str, per_minute: int) -> None:
        """Count one hit for `key`. Raises `RateLimited` over `per_minute` hits in a sliding minute."""
        cost = self._due(key, per_minute // _OWN_SHARE)
        if cost == 0:
            return
        item = RateLimitItemPerMinute(per_minute)
        limiter = self._shared if time.monotonic() >= self._away_until else self._own
        try:
            allowed = await limiter.hit(item, key, cost=cost)
        except (StorageError, RedisError, OSError):
            self._away_until = time.monotonic() + _REST
            log.warning("rate_limiter_without_redis")
            limiter = self._own
            allowed = await limiter.hit(item, key, cost=cost)
        if not allowed:
            reset = 1.0
            try:
                reset = (await limiter.get_window_stats(item, key)).reset_time - time.time()
            except (StorageError, RedisError, OSError):
                self._away_until = time.monotonic() + _REST
            raise RateLimited(retry_after=min(60, max(1, math.ceil(reset))))

    def _due(self, key: str, own: int) -> int:
        """How many hits to tell of now: none while the process's own part of the window lasts."""
        now = time.monotonic()
        began, hits = self._seen.pop(key, (now, 0))
        if now - began > _WINDOW:
            began, hits = now, 0
        hits += 1
        self._seen[key] = (began, hits)
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        if hits <= own:
            return 0
        return hits if hits == own + 1 else 1  # all of them at once, then one at a time
