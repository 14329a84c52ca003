"""What lists and the desk show without a second request, and what a citizen wants to be called."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from typing import Any

import pytest

from backend.composition import Services
from backend.domain.access import Role
from backend.domain.consultations import Consultation
from backend.storage import consultation_migrations
from backend.storage.documents import from_document
from backend.storage.matters import MatterStore
from tests.callers import Caller
from tests.chat.conftest import Connect, Office
from tests.conftest import LoginStaff


async def shown(caller: Caller, conv: str) -> Any:
    status, answer = await caller.get(f"/api/consultations/{conv}")
    assert status == 200, answer
    return answer


async def first_of(caller: Caller, path: str, seq: int) -> Any:
    """The first of a list, once it has come as far as `seq`: lists follow the talk within a moment."""
    async with asyncio.timeout(10):
        while (item := (await caller.get(path))[1]["items"][0])["last_seq"] < seq:
            pass
        return item


async def test_a_list_needs_no_second_request(connect: Connect, citizen: Caller, clerk: Caller, office: Office) -> None:
    desk, phone = await connect(clerk), await connect(citizen)
    opened = await phone.open("咨询", matter_id=office.matter.id, text="您好")
    conv = opened["conv"]
    assert opened["consultation"]["read"] == {"citizen": 0, "staff": 0}
    second = await phone.send(conv, "在吗")
    third = await phone.send(conv, "字" * 200)
    listed = await first_of(clerk, "/api/desk/consultations", third["seq"])
    assert (listed["unread"], listed["last_message"]["seq"], len(listed["last_message"]["text"])) == (
        3,
        third["seq"],
        80,
    )
    first_said = phone.logs[conv].ops[1]
    assert listed["waiting_since"] == first_said["ts"]
    assert listed["matter"] == {"id": office.matter.id, "version": 3, "name": "结婚登记"}

    await desk.until(lambda: conv in desk.logs and desk.logs[conv].seq == third["seq"])
    await desk.call("rcpt", {"conv": conv, "delivered": third["seq"], "read": second["seq"]})
    assert ((await shown(clerk, conv))["unread"], (await shown(citizen, conv))["unread"]) == (1, 0)
    await phone.act("msg:recall", conv, target_seq=third["seq"])
    assert ((await shown(clerk, conv))["unread"], (await shown(clerk, conv))["last_message"]["text"]) == (0, "[已撤回]")

    await desk.act("note:add", conv, text="只有同事能看到")
    answer = await desk.send(conv, "请讲")
    mine = await first_of(citizen, "/api/consultations", answer["seq"])
    assert (mine["unread"], mine["waiting_since"], mine["last_message"]["text"]) == (1, None, "请讲")
    assert mine["read"] == {"citizen": 0, "staff": second["seq"]}
    again = await connect(citizen)  # the same over a socket that greets
    header = again.logs[conv].header
    assert {**header, "updated_at": ""} == {**mine, "updated_at": ""}
    await phone.call("rcpt", {"conv": conv, "read": answer["seq"]})
    assert (await shown(citizen, conv))["unread"] == 0


async def test_a_question_waits_until_it_is_answered_taken_back_or_over(
    connect: Connect, citizen: Caller, clerk: Caller, office: Office
) -> None:
    phone = await connect(citizen)
    conv = (await phone.open("咨询", matter_id=office.matter.id))["conv"]
    assert (await shown(citizen, conv))["waiting_since"] is None
    first = await phone.send(conv, "第一句")
    second = await phone.send(conv, "第二句")
    assert (await shown(clerk, conv))["waiting_since"] == first["ts"]
    await phone.act("msg:recall", conv, target_seq=first["seq"])
    assert (await shown(clerk, conv))["waiting_since"] == second["ts"]
    await phone.act("conv:close", conv)
    assert (await shown(clerk, conv))["waiting_since"] is None


async def test_states_of_an_earlier_version_are_folded_anew(
    services: Services, connect: Connect, citizen: Caller, office: Office
) -> None:
    phone = await connect(citizen)
    conv = (await phone.open("咨询", matter_id=office.matter.id, text="您好"))["conv"]
    await phone.send(conv, "在吗")
    states = services.database["consultations"]
    await states.update_one({"_id": conv}, {"$unset": {"citizen_said": "", "staff_said": "", "unanswered": ""}})
    await consultation_migrations.refold(services.database)
    document = await states.find_one({"_id": conv})
    assert document is not None
    state = from_document(Consultation, document)
    assert (len(state.citizen_said), len(state.unanswered)) == (2, 2)
    assert document["open_cid"]


async def test_a_citizen_says_what_to_be_called(
    connect: Connect, citizen: Caller, clerk: Caller, office: Office
) -> None:
    assert (await citizen.get("/api/citizen/me"))[1]["shown_name"] == f"市民{citizen.actor_id[-4:]}"
    conv = (await (await connect(citizen)).open("咨询", matter_id=office.matter.id, text="您好"))["conv"]
    status, me = await citizen.patch("/api/citizen/me", {"name": " 李女士 "})
    assert (status, me["name"], me["shown_name"]) == (200, "李女士", "李女士")
    phone = await connect(citizen)  # one that connects afterwards
    said = await phone.send(conv, "再问一句")
    _, ops = await clerk.get(f"/api/consultations/{conv}/ops")
    names = [op["from"]["name"] for op in ops["ops"] if op["kind"] == "message"]
    assert names == [f"市民{citizen.actor_id[-4:]}", "李女士"]
    assert (await shown(clerk, conv))["citizen"]["name"] == "李女士"
    _, context = await clerk.get(f"/api/desk/consultations/{conv}/context")
    assert (context["citizen"]["name"], said["dup"]) == ("李女士", False)
    assert (await citizen.patch("/api/citizen/me", {"name": ""}))[1]["shown_name"].startswith("市民")
    assert (await clerk.patch("/api/citizen/me", {"name": "王敏"}))[0] == 403


@pytest.mark.parametrize("name", ["字" * 21, "李\n四", "\u202e李四", "李\u200b四", "\x00"])
async def test_a_name_can_be_read(citizen: Caller, name: str) -> None:
    status, problem = await citizen.patch("/api/citizen/me", {"name": name})
    assert (status, problem["code"]) == (422, "invalid-input")


async def test_the_desk_knows_what_was_before(
    services: Services,
    connect: Connect,
    citizen: Caller,
    stranger: Caller,
    clerk: Caller,
    office: Office,
    login_staff: LoginStaff,
) -> None:
    phone = await connect(citizen)
    earlier = [(await phone.open(f"第{n}次", matter_id=office.matter.id))["conv"] for n in range(3)]
    await phone.act("conv:close", earlier[0])
    elsewhere = (await phone.open("随便问问"))["conv"]  # of the hall: not this clerk's
    conv = (await phone.open("这一次", matter_id=office.matter.id))["conv"]
    await (await connect(stranger)).open("别人的", matter_id=office.matter.id)
    path = f"/api/desk/consultations/{conv}/context"
    status, context = await clerk.get(f"{path}?limit=2")
    assert status == 200, context
    assert context["citizen"]["earlier_consultations"] == 4
    assert context["citizen"]["first_seen_at"]
    assert (context["matter"]["version"], context["matter"]["newer"]) == (3, False)
    seen = context["earlier"]["items"]
    _, rest = await clerk.get(f"{path}?limit=2&cursor={context['earlier']['next_cursor']}")
    seen += rest["earlier"]["items"]
    assert {item["id"] for item in seen} == set(earlier)
    assert elsewhere not in {item["id"] for item in seen}
    assert {item["close_reason"] for item in seen} == {None, "citizen_left"}
    assert (context["case"], context["other_cases"]) == (None, [])

    newer = replace(office.matter, version=4, content_hash="y")
    await MatterStore(services.database).publish([newer.id], lambda _: [newer])
    matter = (await clerk.get(path))[1]["matter"]
    assert (matter["version"], matter["current_version"], matter["newer"]) == (3, 4, True)
    supervisor = await login_staff(Role.SUPERVISOR)
    assert len((await supervisor.get(path))[1]["earlier"]["items"]) == 4
    assert (await (await login_staff(Role.CLERK)).get(path))[0] == 404
    assert (await clerk.get(f"/api/desk/consultations/{uuid.uuid4()}/context"))[0] == 404
    assert (await citizen.get(path))[0] == 403
