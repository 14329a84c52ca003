"""The worker as it runs: relay and sweep side by side until it is told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from backend.worker import work


@pytest.fixture
async def worker(office: Any) -> AsyncIterator[None]:
    """A worker of this test's system."""
    stop = asyncio.Event()
    running = asyncio.create_task(work(office.services, stop))
    yield
    stop.set()
    await asyncio.wait_for(running, 10)


async def kinds(caller: Any, *expected: str) -> None:
    """Wait until a citizen's notices, newest first, are these."""
    async with asyncio.timeout(20):
        while True:
            _, page = await caller.get("/api/notices")
            if [item["kind"] for item in page["items"]] == list(expected):
                return
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("worker")
async def test_what_happens_is_announced_and_what_is_due_is_done(office: Any) -> None:
    citizen = await office.citizen()
    await office.submitted(citizen)
    await kinds(citizen, "submitted")
    office.at(2026, 3, 10, 0, 1)
    await kinds(await office.citizen(), "deemed_accepted", "submitted")
