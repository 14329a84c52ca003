"""The same consultations over HTTP."""

from __future__ import annotations

import uuid
from typing import Any

from backend.domain.access import Role
from tests.callers import Caller
from tests.chat.conftest import Connect, Office
from tests.conftest import LoginStaff


async def opened(caller: Caller, office: Office, **members: Any) -> Any:
    status, answer = await caller.post(
        "/api/consultations",
        {"cid": str(uuid.uuid4()), "subject": "咨询", "matter_id": office.matter.id, **members},
    )
    assert status == 201, answer
    return answer["consultation"]


async def test_without_sockets_everything_still_works(citizen: Caller, clerk: Caller, office: Office) -> None:
    conv = (await opened(citizen, office, body={"text": "您好"}))["id"]
    cid = str(uuid.uuid4())
    path = f"/api/consultations/{conv}/messages"
    status, first = await clerk.post(path, {"cid": cid, "body": {"text": "请讲"}})
    assert (status, first["dup"], first["operation"]["seq"]) == (201, False, 5)
    status, again = await clerk.post(path, {"cid": cid, "body": {"text": "请讲"}})
    assert (status, again["dup"], again["operation"]) == (201, True, first["operation"])
    status, other = await clerk.post(path, {"cid": cid, "body": {"text": "别的"}})
    assert (status, other["code"]) == (409, "idempotency-conflict")

    _, answer = await citizen.get(f"/api/consultations/{conv}/ops?after=1&limit=3")
    assert [op["kind"] for op in answer["ops"]] == ["message", "waiting", "assigned"]
    assert (answer["last_seq"], answer["more"]) == (5, True)
    _, rest = await citizen.get(f"/api/consultations/{conv}/ops?after=4")
    assert (rest["ops"][0]["body"]["text"], rest["more"]) == ("请讲", False)


async def test_http_and_socket_show_the_same_operations(
    connect: Connect, citizen: Caller, clerk: Caller, office: Office
) -> None:
    phone = await connect(citizen)
    conv = (await opened(citizen, office, body={"text": "您好"}))["id"]
    await clerk.post(f"/api/consultations/{conv}/messages", {"cid": str(uuid.uuid4()), "body": {"text": "请讲"}})
    await phone.until_texts(conv, "您好", "请讲")
    _, answer = await citizen.get(f"/api/consultations/{conv}/ops")
    shown = [
        {k: v for k, v in op.items() if k in seen} for op, seen in zip(answer["ops"], phone.logs[conv].ops, strict=True)
    ]
    assert shown == phone.logs[conv].ops


async def test_lists_are_paged_and_each_has_one_s_own(
    citizen: Caller, stranger: Caller, clerk: Caller, office: Office, login_staff: LoginStaff
) -> None:
    mine = [(await opened(citizen, office))["id"] for _ in range(5)]
    await opened(stranger, office)
    seen, cursor = [], ""
    while True:
        _, page = await citizen.get(f"/api/consultations?limit=2{cursor}")
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == mine[::-1]
    _, desk = await clerk.get("/api/desk/consultations")
    assert len(desk["items"]) == 6
    outsider = await login_staff(Role.CLERK, department_id=None)
    _, nothing = await outsider.get("/api/desk/consultations")
    assert nothing["items"] == []
    assert (await outsider.get(f"/api/consultations/{mine[0]}"))[0] == 404
    assert (await citizen.get("/api/desk/consultations"))[0] == 403
    assert (await citizen.get("/api/consultations?cursor=nonsense"))[0] == 422


async def test_a_case_of_somebody_else_cannot_be_named(citizen: Caller, office: Office) -> None:
    body = {"cid": str(uuid.uuid4()), "subject": "咨询", "case_id": str(uuid.uuid4())}
    status, answer = await citizen.post("/api/consultations", body)
    assert (status, answer["field"]) == (404, "case_id")
