"""Drafts that are thrown away, corrections that answer every item, and what the desk sees beside a talk."""

from __future__ import annotations

import uuid
from typing import Any

from backend.domain.ids import new_id


async def test_a_draft_is_thrown_away(office: Any) -> None:
    citizen, other = await office.citizen(), await office.citizen("lisi")
    case = await office.draft(citizen)
    path = f"/api/cases/{case['id']}"
    assert (await other.delete(path))[0] == 404
    assert (await office.services.events.of("case", case["id"]))[-1].kind == "edited"
    assert (await citizen.delete(path))[0] == 204
    assert (await citizen.get(path))[0] == 404
    assert (await citizen.delete(path))[0] == 204  # the first answer was lost
    assert (await other.delete(path))[0] == 404
    events = await office.services.events.of("case", case["id"])
    assert (events[-1].kind, events[-1].actor_id) == ("discarded", citizen.actor_id)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert (await citizen.get("/api/cases"))[1]["items"] == []


async def test_what_was_handed_in_cannot_be_thrown_away(office: Any) -> None:
    citizen, clerk = await office.citizen(), await office.staff()
    case = await office.submitted(citizen)
    status, problem = await citizen.delete(f"/api/cases/{case['id']}")
    assert (status, problem["code"]) == (409, "invalid-transition")
    assert (await clerk.delete(f"/api/cases/{case['id']}"))[0] == 403
    assert (await citizen.get(f"/api/cases/{case['id']}"))[0] == 200


async def test_lists_by_phase(office: Any) -> None:
    citizen = await office.citizen()
    draft, handed_in, over = (
        await office.draft(citizen),
        await office.submitted(citizen),
        await office.submitted(citizen),
    )
    assert (await citizen.post(f"/api/cases/{over['id']}/withdraw", {}))[0] == 200
    for phase, case in (("draft", draft), ("open", handed_in), ("closed", over)):
        status, page = await citizen.get(f"/api/cases?phase={phase}")
        assert (status, [item["id"] for item in page["items"]]) == (200, [case["id"]])
    assert (await citizen.get("/api/cases?phase=open&state=draft"))[1]["items"] == []
    assert (await citizen.get("/api/cases?phase=all"))[0] == 422


async def test_every_item_of_a_correction_is_answered(office: Any) -> None:
    citizen, clerk = await office.citizen(), await office.staff()
    case = await office.submitted(citizen)
    path, desk = f"/api/cases/{case['id']}", f"/api/desk/cases/{case['id']}"
    keys = ("id-card", "floor-plan", "applicant", "form")
    items = [{"key": key, "text": "请补正"} for key in keys]
    assert (await clerk.post(f"{desk}/request-correction", {"items": items}))[0] == 200

    async def missing(body: dict[str, Any]) -> list[str]:
        status, problem = await citizen.post(f"{path}/corrections", body)
        assert (status, problem["code"]) == (422, "incomplete-case"), problem
        assert all("补正要求" in error["detail"] for error in problem["errors"])
        return [error["field"] for error in problem["errors"]]

    def answers(*named: str, text: str = "情况如此") -> dict[str, Any]:
        return {"answers": [{"key": key, "text": text} for key in named]}

    everything = ["materials.id-card", "materials.floor-plan", "applicant", "form"]
    assert await missing({}) == everything
    assert await missing(answers("form")) == everything[:3]
    assert await missing(answers(*keys, text=" ")) == everything  # nothing was said
    present = (await citizen.get(path))[1]
    same = {"expected_version": present["version"], "applicant": present["applicant"], "form": present["form"]}
    assert (await citizen.patch(path, same))[0] == 200
    assert await missing({}) == everything  # nothing was changed
    old = next(slot["page_ids"] for slot in present["materials"] if slot["key"] == "id-card")
    await office.put_pages(citizen, case["id"], "id-card", [*old, new_id()])
    version = (await citizen.get(path))[1]["version"]
    assert (await citizen.patch(path, {"expected_version": version, "form": {"purpose": "自住"}}))[0] == 200
    now = (await citizen.get(path))[1]["corrections"][0]["items"]
    assert [item["met"] for item in now] == [True, False, False, True]
    assert await missing({}) == ["materials.floor-plan", "applicant"]

    status, problem = await citizen.post(f"{path}/corrections", answers("agent"))
    assert (status, problem["field"]) == (422, "answers.agent")
    twice = {"answers": answers("applicant")["answers"] * 2}
    assert (await citizen.post(f"{path}/corrections", twice))[0] == 422
    body = {**answers("floor-plan", "applicant"), "action_id": str(uuid.uuid4())}
    status, done = await citizen.post(f"{path}/corrections", body)
    assert (status, done["state"]) == (200, "resubmitted")
    assert (await citizen.post(f"{path}/corrections", body))[1]["version"] == done["version"]  # a double tap
    seen = (await clerk.get(desk))[1]["corrections"][0]["items"]
    assert [item["answer"] for item in seen] == [None, "情况如此", "情况如此", None]
    assert all(item["met"] for item in seen)


async def test_a_page_taken_away_is_no_new_page(office: Any) -> None:
    citizen, clerk = await office.citizen(), await office.staff()
    case = await office.draft(citizen)
    first, second = new_id(), new_id()
    await office.put_pages(citizen, case["id"], "id-card", [first, second])
    assert (await citizen.post(f"/api/cases/{case['id']}/submit", {}))[0] == 200
    items = {"items": [{"key": "id-card", "text": "请重拍第二页"}]}
    assert (await clerk.post(f"/api/desk/cases/{case['id']}/request-correction", items))[0] == 200
    for pages in ([second, first], [first]):
        await office.put_pages(citizen, case["id"], "id-card", pages)
        status, problem = await citizen.post(f"/api/cases/{case['id']}/corrections", {})
        assert (status, problem["errors"][0]["field"]) == (422, "materials.id-card")


async def test_the_desk_sees_the_case_beside_the_talk(office: Any) -> None:
    citizen, clerk, stranger = await office.citizen(), await office.staff(), await office.staff("stranger")
    case, other, draft = await office.submitted(citizen), await office.submitted(citizen), await office.draft(citizen)
    body = {"subject": "办到哪了", "matter_id": case["matter_id"], "case_id": case["id"], "cid": new_id()}
    status, asked = await citizen.post("/api/consultations", body)
    assert status == 201, asked
    path = f"/api/desk/consultations/{asked['consultation']['id']}/context"
    status, context = await clerk.get(path)
    assert status == 200, context
    assert (context["case"]["id"], context["case"]["next_step"]) == (case["id"], "核对材料，决定是否受理")
    assert context["case"]["due_at"]
    assert [item["id"] for item in context["other_cases"]] == [other["id"]]
    assert draft["id"] not in str(context)
    assert (await stranger.get(path))[0] == 404
