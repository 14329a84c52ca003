"""Rate limits: a sliding window in Redis, and each process's own when Redis is away."""

from __future__ import annotations

import math
import time

import structlog
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError
from redis.exceptions import RedisError

from backend.domain.errors import RateLimited

log = structlog.get_logger()

_REST = 5.0  # seconds without Redis after it failed


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

    async def hit(self, key: str, per_minute: int) -> None:
        """Count one hit for `key`. Raises `RateLimited` over `per_minute` hits in a sliding minute."""
        item = RateLimitItemPerMinute(per_minute)
        limiter = self._shared if time.monotonic() >= self._away_until else self._own
        try:
            allowed = await limiter.hit(item, key)
        except (StorageError, RedisError, OSError):
            self._away_until = time.monotonic() + _REST
            log.warning("rate_limiter_without_redis")
            limiter = self._own
            allowed = await limiter.hit(item, key)
        if not allowed:
            reset = 1.0
            try:
                reset = (await limiter.get_window_stats(item, key)).reset_time - time.time()
            except (StorageError, RedisError, OSError):
                self._away_until = time.monotonic() + _REST
            raise RateLimited(retry_after=min(60, max(1, math.ceil(reset))))
