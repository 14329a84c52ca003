"""Quick replies over HTTP: whose are shown to whom in which order, and who may change them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from backend.composition import Services
from backend.domain.access import SYSTEM, Role
from backend.domain.ids import new_id
from backend.domain.organisation import Department, DepartmentKind
from tests.callers import Caller
from tests.conftest import LoginStaff

PATH = "/api/desk/quick-replies"


@dataclass
class People:
    """Two departments; a clerk and a lead of the first, a clerk of the second, an administrator."""

    department_id: str
    elsewhere_id: str
    clerk: Caller
    lead: Caller
    stranger: Caller
    admin: Caller


@pytest.fixture
async def people(services: Services, login_staff: LoginStaff) -> People:
    here, there = new_id(), new_id()
    departments = [
        Department(here, "D1", "市场监督管理局", DepartmentKind.BUREAU, "440105"),
        Department(there, "D2", "教育局", DepartmentKind.BUREAU, "440105"),
    ]
    await services.organisation.seed(SYSTEM, departments=departments)
    return People(
        here,
        there,
        await login_staff(Role.CLERK, department_id=here),
        await login_staff(Role.LEAD, department_id=here),
        await login_staff(Role.CLERK, department_id=there),
        await login_staff(Role.ADMIN),
    )


async def add(caller: Caller, scope: str, title: str, **fields: Any) -> dict[str, Any]:
    status, made = await caller.post(PATH, {"scope": scope, "title": title, "text": "您好，{称呼}。"} | fields)
    assert status == 201, made
    return dict(made)


async def shown(caller: Caller, **query: str) -> list[str]:
    status, answer = await caller.get(PATH, params=query)
    assert status == 200, answer
    return [item["title"] for item in answer["items"]]


async def test_ones_own_come_first_then_the_departments_then_the_districts(people: People) -> None:
    await add(people.admin, "district", "全区问候")
    await add(people.lead, "department", "本局地址")
    await add(people.clerk, "own", "我的一")
    await add(people.clerk, "own", "我的二")
    await add(people.lead, "own", "负责人自己的")
    assert await shown(people.clerk) == ["我的一", "我的二", "本局地址", "全区问候"]
    assert await shown(people.lead) == ["负责人自己的", "本局地址", "全区问候"]
    assert await shown(people.stranger) == ["全区问候"]
    assert await shown(people.admin, department_id=people.department_id) == ["本局地址", "全区问候"]
    assert (await people.clerk.get(PATH, params={"department_id": people.elsewhere_id}))[0] == 404


async def test_placeholders_stay_as_they_were_written(people: People) -> None:
    text = "{称呼}，您好！关于“{事项}”：\n请稍候。{我的姓名}"
    made = await add(people.clerk, "own", "问候", text=text, shortcut="NH")
    assert (made["text"], made["shortcut"], made["editable"]) == (text, "nh", True)


async def test_who_may_keep_which_list(people: People) -> None:
    shared = await add(people.lead, "department", "本局地址")
    private = await add(people.clerk, "own", "我的")
    for caller, body, expected in (
        (people.clerk, {"scope": "department"}, 403),
        (people.clerk, {"scope": "district"}, 403),
        (people.lead, {"scope": "district"}, 403),
        (people.lead, {"scope": "department", "department_id": people.elsewhere_id}, 404),
        (people.admin, {"scope": "own"}, 403),
        (people.admin, {"scope": "department"}, 422),
        (people.admin, {"scope": "department", "department_id": people.elsewhere_id}, 201),
    ):
        status, answer = await caller.post(PATH, {"title": "甲", "text": "乙"} | body)
        assert status == expected, (body, answer)
    change = {"version": 1, "title": "改"}
    assert (await people.clerk.patch(f"{PATH}/{shared['id']}", change))[0] == 403
    assert (await people.stranger.patch(f"{PATH}/{shared['id']}", change))[0] == 404
    assert (await people.lead.patch(f"{PATH}/{private['id']}", change))[0] == 404
    assert (await people.admin.delete(f"{PATH}/{private['id']}", params={"version": 1}))[0] == 404
    assert (await people.lead.patch(f"{PATH}/{shared['id']}", change))[0] == 200
    assert await shown(people.clerk) == ["我的", "改"]


async def test_who_answers_nobody_has_none(login_staff: LoginStaff) -> None:
    supervisor = await login_staff(Role.SUPERVISOR)
    assert (await supervisor.get(PATH))[0] == 403


async def test_a_change_states_the_version_it_read(people: People) -> None:
    made = await add(people.clerk, "own", "问候", shortcut="wh")
    path = f"{PATH}/{made['id']}"
    status, changed = await people.clerk.patch(path, {"version": 1, "text": "请稍候。", "shortcut": None})
    assert (status, changed["title"], changed["shortcut"], changed["version"]) == (200, "问候", None, 2)
    status, problem = await people.clerk.patch(path, {"version": 1, "text": "别的"})
    assert (status, problem["code"]) == (409, "edit-conflict")
    assert (await people.clerk.delete(path, params={"version": 1}))[0] == 409
    assert (await people.clerk.delete(path, params={"version": 2}))[0] == 204
    assert await shown(people.clerk) == []


async def test_a_shortcut_is_there_once_in_a_list(people: People) -> None:
    await add(people.clerk, "own", "问候", shortcut="wh")
    other = await add(people.clerk, "own", "道别", shortcut="db")
    body = {"scope": "own", "title": "又一个", "text": "乙", "shortcut": "WH"}
    status, problem = await people.clerk.post(PATH, body)
    assert (status, problem["field"]) == (409, "shortcut")
    assert (await people.clerk.patch(f"{PATH}/{other['id']}", {"version": 1, "shortcut": "wh"}))[0] == 409
    await add(people.lead, "department", "部门的问候", shortcut="wh")


async def test_a_list_is_put_into_order(people: People) -> None:
    made = [await add(people.clerk, "own", title) for title in ("一", "二", "三")]
    wanted = [made[number]["id"] for number in (2, 0, 1)]
    status, answer = await people.clerk.put(f"{PATH}/order", {"scope": "own", "ids": wanted})
    assert (status, [item["id"] for item in answer["items"]]) == (200, wanted)
    assert await shown(people.clerk) == ["三", "一", "二"]
    await add(people.clerk, "own", "四")
    assert await shown(people.clerk) == ["三", "一", "二", "四"]
    status, problem = await people.clerk.put(f"{PATH}/order", {"scope": "own", "ids": wanted})
    assert (status, problem["code"]) == (409, "edit-conflict")
    assert (await people.clerk.put(f"{PATH}/order", {"scope": "department", "ids": []}))[0] == 403


async def test_two_orders_at_once_are_one_of_them(people: People) -> None:
    ids = [(await add(people.clerk, "own", title))["id"] for title in ("一", "二", "三", "四")]
    orders = [list(reversed(ids)), ids[1:] + ids[:1]]
    answers = await asyncio.gather(
        *(people.clerk.put(f"{PATH}/order", {"scope": "own", "ids": wanted}) for wanted in orders)
    )
    assert {status for status, _ in answers} <= {200, 409}
    _, final = await people.clerk.get(PATH)
    assert [item["id"] for item in final["items"]] in orders
