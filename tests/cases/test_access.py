"""Who sees which case, and how work lists page and filter."""

from __future__ import annotations

from typing import Any

from backend.domain.ids import new_id

CITIZEN_PATHS = [
    ("GET", "/api/cases/{}"),
    ("PATCH", "/api/cases/{}"),
    ("POST", "/api/cases/{}/submit"),
    ("POST", "/api/cases/{}/corrections"),
    ("POST", "/api/cases/{}/withdraw"),
    ("GET", "/api/cases/{}/timeline"),
    ("GET", "/api/cases/{}/progress"),
    ("GET", "/api/cases/{}/receipt"),
]
DESK_PATHS = [
    ("GET", "/api/desk/cases/{}"),
    ("POST", "/api/desk/cases/{}/accept"),
    ("POST", "/api/desk/cases/{}/not-accept"),
    ("POST", "/api/desk/cases/{}/request-correction"),
    ("POST", "/api/desk/cases/{}/approve"),
    ("POST", "/api/desk/cases/{}/refuse"),
    ("POST", "/api/desk/cases/{}/close"),
]
BODIES: dict[str, dict[str, Any]] = {
    "/api/cases/{}": {"expected_version": 1},
    "/api/desk/cases/{}/not-accept": {"reason": "理由"},
    "/api/desk/cases/{}/refuse": {"reason": "理由"},
    "/api/desk/cases/{}/request-correction": {"items": [{"key": "id-card", "text": "模糊"}]},
}


async def call(caller: Any, method: str, path: str, case_id: str) -> tuple[int, Any]:
    body = {"json": BODIES.get(path, {})}
    status, answer = await caller.request(method, path.format(case_id), **(body if method != "GET" else {}))
    return status, {k: v for k, v in answer.items() if k != "request_id"}


async def test_a_strange_citizen_gets_the_answer_for_nothing(office: Any) -> None:
    case = await office.submitted(await office.citizen())
    stranger = await office.citizen("lihua")
    for method, path in CITIZEN_PATHS:
        theirs = await call(stranger, method, path, case["id"])
        assert theirs == await call(stranger, method, path, new_id())
        assert theirs[0] == 404


async def test_a_strange_clerk_gets_the_answer_for_nothing(office: Any) -> None:
    case = await office.submitted(await office.citizen())
    stranger = await office.staff("stranger")
    for method, path in DESK_PATHS:
        theirs = await call(stranger, method, path, case["id"])
        assert theirs == await call(stranger, method, path, new_id())
        assert theirs[0] == 404


async def test_citizens_have_no_desk(office: Any) -> None:
    citizen = await office.citizen()
    case = await office.submitted(citizen)
    statuses = [(await call(citizen, method, path, case["id"]))[0] for method, path in DESK_PATHS]
    assert statuses == [403] * len(DESK_PATHS)


async def test_clerks_do_not_act_for_citizens(office: Any) -> None:
    case, clerk = await office.submitted(await office.citizen()), await office.staff()
    assert (await clerk.post(f"/api/cases/{case['id']}/withdraw", {}))[0] == 403
    assert (await clerk.post("/api/cases", {"matter_id": office.matters["licence"]}))[0] == 403


async def test_a_draft_is_nobodys_but_the_citizens(office: Any) -> None:
    case = await office.draft(await office.citizen())
    lead = await office.staff("lead")
    assert (await lead.get(f"/api/desk/cases/{case['id']}"))[0] == 404
    assert (await lead.get(f"/api/cases/{case['id']}/progress"))[0] == 404
    assert (await lead.get("/api/desk/cases"))[1]["items"] == []


async def test_the_duty_lead_sees_the_department_and_a_stranger_nothing(office: Any) -> None:
    case = await office.submitted(await office.citizen())
    _, seen = await (await office.staff("lead")).get("/api/desk/cases")
    assert [item["id"] for item in seen["items"]] == [case["id"]]
    _, seen = await (await office.staff("stranger")).get("/api/desk/cases")
    assert seen["items"] == []


async def test_the_work_list_pages_in_the_order_of_what_is_due(office: Any) -> None:
    citizen = await office.citizen()
    first = await office.submitted(citizen)
    office.at(2026, 3, 3, 10)
    citizen = await office.citizen()
    later = [await office.submitted(citizen) for _ in range(3)]
    clerk = await office.staff()
    assert (await clerk.post(f"/api/desk/cases/{first['id']}/accept", {}))[0] == 200  # due a day later now
    seen: list[str] = []
    cursor = None
    for _ in range(3):
        parameters = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        status, page = await clerk.get("/api/desk/cases", params=parameters)
        assert status == 200
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(seen) == sorted([first["id"], *(case["id"] for case in later)])
    assert len(seen) == 4


async def test_filters_of_the_work_list(office: Any) -> None:
    citizen = await office.citizen()
    case = await office.submitted(citizen, "service")
    office.at(2026, 3, 9, 9)
    clerk = await office.staff()
    _, today = await clerk.get("/api/desk/cases", params={"due": "today"})
    _, overdue = await clerk.get("/api/desk/cases", params={"due": "overdue"})
    assert ([item["id"] for item in today["items"]], overdue["items"]) == ([case["id"]], [])
    office.at(2026, 3, 10, 0)
    clerk = await office.staff()
    _, today = await clerk.get("/api/desk/cases", params={"due": "today"})
    _, overdue = await clerk.get("/api/desk/cases", params={"due": "overdue"})
    assert today["items"] == []
    assert [(item["id"], item["overdue"]) for item in overdue["items"]] == [(case["id"], True)]
    _, done = await clerk.get("/api/desk/cases", params={"open": "false"})
    assert done["items"] == []
    status, _ = await clerk.get("/api/desk/cases", params={"cursor": "!!"})
    assert status == 422


async def test_my_cases_newest_first_and_by_state(office: Any) -> None:
    citizen = await office.citizen()
    drafts = [await office.draft(citizen) for _ in range(3)]
    await citizen.post(f"/api/cases/{drafts[0]['id']}/submit", {})
    _, page = await citizen.get("/api/cases", params={"limit": "2"})
    assert [item["id"] for item in page["items"]] == [drafts[2]["id"], drafts[1]["id"]]
    _, page = await citizen.get("/api/cases", params={"limit": "2", "cursor": page["next_cursor"]})
    assert ([item["id"] for item in page["items"]], page["next_cursor"]) == ([drafts[0]["id"]], None)
    _, page = await citizen.get("/api/cases", params=[("state", "submitted"), ("state", "accepted")])
    assert [item["id"] for item in page["items"]] == [drafts[0]["id"]]
    _, page = await (await office.citizen("lihua")).get("/api/cases")
    assert page["items"] == []
