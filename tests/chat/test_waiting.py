"""Nobody is there: a message with a promised answer time, and the answer that comes later."""

from __future__ import annotations

from functools import partial

import pytest

from backend.composition import Services
from backend.domain.access import Role
from backend.integrations.clock import WarpedClock
from backend.jobs.consultation_relay import ConsultationRelay
from backend.storage.organisation import OrganisationStore
from chat.client import ChatClient, Refused
from config.settings import Settings
from tests.callers import Caller
from tests.chat.conftest import SUNDAY, Connect, Office, kinds, node
from tests.conftest import LoginStaff, set_clock


def relay(services: Services) -> ConsultationRelay:
    return ConsultationRelay(store=services.consultation_store, notices=services.notice_store, clock=services.clock)


async def test_an_offline_clerk_answers_later_and_the_citizen_gets_it(
    connect: Connect, citizen: Caller, clerk: Caller, office: Office
) -> None:
    phone = await connect(citizen)
    opened = await phone.open("结婚登记", matter_id=office.matter.id, text="要预约吗？")
    conv, state = opened["conv"], opened["consultation"]
    assert state["state"] == "waiting_answer"
    assert state["promised_at"] == "2026-03-16T16:00:" + state["promised_at"][17:]
    assert "将在3月16日（星期一）下午4:00前答复您" in state["explanation"]

    desk = await connect(clerk)  # the clerk comes, and sees what waits
    waiting = desk.logs[conv].header
    assert (waiting["state"], waiting["last_message"]["text"]) == ("waiting_answer", "要预约吗？")
    await desk.follow(conv)
    await desk.until_texts(conv, "要预约吗？")
    answer = await desk.send(conv, "不用预约，直接来。")
    assert answer["state"] == "active"

    await phone.until_texts(conv, "不用预约，直接来。")
    assert kinds(phone.logs[conv]) == ["opened", "message", "waiting", "assigned", "message"]


async def test_an_answer_to_a_citizen_who_left_is_there_when_they_come_back_and_a_notice_before(
    connect: Connect, citizen: Caller, clerk: Caller, office: Office, services: Services, clock: WarpedClock
) -> None:
    phone = await connect(citizen)
    conv = (await phone.open("结婚登记", matter_id=office.matter.id, text="要预约吗？"))["conv"]
    await phone.stop()
    desk = await connect(clerk)
    await desk.send(conv, "不用预约，直接来。")

    assert await relay(services).drain() == 0  # a citizen who is there gets time to read
    set_clock(clock, clock.now().replace(second=0) + (SUNDAY - SUNDAY.replace(minute=0, hour=9)))
    assert await relay(services).drain() == 1
    assert await relay(services).drain() == 0
    _, notices = await citizen.get("/api/notices")
    assert [(n["subject_id"], n["title"], n["text"]) for n in notices["items"]] == [
        (conv, "您的咨询有新的答复", "王敏：不用预约，直接来。")
    ]
    back = await connect(citizen, logs=phone.logs)
    await back.until_texts(conv, "不用预约，直接来。")


async def test_who_has_read_the_answer_gets_no_notice(
    connect: Connect, citizen: Caller, clerk: Caller, office: Office, services: Services, clock: WarpedClock
) -> None:
    desk, phone = await connect(clerk), await connect(citizen)
    conv = (await phone.open("结婚登记", matter_id=office.matter.id))["conv"]
    answer = await desk.send(conv, "您好")
    await phone.until_texts(conv, "您好")
    await phone.call("rcpt", {"conv": conv, "read": answer["seq"]})
    set_clock(clock, clock.now() + (SUNDAY - SUNDAY.replace(minute=0, hour=9)))
    assert await relay(services).drain() == 1
    _, notices = await citizen.get("/api/notices")
    assert notices["items"] == []


async def test_a_clerk_who_is_online_on_a_sunday_sees_the_message_but_is_not_assigned(
    connect: Connect, citizen: Caller, office: Office, clock: WarpedClock, login_staff: LoginStaff
) -> None:
    set_clock(clock, SUNDAY)
    clerk = await login_staff(Role.CLERK, department_id=office.bureau.id, staff_id=office.clerk_id)
    desk, phone = await connect(clerk), await connect(citizen)
    opened = await phone.open("结婚登记", matter_id=office.matter.id, text="周日开门吗？")
    assert opened["consultation"]["state"] == "waiting_answer"
    assert opened["consultation"]["explanation"].startswith("现在不是工作时间")
    await desk.until(lambda: opened["conv"] in desk.logs)
    _, page = await clerk.get("/api/desk/consultations?state=waiting_answer")
    assert [c["id"] for c in page["items"]] == [opened["conv"]]


async def test_a_clerk_who_is_away_is_passed_over_for_the_colleague(
    connect: Connect, citizen: Caller, clerk: Caller, colleague: Caller, office: Office
) -> None:
    desk, second, phone = await connect(clerk), await connect(colleague), await connect(citizen)
    await desk.call("presence:set", {"state": "away"})
    opened = await phone.open("结婚登记", matter_id=office.matter.id)
    assert opened["consultation"]["staff"]["id"] == colleague.actor_id
    await second.until(lambda: opened["conv"] in second.logs)
    await desk.call("presence:set", {"state": "available"})
    assert (await phone.open("再问", matter_id=office.matter.id))["consultation"]["staff"]["id"] == clerk.actor_id


async def test_closing_one_of_two_desks_leaves_the_clerk_there(
    connect: Connect, citizen: Caller, clerk: Caller, office: Office, services: Services
) -> None:
    first, second = await connect(clerk), await connect(clerk)
    assert await services.presence.available() == {clerk.actor_id}
    await second.stop()
    phone = await connect(citizen)
    assert (await phone.open("咨询", matter_id=office.matter.id))["consultation"]["state"] == "active"
    await first.stop()

    async def gone() -> bool:
        return not await services.presence.available()

    for _ in range(200):
        if await gone():
            break
    assert await gone()


async def test_a_general_question_goes_to_triage(
    connect: Connect, citizen: Caller, office: Office, services: Services, login_staff: LoginStaff
) -> None:
    organisation = OrganisationStore(services.database)
    [hall] = await organisation.departments.find({"kind": "hall"})
    guide = await login_staff(Role.CLERK, department_id=hall.id, name="导办员")
    await services.database["departments"].update_one({"_id": hall.id}, {"$set": {"duty_lead_ids": [guide.actor_id]}})
    desk, phone = await connect(guide), await connect(citizen)
    opened = await phone.open("不知道找谁", text="我想开个小店")
    assert opened["consultation"]["tier"] == "triage"
    await desk.until_texts(opened["conv"], "我想开个小店")


async def test_an_unknown_matter_is_not_found(connect: Connect, citizen: Caller, office: Office) -> None:
    phone = await connect(citizen)
    with pytest.raises(Refused) as refusal:
        await phone.open("咨询", matter_id="018f3b5e-0000-7000-8000-000000000001")
    assert refusal.value.code == "not-found"


def _is_last(desk: ChatClient, conv: str, text: str) -> bool:
    return bool(desk.logs[conv].header["last_message"]["text"] == text)


async def test_desks_that_only_list_what_waits_see_that_the_citizen_wrote_more(
    connect: Connect, settings: Settings, citizen: Caller, clerk: Caller, colleague: Caller, office: Office
) -> None:
    phone = await connect(citizen)
    conv = (await phone.open("结婚登记", matter_id=office.matter.id, text="要预约吗？"))["conv"]
    async with node(settings) as second:
        following, here, there = await connect(clerk), await connect(colleague), await connect(colleague, second)
        await following.follow(conv)
        for desk in (following, here, there):
            desk.events.clear()
        for number in range(1, 6):
            await phone.send(conv, f"再问{number}")
        for desk in (here, there):
            await desk.until(partial(_is_last, desk, conv, "再问5"))
            told = [data for name, data in desk.events if name == "conv"]
            assert 1 <= len(told) <= 3, "at most one a second"
            assert (told[-1]["joined"], told[-1]["unread"]) == (False, 6)
            assert desk.logs[conv].ops == []
        assert (await following.until_texts(conv, "再问5"))[-1] == "再问5"
        assert [name for name, _ in following.events if name == "conv"] == []
