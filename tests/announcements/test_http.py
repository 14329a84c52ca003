"""Announcements over HTTP: who reads them when, who keeps them, what stays in the record."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import aiohttp
import pytest

from backend.composition import Services
from backend.domain.access import SYSTEM, Role
from backend.domain.calendar import SHANGHAI
from backend.domain.ids import new_id
from backend.domain.organisation import Department, DepartmentKind
from backend.integrations.clock import WarpedClock
from tests.callers import Caller
from tests.conftest import LoginCitizen, LoginStaff, set_clock

NOW = datetime(2026, 3, 2, 10, tzinfo=SHANGHAI)
DESK = "/api/desk/announcements"


@pytest.fixture
async def editor(clock: WarpedClock, login_staff: LoginStaff) -> Caller:
    """An editor, on Monday 2 March 2026, ten o'clock."""
    set_clock(clock, NOW)
    return await login_staff(Role.EDITOR)


def at(**later: float) -> str:
    return (NOW + timedelta(**later)).isoformat()


async def announce(caller: Caller, title: str, **fields: Any) -> dict[str, Any]:
    body = {"title": title, "text": "第一段。\n\n第二段。", "publish_from": at(hours=-1)} | fields
    status, made = await caller.post(DESK, body)
    assert status == 201, made
    return dict(made)


async def titles(http: aiohttp.ClientSession, **query: Any) -> list[str]:
    status, page = await Caller(http).get("/api/announcements", params=query)
    assert status == 200, page
    return [item["title"] for item in page["items"]]


async def test_everybody_reads_what_is_in_force_the_important_first(
    http: aiohttp.ClientSession, editor: Caller, clock: WarpedClock
) -> None:
    await announce(editor, "草稿", publish_from=None)
    await announce(editor, "明天起", publish_from=at(days=1))
    await announce(editor, "已结束", publish_from=at(days=-2), publish_until=at(hours=-2))
    await announce(editor, "较早的", publish_from=at(days=-2))
    await announce(editor, "较新的", publish_until=at(days=2))
    await announce(editor, "重要的", publish_from=at(days=-3), level="important")
    assert await titles(http) == ["重要的", "较新的", "较早的"]
    set_clock(clock, NOW + timedelta(days=1, minutes=1))
    assert await titles(http) == ["重要的", "明天起", "较新的", "较早的"]
    set_clock(clock, NOW + timedelta(days=2))
    assert await titles(http) == ["重要的", "明天起", "较早的"]


async def test_pages_follow_each_other_without_gap_or_double(http: aiohttp.ClientSession, editor: Caller) -> None:
    for number in range(7):
        level = "important" if number % 3 == 0 else "notice"
        await announce(editor, f"第{number}条", level=level, publish_from=at(hours=-1 - number // 2))
    whole = await titles(http)
    assert len(whole) == 7
    reader, read = Caller(http), []
    _, page = await reader.get("/api/announcements", params={"limit": 2})
    read += [item["title"] for item in page["items"]]
    while page["next_cursor"]:
        _, page = await reader.get("/api/announcements", params={"limit": 2, "cursor": page["next_cursor"]})
        read += [item["title"] for item in page["items"]]
    assert read == whole


async def test_one_is_read_with_its_whole_text_while_it_holds(
    http: aiohttp.ClientSession, editor: Caller, services: Services
) -> None:
    bureau = Department(new_id(), "D1", "市场监督管理局", DepartmentKind.BUREAU, "440105")
    await services.organisation.seed(SYSTEM, departments=[bureau])
    made = await announce(editor, "系统维护", department_id=bureau.id)
    status, seen = await Caller(http).get(f"/api/announcements/{made['id']}")
    assert status == 200
    assert (seen["text"], seen["summary"]) == ("第一段。\n\n第二段。", "第一段。 第二段。")
    assert (seen["department_name"], seen["level"]) == ("市场监督管理局", "notice")
    draft = await announce(editor, "草稿", publish_from=None)
    assert (await Caller(http).get(f"/api/announcements/{draft['id']}"))[0] == 404


async def test_the_desk_sees_all_with_their_state(editor: Caller) -> None:
    await announce(editor, "甲", publish_from=None)
    await announce(editor, "乙", publish_from=at(days=1))
    await announce(editor, "丙")
    await announce(editor, "丁", publish_until=at(minutes=-1))
    _, page = await editor.get(DESK)
    shown = {item["title"]: item["state"] for item in page["items"]}
    assert shown == {"甲": "draft", "乙": "scheduled", "丙": "published", "丁": "ended"}
    for title, state in shown.items():
        _, page = await editor.get(DESK, params={"state": state})
        assert [item["title"] for item in page["items"]] == [title]


async def test_a_change_states_the_version_it_read(http: aiohttp.ClientSession, editor: Caller) -> None:
    made = await announce(editor, "停水", publish_until=at(days=1))
    path = f"{DESK}/{made['id']}"
    status, changed = await editor.patch(path, {"version": 1, "title": "停水通知", "publish_until": None})
    assert (status, changed["version"], changed["publish_until"]) == (200, 2, None)
    assert changed["text"] == made["text"]
    status, problem = await editor.patch(path, {"version": 1, "title": "别的"})
    assert (status, problem["code"]) == (409, "edit-conflict")
    assert await titles(http) == ["停水通知"]
    status, problem = await editor.patch(path, {"version": 2, "publish_until": at(days=-1)})
    assert (status, problem["field"]) == (422, "publish_until")


async def test_a_withdrawn_one_stays_in_the_record(
    http: aiohttp.ClientSession, editor: Caller, services: Services
) -> None:
    made = await announce(editor, "写错了")
    path = f"{DESK}/{made['id']}"
    assert (await editor.delete(path, params={"version": 2}))[0] == 409
    assert (await editor.delete(path, params={"version": 1}))[0] == 204
    assert await titles(http) == []
    assert (await editor.get(path))[0] == 404
    events = await services.events.of("announcement", made["id"])
    assert [(event.kind, event.actor_id) for event in events] == [
        ("created", editor.actor_id),
        ("withdrawn", editor.actor_id),
    ]
    assert events[-1].changes["text"] == made["text"]


async def test_only_editors_and_administrators_keep_them(
    http: aiohttp.ClientSession, editor: Caller, login_staff: LoginStaff, login_citizen: LoginCitizen
) -> None:
    made = await announce(editor, "停水")
    assert (await (await login_staff(Role.ADMIN)).get(DESK))[0] == 200
    for who in (await login_staff(Role.CLERK), await login_staff(Role.LEAD), await login_citizen()):
        assert (await who.get(DESK))[0] == 403
        assert (await who.post(DESK, {"title": "甲", "text": "乙"}))[0] == 403
        assert (await who.delete(f"{DESK}/{made['id']}", params={"version": 1}))[0] == 403
    assert (await Caller(http).get(DESK))[0] == 401


async def test_a_repeated_request_announces_once(http: aiohttp.ClientSession, editor: Caller) -> None:
    body = {"title": "停水", "text": "今晚停水。", "publish_from": at(hours=-1)}
    headers = {"Idempotency-Key": new_id()}
    first, second = [await editor.post(DESK, body, headers=headers) for _ in range(2)]
    assert (first[0], second[0], first[1]) == (201, 201, second[1])
    assert await titles(http) == ["停水"]
