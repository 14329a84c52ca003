"""The outbox and what it makes of events."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from backend.domain.events import Event
from backend.jobs.outbox import Outbox


async def test_every_step_is_a_notice_once(office: Any) -> None:
    citizen, clerk = await office.citizen(), await office.staff()
    case = await office.submitted(citizen)
    await clerk.post(f"/api/desk/cases/{case['id']}/accept", {})
    await asyncio.gather(*(office.relay() for _ in range(4)))
    status, page = await citizen.get("/api/notices")
    assert (status, [item["kind"] for item in page["items"]]) == (200, ["accepted", "submitted"])
    assert page["items"][0]["subject_id"] == case["id"]
    assert await office.services.events.waiting() == 0
    assert await office.relay() == 0


async def test_filling_in_is_not_announced(office: Any) -> None:
    await office.draft(await office.citizen())
    assert await office.services.events.waiting() == 0


async def test_reading(office: Any) -> None:
    citizen, other = await office.citizen(), await office.citizen("lihua")
    await office.submitted(citizen)
    await office.submitted(citizen)
    await office.submitted(other)
    await office.relay()
    _, page = await citizen.get("/api/notices", params={"limit": "1"})
    assert (await citizen.get("/api/notices/unread"))[1] == {"unread": 2}
    ids = [page["items"][0]["id"]]
    assert (await other.post("/api/notices/read", {"ids": ids}))[1] == {"unread": 1}
    assert (await citizen.post("/api/notices/read", {"ids": ids}))[1] == {"unread": 1}
    _, rest = await citizen.get("/api/notices", params={"unread": "true"})
    _, second = await citizen.get("/api/notices", params={"limit": "1", "cursor": page["next_cursor"]})
    assert rest["items"] == second["items"]
    assert (await citizen.post("/api/notices/read", {}))[1] == {"unread": 0}


async def test_the_staff_has_no_notices(office: Any) -> None:
    assert (await (await office.staff()).get("/api/notices"))[0] == 403


class Unwell:
    """A consumer that fails the first time."""

    name = "unwell"

    def __init__(self) -> None:
        self.had: list[str] = []
        self.tries = 0

    async def consume(self, event: Event) -> None:
        self.tries += 1
        if self.tries == 1:
            raise RuntimeError("away")
        self.had.append(event.kind)


async def test_a_consumer_that_failed_is_tried_again_and_the_others_are_not(office: Any) -> None:
    await office.submitted(await office.citizen())
    unwell, counted = Unwell(), Unwell()
    counted.tries, counted.name = 1, "counted"
    outbox = Outbox(events=office.services.events, consumers=[unwell, counted], clock=office.clock)
    await outbox.drain()
    assert (unwell.had, counted.had) == ([], ["submitted"])
    office.clock.warp(office.clock._offset + timedelta(seconds=10))
    await outbox.drain()
    assert (unwell.had, counted.had) == (["submitted"], ["submitted"])
    assert await office.services.events.waiting() == 0
