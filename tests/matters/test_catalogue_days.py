"""Versions that come into force and end on their days, with the worker as it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from backend.composition import open_services
from backend.domain.catalogue import MatterDraft
from backend.domain.matters import LimitUnit, TimeLimit
from config.settings import Settings
from tests.conftest import LoginCitizen

DraftMaker = Callable[..., MatterDraft]
COMPLETE: dict[str, Any] = {"promised_limit": TimeLimit(5, LimitUnit.WORKING_DAY), "online": True, "summary": "旧"}


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await holds():
            await asyncio.sleep(0.05)


@pytest.fixture
async def scheduled(bureau: Any, draft: DraftMaker) -> MatterDraft:
    """A matter whose second version is to hold from 10 March 2026 on."""
    bureau.at(2026, 3, 2, 9)
    await bureau.publish(draft(1, **COMPLETE))
    await bureau.rewrite(draft(1), summary="新")
    status, view = await bureau.act(draft(1), "POST", "publish", effective_from="2026-03-10")
    assert status == 200, view
    assert (view["draft"], view["scheduled"]["due_at"]) == (None, "2026-03-10T00:00:00.000+08:00")
    return draft(1)


async def holds(bureau: Any, matter: MatterDraft) -> tuple[int, str]:
    """The version and summary that citizens read, from the guide as it is cached."""
    _, guide = await bureau.editor.get(f"/api/matters/{matter.id}")
    return guide["version"], guide["guide"]["summary"]


@pytest.mark.usefixtures("worker")
async def test_a_version_comes_into_force_when_its_day_begins(
    bureau: Any, scheduled: MatterDraft, login_citizen: LoginCitizen
) -> None:
    citizen = await login_citizen()
    _, case = await citizen.post("/api/cases", {"matter_id": scheduled.id})
    bureau.at(2026, 3, 9, 23, 59, 20)
    services = bureau.services
    assert await services.catalogue_editing.put_due_in_force() == 0
    assert await holds(bureau, scheduled) == (1, "旧")
    bureau.at(2026, 3, 10, 0, 0, 1)
    await until(lambda: _is(holds(bureau, scheduled), (2, "新")))
    view = await bureau.see(scheduled)
    assert (view["scheduled"], view["published"]["guide"]["effective_from"]) == (None, "2026-03-10")
    assert view["published"]["published_by"]["name"] == "编辑小陈"
    _, history = await bureau.editor.get(f"/api/catalogue/matters/{scheduled.id}/history")
    assert (history["items"][0]["kind"], history["items"][0]["by"]["id"]) == ("in_force", "system")
    assert (await (await login_citizen()).get(f"/api/cases/{case['id']}"))[1]["matter_version"] == 1


async def _is(found: Awaitable[Any], wanted: Any) -> bool:
    return bool(await found == wanted)


async def test_after_an_outage_every_node_looks_and_one_publishes(
    bureau: Any, scheduled: MatterDraft, settings: Settings
) -> None:
    bureau.at(2026, 3, 13, 8)  # nothing ran in the night of the tenth
    async with open_services(settings, upgrade=False) as other:
        nodes = [bureau.services.catalogue_editing, other.catalogue_editing]
        done = await asyncio.gather(*(node.put_due_in_force() for node in nodes * 3))
    assert sum(done) == 1
    await bureau.services.matters.refresh()
    assert await holds(bureau, scheduled) == (2, "新")


async def test_what_waits_can_be_taken_back_and_not_be_written_over(bureau: Any, scheduled: MatterDraft) -> None:
    guide = (await bureau.see(scheduled))["published"]["guide"]
    assert (await bureau.act(scheduled, "PUT", "draft", guide=guide))[0] == 409
    _, page = await bureau.editor.get("/api/catalogue/matters", params={"work": "scheduled"})
    assert [(row["id"], row["scheduled"]) for row in page["items"]] == [(scheduled.id, "2026-03-10")]
    status, view = await bureau.act(scheduled, "DELETE", "scheduled")
    assert (status, view["scheduled"], view["draft"]["guide"]["summary"]) == (200, None, "新")
    assert (await bureau.act(scheduled, "DELETE", "scheduled"))[0] == 404
    bureau.at(2026, 3, 11, 8)
    assert await bureau.services.catalogue_editing.put_due_in_force() == 0
    assert (await bureau.act(scheduled, "POST", "publish", effective_from="2026-03-10"))[0] == 422


async def test_what_was_taken_back_does_not_keep_its_day(bureau: Any, scheduled: MatterDraft) -> None:
    _, view = await bureau.act(scheduled, "DELETE", "scheduled")
    assert view["draft"]["guide"]["effective_from"] is None
    status, view = await bureau.act(scheduled, "POST", "publish")
    assert (status, view["published"]["guide"]["effective_from"]) == (200, None)


async def test_a_new_matter_can_wait_for_its_day(bureau: Any, draft: DraftMaker) -> None:
    bureau.at(2026, 3, 2, 9)
    guide = {
        "name": "新事项",
        "task_type": "public_service",
        "level": "county",
        "project_type": "information",
    }
    await bureau.editor.post(
        "/api/catalogue/matters", {"code": draft(2).code, "department_id": bureau.department_id, "guide": guide}
    )
    assert (await bureau.act(draft(2), "POST", "publish", effective_from="2026-03-03"))[0] == 200
    assert (await bureau.editor.get(f"/api/matters/{draft(2).id}"))[0] == 404
    bureau.at(2026, 3, 3, 0, 0, 1)
    assert await bureau.services.catalogue_editing.put_due_in_force() == 1
    assert (await bureau.editor.get(f"/api/matters/{draft(2).id}"))[0] == 200


@pytest.mark.usefixtures("worker")
async def test_a_matter_ends_with_its_last_day(bureau: Any, draft: DraftMaker, login_citizen: LoginCitizen) -> None:
    bureau.at(2026, 3, 2, 9)
    await bureau.publish(draft(1, **COMPLETE, name="临时占道许可"))
    await bureau.rewrite(draft(1), effective_to="2026-03-31")
    assert (await bureau.act(draft(1), "POST", "publish"))[0] == 200
    citizen = await login_citizen()
    _, case = await citizen.post("/api/cases", {"matter_id": draft(1).id})
    bureau.at(2026, 3, 31, 23, 59, 30)
    citizen = await login_citizen()
    assert (await citizen.post("/api/cases", {"matter_id": draft(1).id}))[0] == 201
    bureau.at(2026, 4, 1, 0, 0, 1)
    assert (await citizen.post("/api/cases", {"matter_id": draft(1).id}))[0] == 409

    async def ended() -> bool:
        return bool((await citizen.get(f"/api/matters/{draft(1).id}"))[1]["state"] == "cancelled")

    await until(ended)
    _, guide = await citizen.get(f"/api/matters/{draft(1).id}")
    assert guide["state_reason"] == "这个事项办理到 2026 年 3 月 31 日为止。"
    assert guide["state_since"].startswith("2026-04-01T00:00")
    _, found = await citizen.get("/api/matters/search", params={"q": "临时占道许可"})
    assert found["items"] == []
    edit = {"expected_version": case["version"], "form": {"purpose": "占道施工"}}
    status, edited = await citizen.patch(f"/api/cases/{case['id']}", edit)
    assert status == 200, edited
    assert (await bureau.act(draft(1), "POST", "resume", reason="再办"))[0] == 409
    await bureau.rewrite(draft(1), effective_to=None)
    status, view = await bureau.act(draft(1), "POST", "publish")
    assert (status, view["state"]) == (200, "active")
