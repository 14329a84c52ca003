"""The loop every background job runs in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from backend.storage.failures import is_storage_failure

log = structlog.get_logger()


async def repeat(job: str, work: Callable[[], Awaitable[int]], *, pause: float) -> None:
    """Call `work` until cancelled: at once again when it did something, else after `pause` seconds.

    A database that is away is waited for, and any other failure tried again after the pause: what is owed
    stands in the database. `job` is its name in the log.
    """
    while True:
        try:
            worked = await work()
        except Exception as error:
            if is_storage_failure(error):
                log.warning("job_waits_for_the_database", job=job, error=type(error).__name__)
            else:
                log.exception("job_failed", job=job)
            worked = 0
        if not worked:
            await asyncio.sleep(pause)
