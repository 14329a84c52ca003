"""One allowance for all processes, and few trips to Redis for those who stay within it."""

import pytest

from backend.domain.errors import RateLimited
from backend.domain.ids import new_id
from backend.rest.ratelimit import RateLimiter


async def _allowed(limiters: list[RateLimiter], per_minute: int, tries: int) -> int:
    key, passed = new_id(), 0
    for number in range(tries):
        try:
            await limiters[number % len(limiters)].hit(key, per_minute)
        except RateLimited as refused:
            if not 1 <= refused.retry_after <= 60:
                return -1
        else:
            passed += 1
    return passed


@pytest.mark.parametrize("per_minute", [1, 5, 30, 100])
async def test_one_process_lets_exactly_the_allowance_through(servers: tuple[str, str], per_minute: int) -> None:
    assert await _allowed([RateLimiter(servers[1])], per_minute, per_minute * 2) == per_minute


async def test_processes_share_the_allowance_but_for_a_tenth_each(servers: tuple[str, str]) -> None:
    passed = await _allowed([RateLimiter(servers[1]) for _ in range(3)], 100, 400)
    assert 100 <= passed <= 130


async def test_without_redis_a_process_lets_its_allowance_through() -> None:
    assert await _allowed([RateLimiter("redis://127.0.0.1:9/0")], 40, 100) == 40
