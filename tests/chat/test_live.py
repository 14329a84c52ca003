"""A citizen asks and is answered, over real sockets."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from chat.client import Refused
from tests.callers import Caller
from tests.chat.conftest import Connect, Office, kinds


async def test_a_question_reaches_the_responsible_clerk_at_once_and_is_answered_live(
    connect: Connect, citizen: Caller, clerk: Caller, office: Office
) -> None:
    desk, phone = await connect(clerk), await connect(citizen)
    opened = await phone.open("结婚登记要带什么", matter_id=office.matter.id, text="需要带户口本吗？")
    conv = opened["conv"]
    assert opened["consultation"]["state"] == "active"
    assert opened["consultation"]["staff"]["name"] == "王敏"
    assert opened["consultation"]["explanation"] == "已为您接通民政局婚姻登记岗的王敏。"

    assert await desk.until_texts(conv, "需要带户口本吗？") == ["需要带户口本吗？"]
    context = desk.logs[conv].header
    assert context["matter"] == {"id": office.matter.id, "version": 3, "name": "结婚登记"}
    assert context["citizen"]["name"].startswith("市民")
    await desk.until(lambda: kinds(desk.logs[conv]) == ["opened", "message", "assigned"])

    answer = await desk.send(conv, "需要，请双方都带户口本和身份证。")
    assert (answer["seq"], answer["dup"]) == (4, False)
    await phone.until_texts(conv, "需要，请双方都带户口本和身份证。")
    assert phone.logs[conv].ops[3]["from"] == {"kind": "staff", "id": clerk.actor_id, "name": "王敏"}


async def test_a_retry_is_the_same_message_and_a_reuse_a_conflict(
    connect: Connect, citizen: Caller, clerk: Caller, office: Office
) -> None:
    desk, phone = await connect(clerk), await connect(citizen)
    conv = (await phone.open("咨询", matter_id=office.matter.id))["conv"]
    cid = str(uuid.uuid4())
    first = await phone.send(conv, "您好", cid=cid)
    again = await phone.send(conv, "您好", cid=cid)
    assert (again["id"], again["seq"], again["dup"]) == (first["id"], first["seq"], True)
    with pytest.raises(Refused) as refusal:
        await phone.send(conv, "另一句", cid=cid)
    assert refusal.value.code == "idempotency-conflict"
    assert await desk.until_texts(conv, "您好") == ["您好"]


async def test_opening_again_with_the_same_client_id_is_the_same_consultation(
    connect: Connect, citizen: Caller, office: Office
) -> None:
    phone, cid = await connect(citizen), str(uuid.uuid4())
    first = await phone.open("咨询", matter_id=office.matter.id, cid=cid, text="您好")
    again = await phone.open("咨询", matter_id=office.matter.id, cid=cid, text="您好")
    assert (again["conv"], again["dup"]) == (first["conv"], True)
    with pytest.raises(Refused) as refusal:
        await phone.open("另一件事", matter_id=office.matter.id, cid=cid)
    assert refusal.value.code == "idempotency-conflict"


async def test_eight_messages_in_flight_keep_their_order(
    connect: Connect, citizen: Caller, clerk: Caller, office: Office
) -> None:
    desk, phone = await connect(clerk), await connect(citizen)
    conv = (await phone.open("咨询", matter_id=office.matter.id))["conv"]
    texts = [f"第{i}句" for i in range(40)]
    for start in range(0, 40, 8):
        acks = await asyncio.gather(
            *(
                phone.once("msg:send", {"conv": conv, "cid": str(uuid.uuid4()), "body": {"text": text}})
                for text in texts[start : start + 8]
            )
        )
        assert [ack and ack["seq"] for ack in acks] == list(range(start + 3, start + 11))
    assert await desk.until_texts(conv, *texts) == texts
    assert await phone.until_texts(conv, *texts) == texts


async def test_what_has_to_be_looked_up_keeps_its_place_between_messages(
    connect: Connect, citizen: Caller, clerk: Caller, office: Office
) -> None:
    phone = await connect(citizen)
    conv = (await phone.open("咨询", matter_id=office.matter.id))["conv"]
    first = (await phone.send(conv, "一"))["seq"]

    def once(event: str, **members: Any) -> Any:
        return phone.once(event, {"conv": conv, "cid": str(uuid.uuid4()), **members})

    acks = await asyncio.gather(
        once("msg:send", body={"text": "二"}),
        once("msg:edit", target_seq=first, text="壹"),
        once("msg:send", body={"text": "三"}),
        once("msg:send", body={"text": "四", "reply_to": first}),
        once("msg:recall", target_seq=first),
        once("msg:send", body={"text": "五"}),
    )
    assert [ack["seq"] for ack in acks] == list(range(first + 1, first + 7))


async def test_both_sides_at_once_see_one_order(
    connect: Connect, citizen: Caller, clerk: Caller, office: Office
) -> None:
    desk, phone = await connect(clerk), await connect(citizen)
    conv = (await phone.open("咨询", matter_id=office.matter.id))["conv"]
    await asyncio.gather(*(asyncio.gather(phone.send(conv, f"问{i}"), desk.send(conv, f"答{i}")) for i in range(20)))
    expected = {f"{who}{i}" for who in "问答" for i in range(20)}
    seen = await phone.until_texts(conv, *expected)
    assert await desk.until_texts(conv, *expected) == seen
    assert [t for t in seen if t[0] == "问"] == [f"问{i}" for i in range(20)]


async def test_a_second_device_of_the_citizen_stays_equal(
    connect: Connect, citizen: Caller, clerk: Caller, office: Office
) -> None:
    desk, phone, tablet = await connect(clerk), await connect(citizen), await connect(citizen)
    conv = (await phone.open("咨询", matter_id=office.matter.id, text="您好"))["conv"]
    await tablet.until_texts(conv, "您好")
    await tablet.send(conv, "我换了平板")
    await desk.send(conv, "好的")
    await phone.until_texts(conv, "您好", "我换了平板", "好的")
    await tablet.until_texts(conv, "好的")
    assert tablet.logs[conv].ops == phone.logs[conv].ops


async def test_a_client_that_was_away_gets_exactly_what_it_lacks(
    connect: Connect, citizen: Caller, clerk: Caller, office: Office
) -> None:
    desk, phone = await connect(clerk), await connect(citizen)
    conv = (await phone.open("咨询", matter_id=office.matter.id, text="您好"))["conv"]
    await phone.until(lambda: phone.logs[conv].seq == 3)
    await phone.stop()

    wrong = await desk.send(conv, "不用带户口本")
    await desk.act("msg:edit", conv, target_seq=wrong["seq"], text="要带户口本")
    hasty = await desk.send(conv, "发错了")
    await desk.act("msg:recall", conv, target_seq=hasty["seq"])
    await desk.act("note:add", conv, text="申请人是二婚")
    await desk.send(conv, "还有问题吗？")

    back = await connect(citizen, logs=phone.logs)
    await back.until_texts(conv, "还有问题吗？")
    log = back.logs[conv]
    assert kinds(log)[3:] == ["message", "edit", "message", "recall", "skip", "message"]
    assert log.doubles == 0
    assert log.ops[5]["body"]["text"] == ""  # recalled before it was read
    assert log.ops[7] == {"v": 1, "conv": conv, "epoch": 1, "seq": 8, "kind": "skip"}
    assert [op["seq"] for op in log.ops] == list(range(1, 10))
    await desk.until(lambda: desk.logs[conv].seq == 9)
    assert desk.logs[conv].ops[7]["body"] == {"text": "申请人是二婚", "attachments": []}


async def test_somebody_else_finds_nothing(connect: Connect, citizen: Caller, stranger: Caller, office: Office) -> None:
    phone, other = await connect(citizen), await connect(stranger)
    conv = (await phone.open("咨询", matter_id=office.matter.id, text="私事"))["conv"]
    nothing = str(uuid.uuid4())
    events: list[tuple[str, dict[str, Any]]] = [
        ("msg:send", {"cid": str(uuid.uuid4()), "body": {"text": "您好"}}),
        ("ops:get", {"epoch": 1, "after": 0}),
        ("rcpt", {"read": 1}),
        ("conv:close", {"cid": str(uuid.uuid4())}),
    ]
    for event, payload in events:
        foreign = await other.once(event, {"conv": conv, **payload})
        absent = await other.once(event, {"conv": nothing, **payload})
        assert foreign == absent
        assert foreign is not None
        assert foreign["problem"]["code"] == "not-found"
    answer = await other.once("hello", {"cursors": {conv: [1, 0]}})
    assert answer is not None
    assert answer["gone"] == [conv]
    assert (await stranger.get(f"/api/consultations/{conv}"))[0] == 404
    assert (await stranger.get(f"/api/consultations/{conv}/ops"))[0] == 404


async def test_receipts_go_forward_only_and_show_on_the_other_side(
    connect: Connect, citizen: Caller, clerk: Caller, office: Office
) -> None:
    desk, phone = await connect(clerk), await connect(citizen)
    conv = (await phone.open("咨询", matter_id=office.matter.id, text="您好"))["conv"]
    await desk.until_texts(conv, "您好")
    assert (await desk.call("rcpt", {"conv": conv, "delivered": 3, "read": 2}))["read"] == 2
    assert (await desk.call("rcpt", {"conv": conv, "delivered": 1, "read": 1}))["delivered"] == 3
    assert (await desk.call("rcpt", {"conv": conv, "read": 999}))["read"] == 3
    await phone.until(lambda: phone.logs[conv].receipts.get("staff", {}).get("read") == 3)


async def test_typing_is_shown_to_the_others_and_not_repeated(
    connect: Connect, citizen: Caller, clerk: Caller, office: Office
) -> None:
    desk, phone = await connect(clerk), await connect(citizen)
    conv = (await phone.open("咨询", matter_id=office.matter.id))["conv"]
    await desk.until(lambda: desk.logs.get(conv) and desk.logs[conv].seq == 2)
    for _ in range(3):
        await phone.once("typing", {"conv": conv}, timeout=0.1)
    await phone.send(conv, "您好")
    await desk.until_texts(conv, "您好")
    assert [data for event, data in desk.events if event == "typing"] == [{"conv": conv, "who": "citizen"}]


async def test_a_consultation_is_closed_rated_and_reopened(
    connect: Connect, citizen: Caller, clerk: Caller, office: Office
) -> None:
    desk, phone = await connect(clerk), await connect(citizen)
    opened = await phone.open("咨询", matter_id=office.matter.id, text="您好")
    conv = opened["conv"]
    await desk.act("conv:close", conv, reason="answered", ver=opened["ver"])
    with pytest.raises(Refused) as refusal:
        await phone.send(conv, "还有")
    assert refusal.value.code == "consultation-closed"
    await phone.act("conv:rate", conv, score=5, comment="谢谢")
    reopened = await phone.act("conv:reopen", conv)
    assert reopened["state"] == "active"
    await phone.send(conv, "还有一个问题")
    await desk.until_texts(conv, "还有一个问题")
    assert kinds(desk.logs[conv])[3:] == ["closed", "rated", "reopened", "assigned", "message"]


async def test_a_clerk_hands_over_to_a_colleague(
    connect: Connect, citizen: Caller, clerk: Caller, colleague: Caller, office: Office
) -> None:
    desk, second, phone = await connect(clerk), await connect(colleague), await connect(citizen)
    opened = await phone.open("咨询", matter_id=office.matter.id, text="您好")
    conv = opened["conv"]
    with pytest.raises(Refused) as refusal:
        await second.send(conv, "我来答")
    assert refusal.value.code == "answered-by-other"
    declined = await desk.act("offer:decline", conv, ver=opened["ver"], reason="正在开会")
    assert declined["state"] == "active"
    await second.until_texts(conv, "您好")
    await second.send(conv, "我来答复您")
    await phone.until_texts(conv, "我来答复您")
    with pytest.raises(Refused) as late:
        await desk.act("offer:accept", conv, ver=opened["ver"])
    assert late.value.code == "edit-conflict"
    moved = await second.act(
        "conv:transfer", conv, ver=declined["ver"], post_id=office.other_post.id, reason="属于收养登记"
    )
    assert moved["state"] == "waiting_answer"  # nobody holds that post
    await phone.until(lambda: kinds(phone.logs[conv])[-2:] == ["transferred", "waiting"])
