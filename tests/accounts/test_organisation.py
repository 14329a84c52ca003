"""Departments, posts, holders, duty hours and responsibilities over HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from backend.composition import Services
from backend.domain.access import SYSTEM, Role
from backend.domain.ids import derived_id, new_id
from backend.domain.matters import ReceptionMode
from backend.domain.organisation import Department, DepartmentKind, DutyTier, Holder, Post, Responsibility
from tests.callers import Caller
from tests.conftest import LoginCitizen, LoginStaff

ROOT = "/api/organisation"
HOURS = [{"start": "09:00", "end": "12:00"}, {"start": "13:30", "end": "17:00"}]


@pytest.fixture
async def admin(login_staff: LoginStaff) -> Caller:
    return await login_staff(Role.ADMIN)


async def department(admin: Caller, code: str = "113301", kind: str = "bureau", **fields: Any) -> dict[str, Any]:
    body = {"code": code, "name": f"部门{code}", "kind": kind, "area_code": "440000", **fields}
    status, answer = await admin.post(f"{ROOT}/departments", body)
    assert status == 201, answer
    return dict(answer)


async def post(admin: Caller, department_id: str, **fields: Any) -> dict[str, Any]:
    body = {"department_id": department_id, "name": "综合岗", **fields}
    status, answer = await admin.post(f"{ROOT}/posts", body)
    assert status == 201, answer
    return dict(answer)


async def test_a_department_with_its_hours(admin: Caller) -> None:
    made = await department(admin, duty_spans=HOURS, phone="0754-8888 8888")
    path = f"{ROOT}/departments/{made['id']}"
    assert await admin.get(path) == (200, made)
    assert made["duty_spans"] == HOURS
    status, changed = await admin.patch(path, {"version": 1, "name": "民政局", "phone": None})
    assert (status, changed["version"], changed["name"], changed["phone"]) == (200, 2, "民政局", None)
    assert changed["duty_spans"] == HOURS
    status, problem = await admin.patch(path, {"version": 1, "name": "财政局"})
    assert (status, problem["code"]) == (409, "edit-conflict")
    body = {"code": "113301", "name": "另一个", "kind": "bureau", "area_code": "440000"}
    status, problem = await admin.post(f"{ROOT}/departments", body)
    assert (status, problem["code"]) == (409, "already-there")


async def test_a_repeated_creation_is_one(admin: Caller) -> None:
    body = {"code": "1", "name": "民政局", "kind": "bureau", "area_code": "440000"}
    headers = {"Idempotency-Key": new_id()}
    first = await admin.post(f"{ROOT}/departments", body, headers=headers)
    again = await admin.post(f"{ROOT}/departments", body, headers=headers)
    assert first == again
    assert first[0] == 201


@pytest.mark.parametrize(
    "spans",
    [
        [{"start": "12:00", "end": "09:00"}],
        [{"start": "09:00", "end": "09:00"}],
        [{"start": "09:00", "end": "12:00"}, {"start": "11:00", "end": "17:00"}],
        [{"start": "25:00", "end": "26:00"}],
        [{"start": "9:00", "end": "12:00"}],
    ],
)
async def test_hours_that_cannot_be(admin: Caller, spans: list[dict[str, str]]) -> None:
    body = {"code": "1", "name": "x", "kind": "bureau", "area_code": "440000", "duty_spans": spans}
    assert (await admin.post(f"{ROOT}/departments", body))[0] == 422


async def test_duty_leads_have_their_role_from_the_department(admin: Caller, login_staff: LoginStaff) -> None:
    bureau, hall = await department(admin), await department(admin, "2", "hall")
    lead = await login_staff(department_id=bureau["id"])
    triage = await login_staff(department_id=hall["id"])
    path = f"{ROOT}/departments/{bureau['id']}"
    status, problem = await admin.patch(path, {"version": 1, "duty_lead_ids": [triage.actor_id]})
    assert (status, problem["field"]) == (422, "duty_lead_ids")
    assert (await admin.patch(path, {"version": 1, "duty_lead_ids": [lead.actor_id]}))[0] == 200
    await admin.patch(f"{ROOT}/departments/{hall['id']}", {"version": 1, "duty_lead_ids": [triage.actor_id]})
    assert (await lead.get("/api/staff/me"))[1]["roles"] == ["clerk", "lead"]
    assert (await triage.get("/api/staff/me"))[1]["roles"] == ["clerk", "lead", "triage"]
    await admin.patch(f"/api/staff/{lead.actor_id}", {"version": 1, "department_id": hall["id"]})
    assert (await lead.get("/api/staff/me"))[1]["roles"] == ["clerk"]
    assert (await admin.get(path))[1]["duty_lead_ids"] == []


async def test_holders_of_a_post(admin: Caller, login_staff: LoginStaff, services: Services) -> None:
    bureau = await department(admin)
    first, second = await login_staff(), await login_staff()
    made = await post(admin, bureau["id"], holders=[{"staff_id": first.actor_id, "rank": 1}])
    path = f"{ROOT}/posts/{made['id']}"
    assert not made["unstaffed"]
    assert (await first.get("/api/staff/me"))[1]["post_ids"] == [made["id"]]
    both = [{"staff_id": second.actor_id, "rank": 1}, {"staff_id": first.actor_id, "rank": 2}]
    assert (await admin.patch(path, {"version": 1, "holders": both}))[0] == 200
    assert (await second.get("/api/staff/me"))[1]["post_ids"] == [made["id"]]
    await admin.patch(f"/api/staff/{first.actor_id}", {"version": 1, "active": False})
    _, left = await admin.get(path)
    assert left["holders"] == [{**both[0], "name": "测试人员"}]
    status, _ = await admin.patch(path, {"version": left["version"], "holders": []})
    assert status == 200
    kinds = [event.kind for event in await services.events.of("post", made["id"])]
    assert kinds == ["created", "changed", "staff_released", "changed"]
    _, unstaffed = await admin.get(f"{ROOT}/posts", params={"unstaffed": "true"})
    assert [item["id"] for item in unstaffed["items"]] == [made["id"]]
    _, staffed = await admin.get(f"{ROOT}/posts", params={"unstaffed": "false"})
    assert staffed["items"] == []


async def test_holders_that_cannot_be(admin: Caller, login_staff: LoginStaff) -> None:
    bureau = await department(admin)
    clerk = (await login_staff()).actor_id
    for holders in (
        [{"staff_id": new_id(), "rank": 1}],
        [{"staff_id": clerk, "rank": 1}, {"staff_id": clerk, "rank": 2}],
        [{"staff_id": clerk, "rank": 1}, {"staff_id": admin.actor_id, "rank": 1}],
        [{"staff_id": clerk, "rank": 0}],
    ):
        body = {"department_id": bureau["id"], "name": "岗", "holders": holders}
        assert (await admin.post(f"{ROOT}/posts", body))[0] == 422
    assert (await admin.post(f"{ROOT}/posts", {"department_id": new_id(), "name": "岗"}))[0] == 422


async def test_responsibilities(admin: Caller) -> None:
    bureau = await department(admin)
    one, two = await post(admin, bureau["id"]), await post(admin, bureau["id"])
    body = {"department_id": bureau["id"], "post_id": one["id"], "matter_id": new_id()}
    status, rule = await admin.post(f"{ROOT}/responsibilities", body)
    assert status == 201
    status, problem = await admin.post(f"{ROOT}/responsibilities", {**body, "post_id": two["id"]})
    assert (status, problem["code"]) == (409, "already-there")
    path = f"{ROOT}/responsibilities/{rule['id']}"
    assert (await admin.patch(path, {"version": 1, "post_id": new_id()}))[0] == 422
    status, changed = await admin.patch(path, {"version": 1, "post_id": two["id"], "area_code": "440511"})
    assert (status, changed["post_id"], changed["area_code"]) == (200, two["id"], "440511")
    _, listed = await admin.get(f"{ROOT}/responsibilities", params={"matter_id": body["matter_id"]})
    assert listed["items"] == [changed]
    assert (await admin.delete(path, params={"version": 1}))[0] == 409
    assert (await admin.delete(path, params={"version": 2}))[0] == 204
    assert (await admin.delete(path, params={"version": 2}))[0] == 404


async def test_two_editors(admin: Caller) -> None:
    made = await department(admin)
    path = f"{ROOT}/departments/{made['id']}"
    answers = await asyncio.gather(*(admin.patch(path, {"version": 1, "name": f"名{n}"}) for n in range(5)))
    assert sorted(status for status, _ in answers) == [200] + [409] * 4


async def test_paging(admin: Caller) -> None:
    for number in range(5):
        await department(admin, f"10{number}", kind="street")
    await department(admin, "200")
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 2, "kind": "street"}
    for _ in range(3):
        _, page = await admin.get(f"{ROOT}/departments", params=query)
        seen += [item["code"] for item in page["items"]]
        query["cursor"] = page["next_cursor"]
    assert sorted(seen) == [f"10{number}" for number in range(5)]
    assert query["cursor"] is None


async def test_finding_departments(admin: Caller, login_staff: LoginStaff) -> None:
    bureau = await department(admin, "113301", name="民政局")
    await department(admin, "113302", kind="street", name="东山街道")
    clerk = await login_staff(name="陈洁")
    await post(admin, bureau["id"], holders=[{"staff_id": clerk.actor_id, "rank": 1}])
    await post(admin, bureau["id"], name="低保岗")

    async def found(query: str) -> list[tuple[str, int, int]]:
        _, page = await admin.get(f"{ROOT}/departments?{query}")
        return [(row["name"], row["posts"], row["unstaffed_posts"]) for row in page["items"]]

    assert await found("search=民政") == [("民政局", 2, 1)]
    assert await found("search=113302") == [("东山街道", 0, 0)]
    assert await found("search=3302") == await found("search=.*") == await found("search=民政&kind=street") == []
    assert len(await found("search=%20")) == 2


async def test_people_have_names(admin: Caller, login_staff: LoginStaff) -> None:
    bureau = await department(admin)
    clerk = await login_staff(name="陈洁", department_id=bureau["id"])
    held = await post(admin, bureau["id"], holders=[{"staff_id": clerk.actor_id, "rank": 1}])
    assert held["holders"] == [{"staff_id": clerk.actor_id, "rank": 1, "name": "陈洁"}]
    await post(admin, bureau["id"], name="低保岗")
    _, page = await admin.get(f"{ROOT}/posts?holder_id={clerk.actor_id}")
    assert page["items"] == [held]
    path = f"{ROOT}/departments/{bureau['id']}"
    _, led = await admin.patch(path, {"version": 1, "duty_lead_ids": [clerk.actor_id]})
    assert led["duty_leads"] == [{"id": clerk.actor_id, "name": "陈洁", "active": True}]


async def test_who_changed_what(admin: Caller, login_staff: LoginStaff) -> None:
    bureau = await department(admin)
    await admin.patch(f"{ROOT}/departments/{bureau['id']}", {"version": 1, "name": "民政局", "phone": "88"})
    changes = f"{ROOT}/changes?of=department&id={bureau['id']}"
    status, answer = await admin.get(changes)
    last, first = answer["items"]
    assert (status, first["kind"], first["version"]) == (200, "created", 1)
    assert (last["kind"], last["fields"], last["version"]) == ("changed", ["name", "phone"], 2)
    assert last["by"]["id"] == admin.actor_id
    assert (await admin.get(f"{changes}&limit=1"))[1]["items"] == [last]
    assert (await admin.get(f"{ROOT}/changes?of=post&id={bureau['id']}"))[1] == {"items": []}
    assert (await (await login_staff(Role.CLERK)).get(changes))[0] == 403


async def test_who_may(admin: Caller, login_staff: LoginStaff, login_citizen: LoginCitizen) -> None:
    made = await department(admin)
    callers = ((await login_staff(), 200, 403), (await login_citizen(), 403, 403), (Caller(admin.http), 401, 401))
    for caller, reading, writing in callers:
        for kind in ("departments", "posts", "responsibilities"):
            assert (await caller.get(f"{ROOT}/{kind}"))[0] == reading
        path = f"{ROOT}/departments/{made['id']}"
        assert (await caller.get(path))[0] == reading
        assert (await caller.patch(path, {"version": 1, "name": "x"}))[0] == writing
    for kind in ("departments", "posts", "responsibilities"):
        assert (await admin.get(f"{ROOT}/{kind}/{new_id()}"))[0] == 404


async def test_finding_who_is_responsible(services: Services, admin: Caller, login_staff: LoginStaff) -> None:
    bureau = Department("d-bureau", "1", "民政局", DepartmentKind.BUREAU, "440511")
    hall = Department("d-hall", "2", "政务大厅", DepartmentKind.HALL, "440511")
    general, special = Post("p-general", "d-bureau", "综合岗"), Post("p-special", "d-bureau", "婚姻登记岗")
    rules = [
        Responsibility("r-all", "d-bureau", "p-general"),
        Responsibility("r-one", "d-bureau", "p-special", matter_id="m-1", reception_mode=ReceptionMode.STREET),
    ]
    seeded = {"departments": [bureau, hall], "posts": [general, special], "responsibilities": rules}
    assert await services.organisation.seed(SYSTEM, **seeded) == (2, 2, 2)  # type: ignore[arg-type]
    assert await services.organisation.seed(SYSTEM, **seeded) == (0, 0, 0)  # type: ignore[arg-type]
    holder = await login_staff(department_id="d-bureau", staff_id=derived_id("staff", "a"))
    lead = await login_staff(department_id="d-bureau")
    triage = await login_staff(department_id="d-hall")
    edit = services.organisation
    await edit.update_post(SYSTEM, "p-special", {"holders": (Holder(holder.actor_id, 1),)}, version=1)
    await edit.update_department(SYSTEM, "d-bureau", {"duty_lead_ids": (lead.actor_id,)}, version=1)
    await edit.update_department(SYSTEM, "d-hall", {"duty_lead_ids": (triage.actor_id,)}, version=1)

    async def asked(matter_id: str | None, mode: ReceptionMode | None = None) -> tuple[str | None, list[DutyTier]]:
        found = await edit.responsible(matter_id=matter_id, department_id="d-bureau", reception_mode=mode)
        return found.post.id if found.post else None, [candidate.tier for candidate in found.candidates]

    below = [DutyTier.DEPARTMENT_LEAD, DutyTier.TRIAGE]
    assert await asked("m-1", ReceptionMode.STREET) == ("p-special", [DutyTier.HOLDER, *below])
    assert await asked("m-1") == ("p-general", below)
    assert await asked("m-2") == ("p-general", below)
    await admin.patch(f"/api/staff/{lead.actor_id}", {"version": 1, "active": False})
    assert await asked(None) == ("p-general", [DutyTier.TRIAGE])
    nobody = await edit.responsible(matter_id=None, department_id=None)
    assert (nobody.post, [c.staff_id for c in nobody.candidates]) == (None, [triage.actor_id])
