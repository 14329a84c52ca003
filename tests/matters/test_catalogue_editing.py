"""Editors at the catalogue over HTTP: drafts, problems, publishing, states, who did what."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from backend.domain.access import Role
from backend.domain.catalogue import MatterDraft
from backend.domain.guide_drafts import GuideDraft
from backend.domain.ids import new_id
from backend.domain.matters import Guide, LimitUnit, TimeLimit
from handlers.catalogue_forms import GuideForm
from tests.conftest import LoginCitizen, LoginStaff

DraftMaker = Callable[..., MatterDraft]
COMPLETE: dict[str, Any] = {"promised_limit": TimeLimit(5, LimitUnit.WORKING_DAY), "online": True}


def test_a_draft_and_its_form_have_the_fields_of_a_guide() -> None:
    names = [field.name for field in fields(Guide)]
    assert sorted(names) == sorted(field.name for field in fields(GuideDraft))
    assert sorted(names) == sorted(GuideForm.model_fields)


async def test_an_incomplete_draft_is_kept_and_says_what_it_lacks(bureau: Any, draft: DraftMaker) -> None:
    code = draft(7).code
    status, made = await bureau.editor.post(
        "/api/catalogue/matters", {"code": code, "department_id": bureau.department_id, "guide": {"name": "新事项"}}
    )
    assert status == 201, made
    assert (made["state"], made["published"], made["version"]) == ("draft", None, 1)
    blocking = {p["field"] for p in made["problems"] if p["severity"] == "blocking"}
    assert blocking == {"task_type", "level", "project_type", "windows"}
    status, _ = await bureau.editor.get(f"/api/matters/{made['id']}")
    assert status == 404
    status, refused = await bureau.editor.post(f"/api/catalogue/matters/{made['id']}/publish", {"version": 1})
    assert status == 422
    assert {error["field"] for error in refused["errors"]} == blocking


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"visits": 1}, "visit_reason"),
        ({"statutory_limit": {"amount": 3, "unit": "working_day"}}, "promised_limit"),
        ({"statutory_limit": {"amount": 4, "unit": "natural_day"}}, "promised_limit"),
        ({"project_type": "instant"}, "promised_limit"),
        ({"promised_limit": None}, "promised_limit"),
        ({"materials": [{"key": "a", "name": "甲"}, {"key": "a", "name": "乙"}]}, "materials.1.key"),
        ({"materials": [{"key": "a", "name": "甲", "blank_form": "missing.pdf"}]}, "materials.0.blank_form"),
        ({"materials": [{"key": "a", "name": " "}]}, "materials.0.name"),
        ({"fees": [{"name": "工本费"}]}, "fees.0.standard"),
        ({"online": False}, "windows"),
        ({"project_type": "information", "promised_limit": None, "online": True}, "online"),
        ({"effective_from": "2026-05-01", "effective_to": "2026-04-01"}, "effective_to"),
        ({"effective_to": "2026-02-28"}, "effective_to"),
    ],
)
async def test_what_keeps_a_draft_from_being_published(
    bureau: Any, draft: DraftMaker, changes: dict[str, Any], field: str
) -> None:
    bureau.at(2026, 3, 2, 9)
    await bureau.publish(draft(1, **COMPLETE))
    saved = await bureau.rewrite(draft(1), **changes)
    assert field in [p["field"] for p in saved["problems"] if p["severity"] == "blocking"]
    _, problems = await bureau.editor.get(f"/api/catalogue/matters/{draft(1).id}/draft/problems")
    assert problems["items"] == saved["problems"]
    assert (await bureau.act(draft(1), "POST", "publish"))[0] == 422


async def test_a_new_matter_comes_into_being_and_is_found(bureau: Any, draft: DraftMaker) -> None:
    new = draft(8)
    guide = {
        "name": "无人机飞行报备",
        "task_type": "public_service",
        "level": "county",
        "project_type": "promised",
        "promised_limit": {"amount": 2, "unit": "working_day"},
        "online": True,
    }
    body = {"code": f" {new.code.lower()} ", "department_id": bureau.department_id, "guide": guide}
    status, made = await bureau.editor.post("/api/catalogue/matters", body)
    assert (status, made["code"], made["base_code"]) == (201, new.code, new.base_code)
    assert (await bureau.editor.post("/api/catalogue/matters", body))[0] == 409
    status, published = await bureau.act(new, "POST", "publish")
    assert (status, published["state"], published["published"]["version"]) == (200, "active", 1)
    assert published["published"]["published_by"]["name"] == "编辑小陈"
    _, found = await bureau.editor.get("/api/matters/search", params={"q": "无人机飞行报备"})
    assert found["items"][0]["matter"]["id"] == new.id


async def test_nobody_responsible_is_told_and_keeps_a_matter_back(
    bureau: Any, draft: DraftMaker, login_staff: LoginStaff
) -> None:
    admin = await login_staff(Role.ADMIN)
    _, department = await admin.post(
        "/api/organisation/departments",
        {"code": "NEWBUREAU", "name": "区数据局", "kind": "bureau", "area_code": "440106"},
    )
    _, made = await bureau.editor.post(
        "/api/catalogue/matters", {"code": draft(9).code, "department_id": department["id"], "guide": {"name": "甲"}}
    )
    assert made["responsible"] is None
    assert "nobody-responsible" in [p["code"] for p in made["problems"]]


@pytest.mark.parametrize("code", ["123", "11440106007499999X9442011000001", "11440106007499999X44201100000A1"])
async def test_codes_are_checked_as_imports_check_them(bureau: Any, code: str) -> None:
    status, problem = await bureau.editor.post(
        "/api/catalogue/matters", {"code": code, "department_id": bureau.department_id, "guide": {}}
    )
    assert (status, problem["field"]) == (422, "code")


async def test_of_two_editors_the_second_is_told(bureau: Any, draft: DraftMaker, login_staff: LoginStaff) -> None:
    await bureau.publish(draft(1, **COMPLETE))
    other = await login_staff(Role.EDITOR)
    path, guide = f"/api/catalogue/matters/{draft(1).id}", (await bureau.see(draft(1)))["published"]["guide"]
    first = await bureau.editor.put(f"{path}/draft", {"version": 0, "guide": guide | {"summary": "甲写的"}})
    second = await other.put(f"{path}/draft", {"version": 0, "guide": guide | {"summary": "乙写的"}})
    assert (first[0], second[0], second[1]["code"]) == (200, 409, "edit-conflict")
    seen = await bureau.see(draft(1), other)
    assert (seen["draft"]["guide"]["summary"], seen["draft"]["saved_by"]["name"]) == ("甲写的", "编辑小陈")
    assert (await other.post(f"{path}/publish", {"version": 0}))[0] == 409
    assert (await other.post(f"{path}/publish", {"version": seen["version"]}))[0] == 200


async def test_an_import_in_between_is_not_overwritten_unseen(bureau: Any, draft: DraftMaker) -> None:
    await bureau.publish(draft(1, **COMPLETE))
    saved = await bureau.rewrite(draft(1), summary="改了")
    await bureau.publish(draft(1, **COMPLETE, consult_phone="020-12345"))
    seen = await bureau.see(draft(1))
    assert "outdated" in [p["code"] for p in seen["problems"]]
    assert (await bureau.act(draft(1), "POST", "publish"))[0] == 422
    await bureau.act(draft(1), "PUT", "draft", guide=saved["draft"]["guide"], base_version=2)
    assert (await bureau.act(draft(1), "POST", "publish"))[0] == 200


async def test_a_published_draft_is_a_new_version_and_cases_keep_theirs(
    bureau: Any, draft: DraftMaker, login_citizen: LoginCitizen
) -> None:
    await bureau.publish(draft(1, **COMPLETE, summary="旧的说明"))
    citizen = await login_citizen()
    _, case = await citizen.post("/api/cases", {"matter_id": draft(1).id})
    await citizen.get(f"/api/matters/{draft(1).id}")  # into the cache of guides
    await bureau.rewrite(draft(1), summary="新的说明")
    assert (await bureau.act(draft(1), "POST", "publish"))[0] == 200
    _, now = await citizen.get(f"/api/matters/{draft(1).id}")
    _, pinned = await citizen.get(f"/api/matters/{draft(1).id}?version={case['matter_version']}")
    assert (now["version"], now["guide"]["summary"]) == (2, "新的说明")
    assert (pinned["version"], pinned["guide"]["summary"]) == (1, "旧的说明")
    _, again = await citizen.get(f"/api/cases/{case['id']}")
    assert again["matter_version"] == 1
    _, versions = await bureau.editor.get(f"/api/catalogue/matters/{draft(1).id}/versions", params={"limit": 1})
    assert [(v["version"], v["changed"]) for v in versions["items"]] == [(2, ["summary"])]
    _, older = await bureau.editor.get(
        f"/api/catalogue/matters/{draft(1).id}/versions", params={"cursor": versions["next_cursor"]}
    )
    assert [(v["version"], v["changed"]) for v in older["items"]] == [(1, [])]


async def test_a_material_that_is_written_down_again_stays_the_same_one(bureau: Any, draft: DraftMaker) -> None:
    await bureau.publish(draft(1, **COMPLETE))
    first, *others = (await bureau.see(draft(1)))["published"]["guide"]["materials"]
    new = {"key": "other", "name": "另一份"}
    await bureau.rewrite(draft(1), materials=[*others, new, first | {"key": "rewritten"}])
    _, view = await bureau.act(draft(1), "POST", "publish")
    keys = [material["key"] for material in view["published"]["guide"]["materials"]]
    assert keys == [*(other["key"] for other in others), "other", first["key"]]


async def test_publishing_the_same_again_is_refused(bureau: Any, draft: DraftMaker) -> None:
    await bureau.publish(draft(1, **COMPLETE))
    await bureau.rewrite(draft(1))
    assert (await bureau.act(draft(1), "POST", "publish"))[1]["code"] == "invalid-transition"
    assert (await bureau.act(draft(1), "DELETE", "draft"))[0] == 204
    seen = await bureau.see(draft(1))
    assert (seen["draft"], seen["version"]) == (None, 2)
    assert (await bureau.act(draft(1), "DELETE", "draft"))[0] == 404


async def test_a_suspended_matter_says_why_and_cannot_be_started(
    bureau: Any, draft: DraftMaker, login_citizen: LoginCitizen
) -> None:
    await bureau.publish(draft(1, **COMPLETE, name="烟花爆竹零售许可"))
    citizen = await login_citizen()
    assert (await bureau.act(draft(1), "POST", "suspend", reason=" "))[0] == 422
    assert (await bureau.act(draft(1), "POST", "suspend", reason="系统升级，4 月 1 日恢复。"))[0] == 200
    _, guide = await citizen.get(f"/api/matters/{draft(1).id}")
    assert (guide["state"], guide["state_reason"]) == ("suspended", "系统升级，4 月 1 日恢复。")
    assert guide["state_since"] is not None
    assert (await citizen.post("/api/cases", {"matter_id": draft(1).id}))[0] == 409
    _, found = await citizen.get("/api/matters/search", params={"q": "烟花爆竹零售许可"})
    assert found["items"] == []
    await bureau.publish(draft(1, **COMPLETE, name="烟花爆竹零售许可", summary="来自导入"))
    assert (await bureau.see(draft(1)))["state"] == "suspended", "an import that says nothing of it keeps the state"
    assert (await bureau.act(draft(1), "POST", "suspend", reason="再次"))[0] == 409
    assert (await bureau.act(draft(1), "POST", "resume", reason="恢复办理"))[0] == 200
    assert (await citizen.post("/api/cases", {"matter_id": draft(1).id}))[0] == 201
    assert (await bureau.act(draft(1), "POST", "cancel", reason="法规废止"))[0] == 200
    assert (await citizen.post("/api/cases", {"matter_id": draft(1).id}))[0] == 409


async def test_the_history_names_who_did_what(bureau: Any, draft: DraftMaker) -> None:
    await bureau.publish(draft(1, **COMPLETE, summary="旧"))
    await bureau.rewrite(draft(1), summary="新")
    await bureau.act(draft(1), "POST", "publish")
    await bureau.act(draft(1), "POST", "suspend", reason="检修")
    _, history = await bureau.editor.get(f"/api/catalogue/matters/{draft(1).id}/history")
    assert [event["kind"] for event in history["items"]] == ["suspended", "published", "draft_saved"]
    assert {event["by"]["name"] for event in history["items"]} == {"编辑小陈"}
    assert history["items"][1]["changes"] == [{"field": "summary", "old": "旧", "new": "新"}]


async def test_the_list_has_every_state_in_pages(bureau: Any, draft: DraftMaker) -> None:
    await bureau.publish(draft(1, **COMPLETE), draft(3, **COMPLETE), draft(4, **COMPLETE, name="社保卡补领"))
    await bureau.rewrite(draft(3), summary="改")
    await bureau.act(draft(4), "POST", "suspend", reason="检修")
    for number in (2, 5):
        await bureau.editor.post(
            "/api/catalogue/matters",
            {"code": draft(number).code, "department_id": bureau.department_id, "guide": {"name": f"新{number}"}},
        )

    async def listed(**query: Any) -> list[str]:
        names: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            status, page = await bureau.editor.get("/api/catalogue/matters", params={"limit": 2, **query, **cursor})
            assert status == 200, page
            names += [row["name"] for row in page["items"]]
            if page["next_cursor"] is None:
                return names
            cursor = {"cursor": page["next_cursor"]}

    assert await listed() == ["事项1", "新2", "事项3", "社保卡补领", "新5"]
    assert await listed(state="draft") == ["新2", "新5"]
    assert await listed(state="suspended") == ["社保卡补领"]
    assert await listed(work="draft") == ["新2", "事项3", "新5"]
    assert await listed(q="社保卡") == ["社保卡补领"]
    assert await listed(q=draft(3).code[:31]) == ["事项3"]
    assert await listed(department=bureau.department_id) == await listed()
    assert await listed(department=new_id()) == []


@pytest.mark.parametrize("role", [None, Role.CLERK, Role.LEAD, Role.SUPERVISOR])
async def test_nobody_but_editors_and_administrators(
    bureau: Any, draft: DraftMaker, login_staff: LoginStaff, login_citizen: LoginCitizen, role: Role | None
) -> None:
    await bureau.publish(draft(1, **COMPLETE))
    caller = await login_staff(role) if role is not None else await login_citizen()
    path = f"/api/catalogue/matters/{draft(1).id}"
    reason = {"version": 0, "reason": "试试"}
    answers = [
        await caller.get("/api/catalogue/matters"),
        await caller.get(path),
        await caller.get(f"{path}/versions"),
        await caller.get(f"{path}/history"),
        await caller.put(f"{path}/draft", {"version": 0, "guide": {}}),
        await caller.delete(f"{path}/draft", params={"version": 0}),
        await caller.post(f"{path}/publish", {"version": 0}),
        await caller.delete(f"{path}/scheduled", params={"version": 0}),
        *[await caller.post(f"{path}/{verb}", reason) for verb in ("suspend", "resume", "cancel")],
        await caller.get("/api/catalogue/imports"),
        await caller.get("/api/catalogue/mappings"),
        await caller.post("/api/catalogue/imports", data={"file": io.BytesIO(b"x")}),
        await caller.post("/api/catalogue/guide-files", data={"file": io.BytesIO(b"x")}),
    ]
    assert {status for status, _ in answers} == {403}
    admin = await login_staff(Role.ADMIN)
    assert (await admin.get(path))[0] == 200
