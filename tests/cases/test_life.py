"""The life of a case over HTTP, from both sides."""

from __future__ import annotations

import asyncio
from typing import Any

from backend.domain.cases import apply
from backend.domain.ids import new_id


async def test_a_whole_life(office: Any) -> None:
    citizen, clerk = await office.citizen(), await office.staff()
    case = await office.submitted(citizen)
    path, desk = f"/api/cases/{case['id']}", f"/api/desk/cases/{case['id']}"
    assert case["state"] == "submitted"
    assert case["number"].endswith("202603020001")
    assert case["deadlines"]["acceptance"]["day"] == "2026-03-09"
    assert case["post_id"] == office.post_id

    status, work = await clerk.get("/api/desk/cases")
    assert (status, [item["id"] for item in work["items"]]) == (200, [case["id"]])
    assert work["items"][0]["applicant_name"] == "王*四"
    status, detail = await clerk.get(desk)
    assert (status, detail["applicant"]["id_number"]) == (200, "11010519491231002X")
    assert {"accept", "not_accept", "request_correction"} <= set(detail["actions"])

    status, case = await clerk.post(f"{desk}/accept", {"expected_version": detail["version"]})
    assert (status, case["state"]) == (200, "accepted")
    assert case["deadlines"]["statutory"]["day"] == "2026-03-30"
    status, case = await clerk.post(f"{desk}/approve", {"result": "食品经营许可证"})
    assert (status, case["state"], case["outcome"]) == (200, "approved", "approved")
    status, case = await clerk.post(f"{desk}/close", {})
    assert (status, case["state"], case["actions"]) == (200, "closed", [])

    status, progress = await citizen.get(f"{path}/progress")
    assert (status, progress["state"], progress["state_name"]) == (200, "closed", "已办结")
    status, timeline = await citizen.get(f"{path}/timeline")
    assert [item["kind"] for item in timeline["items"]] == ["submitted", "accepted", "approved", "closed"]
    status, receipt = await citizen.get(f"{path}/receipt")
    assert receipt["materials"] == [{"name": "身份证", "pages": 1}]
    assert receipt["statutory"]["derivation"]


async def test_the_events_alone_give_the_stored_case(office: Any) -> None:
    citizen, clerk = await office.citizen(), await office.staff()
    case = await office.submitted(citizen)
    desk = f"/api/desk/cases/{case['id']}"
    body = {"items": [{"key": "id-card", "text": "照片模糊"}]}
    assert (await clerk.post(f"{desk}/request-correction", body))[0] == 200
    await office.put_pages(citizen, case["id"], "id-card", [new_id()])
    assert (await citizen.post(f"/api/cases/{case['id']}/corrections", {}))[0] == 200
    assert (await clerk.post(f"{desk}/accept", {}))[0] == 200
    store = office.services.case_desk._steps.store
    replayed = None
    for event in await store.history(case["id"]):
        replayed = apply(replayed, event)
    assert replayed == await store.get(case["id"])


async def test_one_round_of_correction(office: Any) -> None:
    citizen, clerk = await office.citizen(), await office.staff()
    case = await office.submitted(citizen)
    path, desk = f"/api/cases/{case['id']}", f"/api/desk/cases/{case['id']}"
    body = {"items": [{"key": "id-card", "text": "照片模糊，请重拍"}, {"key": "applicant", "text": "姓名有误"}]}
    status, case = await clerk.post(f"{desk}/request-correction", body)
    assert (status, case["state"], case["deadlines"]["acceptance"]) == (200, "correction_requested", None)

    status, problem = await citizen.post(f"{path}/corrections", {})
    assert (status, problem["code"]) == (422, "incomplete-case")
    assert [error["field"] for error in problem["errors"]] == ["materials.id-card", "applicant"]
    await office.put_pages(citizen, case["id"], "id-card", [new_id()])
    status, case = await citizen.post(
        f"{path}/corrections", {"answers": [{"key": "applicant", "text": "与身份证一致，没有写错"}]}
    )
    assert (status, case["state"]) == (200, "resubmitted")
    status, problem = await clerk.post(f"{desk}/request-correction", body)
    assert (status, problem["code"]) == (409, "invalid-transition")


async def test_all_that_is_missing_is_said_at_once(office: Any) -> None:
    citizen = await office.citizen()
    _, case = await citizen.post("/api/cases", {"matter_id": office.matters["licence"]})
    status, problem = await citizen.post(f"/api/cases/{case['id']}/submit", {})
    assert (status, problem["code"]) == (422, "incomplete-case")
    assert [error["field"] for error in problem["errors"]] == [
        "applicant.name",
        "applicant.id_number",
        "applicant.phone",
        "materials.id-card",
    ]


async def test_a_draft_is_resumed_on_another_device(office: Any) -> None:
    phone, tablet = await office.citizen(), await office.citizen()
    case = await office.draft(phone)
    status, seen = await tablet.get(f"/api/cases/{case['id']}")
    assert (status, seen["applicant"]["name"]) == (200, "王小四")
    assert [(item["key"], item["pages"], item["asked"]) for item in seen["checklist"]] == [
        ("id-card", 1, True),
        ("floor-plan", 0, True),
    ]
    path = f"/api/cases/{case['id']}"
    body = {"expected_version": seen["version"], "form": {"purpose": "开店"}}
    status, saved = await tablet.patch(path, body)
    assert (status, saved["form"]) == (200, {"purpose": "开店"})
    status, problem = await phone.patch(path, {**body, "form": {"purpose": "别的"}})
    assert (status, problem["code"]) == (409, "edit-conflict")
    status, saved = await tablet.patch(path, {"expected_version": saved["version"], "agent": {"name": "李四"}})
    assert saved["agent"]["name"] == "李四"
    status, saved = await tablet.patch(path, {"expected_version": saved["version"], "agent": None})
    assert (saved["agent"], saved["form"]) == (None, {"purpose": "开店"})


async def test_a_case_stays_on_the_version_it_began_on(office: Any) -> None:
    citizen = await office.citizen()
    case = await office.draft(citizen)
    await office.republish("licence", materials=())
    _status, seen = await citizen.get(f"/api/cases/{case['id']}")
    assert (seen["matter_version"], len(seen["checklist"])) == (1, 2)
    _, fresh = await citizen.post("/api/cases", {"matter_id": office.matters["licence"]})
    assert fresh["matter_version"] == 2


async def test_creating_twice_with_one_key_is_one_draft(office: Any) -> None:
    citizen, key = await office.citizen(), new_id()
    body = {"matter_id": office.matters["licence"]}
    first = await citizen.post("/api/cases", body, headers={"Idempotency-Key": key})
    again = await citizen.post("/api/cases", body, headers={"Idempotency-Key": key})
    assert first == again
    _, mine = await citizen.get("/api/cases")
    assert len(mine["items"]) == 1


async def test_a_double_tap_is_one_action(office: Any) -> None:
    citizen = await office.citizen()
    case = await office.draft(citizen)
    path, body = f"/api/cases/{case['id']}/submit", {"action_id": new_id()}
    answers = await asyncio.gather(*(citizen.post(path, body) for _ in range(5)))
    assert {status for status, _ in answers} == {200}
    assert len({answer["number"] for _, answer in answers}) == 1
    status, problem = await citizen.post(f"/api/cases/{case['id']}/withdraw", body)
    assert (status, problem["code"]) == (409, "idempotency-conflict")


async def test_two_submits_at_once_are_one_submission(office: Any) -> None:
    citizen = await office.citizen()
    case = await office.draft(citizen)
    path = f"/api/cases/{case['id']}/submit"
    answers = await asyncio.gather(*(citizen.post(path, {}) for _ in range(5)))
    assert sorted(status for status, _ in answers) == [200, 409, 409, 409, 409]


async def test_numbers_of_one_day_have_no_gap(office: Any) -> None:
    citizen = await office.citizen()
    drafts = [await office.draft(citizen) for _ in range(8)]
    answers = await asyncio.gather(*(citizen.post(f"/api/cases/{draft['id']}/submit", {}) for draft in drafts))
    assert {status for status, _ in answers} == {200}
    assert sorted(answer["number"][-4:] for _, answer in answers) == [f"000{n}" for n in range(1, 9)]


async def test_a_stale_version_is_refused(office: Any) -> None:
    citizen, clerk = await office.citizen(), await office.staff()
    case = await office.submitted(citizen)
    status, problem = await clerk.post(
        f"/api/desk/cases/{case['id']}/accept", {"expected_version": case["version"] - 1}
    )
    assert (status, problem["code"]) == (409, "edit-conflict")


async def test_accept_and_withdraw_at_once_leave_one_winner(office: Any) -> None:
    citizen, clerk = await office.citizen(), await office.staff()
    case = await office.submitted(citizen)
    seen = {"expected_version": case["version"]}
    answers = await asyncio.gather(
        citizen.post(f"/api/cases/{case['id']}/withdraw", seen),
        clerk.post(f"/api/desk/cases/{case['id']}/accept", seen),
    )
    assert sorted(status for status, _ in answers) == [200, 409]


async def test_an_instant_matter_in_one_step(office: Any) -> None:
    citizen, clerk = await office.citizen(), await office.staff()
    case = await office.submitted(citizen, "instant")
    status, case = await clerk.post(f"/api/desk/cases/{case['id']}/approve", {})
    assert (status, case["state"], case["accepted_at"]) == (200, "approved", case["decided_at"])


async def test_what_is_only_told_cannot_be_filed(office: Any) -> None:
    citizen = await office.citizen()
    status, problem = await citizen.post("/api/cases", {"matter_id": office.matters["information"]})
    assert (status, problem["code"]) == (409, "not-filable")
    status, problem = await citizen.post("/api/cases", {"matter_id": new_id()})
    assert (status, problem["code"]) == (404, "not-found")


async def test_a_refusal_gives_reason_and_appeal(office: Any) -> None:
    citizen, clerk = await office.citizen(), await office.staff()
    case = await office.submitted(citizen)
    desk = f"/api/desk/cases/{case['id']}"
    assert (await clerk.post(f"{desk}/not-accept", {}))[0] == 422
    status, problem = await clerk.post(f"{desk}/not-accept", {"reason": "  "})
    assert (status, problem["field"]) == (422, "reason")
    status, case = await clerk.post(f"{desk}/not-accept", {"reason": "不属于本部门职权"})
    assert (status, case["state"], case["reason"]) == (200, "not_accepted", "不属于本部门职权")
    assert "行政复议" in case["appeal"]


async def test_an_aborted_transaction_leaves_nothing(office: Any) -> None:
    """The event cannot be written (its place is taken), so neither case, number nor timer remains."""
    citizen = await office.citizen()
    case = await office.draft(citizen)
    database = office.services.database
    taken = {"aggregate": "case", "aggregate_id": case["id"], "sequence": 4, "_id": new_id(), "relayed": True}
    await database["events"].insert_one(taken)
    status, problem = await citizen.post(f"/api/cases/{case['id']}/submit", {})
    assert (status, problem["code"]) == (409, "edit-conflict")
    _, seen = await citizen.get(f"/api/cases/{case['id']}")
    assert (seen["state"], seen["version"], seen["number"]) == ("draft", 3, None)
    assert await database["timers"].count_documents({}) == 0
    await database["events"].delete_one({"_id": taken["_id"]})
    _, case = await citizen.post(f"/api/cases/{case['id']}/submit", {})
    assert case["number"].endswith("0001")
