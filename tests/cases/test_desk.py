"""The work list and what the desk sees around a case, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from backend.domain.ids import new_id


async def counts_of(caller: Any) -> dict[str, Any]:
    status, counts = await caller.get("/api/desk/case-counts")
    assert status == 200, counts
    return dict(counts)


async def found(caller: Any, query: str) -> list[str]:
    status, page = await caller.get(f"/api/desk/cases{query}")
    assert status == 200, page
    return [item["id"] for item in page["items"]]


async def test_counts_say_where_the_work_is(office: Any) -> None:
    citizen, clerk = await office.citizen(), await office.staff()
    await office.draft(citizen)
    await office.submitted(citizen)
    accepted, asked, ended = [await office.submitted(citizen) for _ in range(3)]
    service = await office.submitted(citizen, "service")
    desk = "/api/desk/cases"
    assert (await clerk.post(f"{desk}/{accepted['id']}/accept", {}))[0] == 200
    body = {"items": [{"key": "id-card", "text": "照片模糊"}]}
    assert (await clerk.post(f"{desk}/{asked['id']}/request-correction", body))[0] == 200
    assert (await clerk.post(f"{desk}/{ended['id']}/not-accept", {"reason": "不属于本机关职权"}))[0] == 200
    counts = await counts_of(clerk)
    matters = counts.pop("matters")
    assert counts == {"received": 2, "handling": 1, "correction": 1, "today": 0, "overdue": 0, "closed": 1}
    assert [(m["name"], m["open"]) for m in matters] == [("食品经营许可", 3), ("社会保障卡申领", 1)]
    assert await found(clerk, f"?matter_id={office.matters['service']}") == [service["id"]]

    office.at(2026, 3, 9, 9)
    counts = await counts_of(await office.staff())
    assert (counts["today"], counts["overdue"]) == (3, 0)
    office.at(2026, 3, 10, 9)
    counts = await counts_of(await office.staff())
    assert (counts["today"], counts["overdue"]) == (0, 3)


async def test_nobody_counts_what_is_not_theirs(office: Any) -> None:
    citizen = await office.citizen()
    await office.submitted(citizen)
    assert (await counts_of(await office.staff("stranger")))["received"] == 0
    assert (await counts_of(await office.staff("lead")))["received"] == 1
    assert (await citizen.get("/api/desk/case-counts"))[0] == 403


@pytest.mark.parametrize("part", [lambda n: n, lambda n: n[-16:], lambda n: n[:31], lambda n: f" {n[:20]} {n[20:]} "])
async def test_a_case_is_found_by_its_number(office: Any, part: Any) -> None:
    citizen, clerk = await office.citizen(), await office.staff()
    case = await office.submitted(citizen)
    await office.submitted(citizen, "service")
    assert (await clerk.post(f"/api/desk/cases/{case['id']}/not-accept", {"reason": "重复申请"}))[0] == 200
    number = case["number"]
    assert await found(clerk, f"?q={part(number)}") == [case["id"]]
    assert await found(await office.staff("stranger"), f"?q={part(number)}") == []


async def test_the_middle_of_a_number_finds_nothing(office: Any) -> None:
    citizen, clerk = await office.citizen(), await office.staff()
    case = await office.submitted(citizen)
    assert await found(clerk, f"?q={case['number'][5:25]}") == []


async def test_a_case_is_found_by_its_matter_but_not_by_its_applicant(office: Any) -> None:
    citizen, clerk = await office.citizen(), await office.staff()
    case = await office.submitted(citizen)
    await office.submitted(citizen, "service")
    assert await found(clerk, "?q=经营许可") == [case["id"]]
    assert await found(clerk, "?q=王小四") == []
    assert await found(clerk, "?q=.*") == []
    assert (await clerk.get("/api/desk/cases?q=%20%20"))[0] == 422


async def test_what_is_over_comes_newest_first_page_by_page(office: Any) -> None:
    citizen, clerk = await office.citizen(), await office.staff()
    cases = [await office.submitted(citizen) for _ in range(3)]
    for case in cases:
        assert (await clerk.post(f"/api/desk/cases/{case['id']}/not-accept", {"reason": "重复申请"}))[0] == 200
    status, first = await clerk.get("/api/desk/cases?open=false&limit=2")
    assert (status, [item["id"] for item in first["items"]]) == (200, [cases[2]["id"], cases[1]["id"]])
    assert await found(clerk, f"?open=false&limit=2&cursor={first['next_cursor']}") == [cases[0]["id"]]


async def test_the_list_says_how_long_is_left_and_who_handles(office: Any) -> None:
    citizen, clerk = await office.citizen(), await office.staff()
    await office.submitted(citizen)
    status, page = await clerk.get("/api/desk/cases")
    item = page["items"][0]
    assert (status, item["days_left"], item["due_unit"], item["overdue"]) == (200, 5, "working_day", False)
    assert item["handling"]["post_name"] == "许可岗"
    assert item["handling"]["people"] == [(await clerk.get("/api/staff/me"))[1]["name"]]
    assert item["handling"]["unstaffed"] is False
    office.at(2026, 3, 9, 9)
    item = (await (await office.staff()).get("/api/desk/cases"))[1]["items"][0]
    assert (item["days_left"], item["overdue"]) == (0, False)
    office.at(2026, 3, 11, 9)
    item = (await (await office.staff()).get("/api/desk/cases"))[1]["items"][0]
    assert (item["days_left"], item["overdue"]) == (-2, True)


async def test_a_case_says_what_one_may_do_and_what_the_applicant_is_told(office: Any) -> None:
    citizen, clerk = await office.citizen(), await office.staff()
    case = await office.submitted(citizen)
    desk = f"/api/desk/cases/{case['id']}"
    status, detail = await clerk.get(desk)
    assert (status, detail["next_step"]) == (200, "核对材料，决定是否受理")
    assert set(detail["actions"]) == {"accept", "not_accept", "request_correction"}
    assert "行政复议" in detail["not_accepted_appeal"]
    assert "行政复议" in detail["refusal_appeal"]
    assert detail["correction_limit"] == "15个工作日"
    assert (detail["days_left"], detail["due"]["unit"]) == (5, "working_day")
    assert detail["consultations"] == []


async def test_the_timeline_names_the_staff_and_leaves_the_draft_out(office: Any) -> None:
    citizen, clerk = await office.citizen(), await office.staff()
    case = await office.submitted(citizen)
    desk = f"/api/desk/cases/{case['id']}"
    body = {"items": [{"key": "id-card", "text": "照片模糊"}]}
    assert (await clerk.post(f"{desk}/request-correction", body))[0] == 200
    await office.put_pages(citizen, case["id"], "id-card", [new_id()])
    status, timeline = await clerk.get(f"{desk}/timeline")
    name = (await clerk.get("/api/staff/me"))[1]["name"]
    assert status == 200
    assert [(i["kind"], i["actor_name"]) for i in timeline["items"]] == [
        ("submitted", None),
        ("correction_requested", name),
        ("edited", None),
    ]
    assert (await (await office.staff("stranger")).get(f"{desk}/timeline"))[0] == 404


async def test_consultations_about_a_case_stand_beside_it(office: Any) -> None:
    citizen, clerk = await office.citizen(), await office.staff()
    case, other = await office.submitted(citizen), await office.submitted(citizen)
    body = {"cid": new_id(), "case_id": case["id"], "matter_id": case["matter_id"], "subject": "什么时候能办好？"}
    status, opened = await citizen.post("/api/consultations", body)
    assert status == 201, opened
    detail = (await clerk.get(f"/api/desk/cases/{case['id']}"))[1]
    assert [asked["id"] for asked in detail["consultations"]] == [opened["consultation"]["id"]]
    assert (await clerk.get(f"/api/desk/cases/{other['id']}"))[1]["consultations"] == []
