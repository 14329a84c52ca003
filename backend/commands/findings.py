"""What `doctor` finds: one line each."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

import aiohttp
from redis.exceptions import RedisError

from backend.commands.errors import CommandError
from backend.domain.errors import DomainError

Verdict = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    check: str
    verdict: Verdict
    detail: str


async def attempt(check: str, look: Callable[[], Awaitable[tuple[Verdict, str]]]) -> Finding:
    """One check, with the time it took; what goes wrong in it is a finding, too."""
    begun = time.perf_counter()
    try:
        verdict, detail = await look()
    except (aiohttp.ClientError, TimeoutError, OSError, RedisError, CommandError, DomainError) as error:
        return Finding(check, "failed", str(error) or type(error).__name__)
    return Finding(check, verdict, f"{detail} ({(time.perf_counter() - begun) * 1000:.0f} ms)")
