"""Hearing: gaps, doubles, folds, devices, receipts, signs of typing, and what a desk sees."""

from __future__ import annotations

import asyncio
import json

from tests.conformance.drivers import TIMING
from tests.conformance.scenarios import OP, scenario, short
from tests.conformance.stage import Stage, bubble_of, states_of, texts_of

#: Only a gap leads to a question.
WITHOUT_BEATS = TIMING | {"beat": 600.0}


@short
async def operations_out_of_order_and_twice(stage: Stage) -> None:
    phone = await stage.phone(timing=WITHOUT_BEATS)
    phone.through.on("down", OP, "hold", times=2)
    fetched = phone.through.on("down", r'"ops":\[', "hold", times=99)
    phone.through.on("down", OP, "twice")
    for text in ("一", "二", "三"):
        await stage.answer(text)
    await phone.until(lambda _: phone.said("ops:get"))
    assert texts_of(await phone.view()) == ["您好"]  # never a gap
    stage.note("with a gap", await phone.view())
    fetched.times = 0
    phone.through.release()
    await stage.converged("您好", "一", "二", "三")
    assert {payload["after"] for payload in phone.said("ops:get")} == {3}


@short
async def one_operation_lost_on_a_living_connection_is_fetched(stage: Stage) -> None:
    phone = await stage.phone()
    phone.through.on("down", OP, "drop")
    await stage.answer("一")  # nothing follows: a beat finds it
    await phone.until_texts("您好", "一")
    phone.through.on("down", OP, "drop")
    await stage.answer("二")
    await stage.answer("三")
    await stage.converged("您好", "一", "二", "三")


@short
async def what_is_missing_after_the_answer_is_asked_for_at_once(stage: Stage) -> None:
    phone = await stage.phone(timing=WITHOUT_BEATS)
    phone.through.on("down", OP, "drop")
    answer = phone.through.on("down", r'"ops":\[', "hold")
    await stage.answer("一")
    await stage.answer("二")  # tells of the gap
    await phone.until(lambda _: answer.done)
    phone.through.on("down", OP, "drop")
    await stage.answer("三")
    await stage.answer("四")
    await phone.until(lambda _: any('"四"' in text for way, text in phone.through.frames if way == "down"))
    phone.through.release()
    await stage.converged("您好", "一", "二", "三", "四")
    assert [payload["after"] for payload in phone.said("ops:get")] == [3, 5]


@scenario
async def a_kind_of_a_later_version_counts_like_a_skip(stage: Stage) -> None:
    phone = await stage.phone(timing=WITHOUT_BEATS)

    def later(text: str) -> str:
        return text.replace('"kind":"message"', '"kind":"hologram"')

    phone.through.on("down", OP, "replace", text=later)
    await stage.answer("看不懂的")
    await stage.answer("看得懂的")
    view = await phone.until_texts("您好", "看得懂的")
    stage.note("unknown kind", view)
    assert view["header"]["last_seq"] == 5
    assert not phone.said("ops:get")


@short
async def edits_recalls_quotes_and_notes_fold(stage: Stage) -> None:
    phone = await stage.phone("要带户口本吗")
    desk = stage.world.desk
    first = await stage.answer("要戴", body={"reply_to": 2})
    await desk.act("msg:edit", stage.conv, target_seq=first["seq"], text="要带")
    hasty = await stage.answer("发错了")
    await desk.act("msg:edit", stage.conv, target_seq=hasty["seq"], text="又错了")
    await desk.act("note:add", stage.conv, text="已核对")
    await desk.act("msg:recall", stage.conv, target_seq=hasty["seq"])
    await phone.send("谢谢", reply_to=hasty["seq"])
    await phone.until_texts("要带户口本吗", "要带", "", "谢谢")
    mine = bubble_of(await phone.view(), "谢谢")["seq"]
    await phone.do("edit", conv=stage.conv, seq=mine, text="多谢")
    await phone.until_texts("要带户口本吗", "要带", "", "多谢")
    last = await phone.send("误发")
    view = await phone.until_texts("要带户口本吗", "要带", "", "多谢", "误发")
    assert bubble_of(view, "误发")["cid"] == last
    await phone.do("recall", conv=stage.conv, seq=bubble_of(view, "误发")["seq"])
    late = await stage.device("tablet")
    await late.do("start")
    await stage.converged("要带户口本吗", "要带", "", "多谢", "")
    view = await phone.view()
    assert "错了" not in json.dumps(view, ensure_ascii=False)
    assert [op["kind"] for op in view["ops"]].count("skip") == 1
    assert view["header"]["last_message"]["text"] == "[已撤回]"
    assert view["thread"] == (await late.view())["thread"]


@scenario
async def an_edit_that_comes_before_its_message(stage: Stage) -> None:
    phone = await stage.phone()
    phone.through.on("down", OP, "hold")
    fetched = phone.through.on("down", r'"ops":\[', "hold", times=99)
    sent = await stage.answer("要戴")
    await stage.world.desk.act("msg:edit", stage.conv, target_seq=sent["seq"], text="要带")
    await phone.until(lambda _: phone.said("ops:get"))
    stage.note("the edit alone", await phone.view())
    fetched.times = 0
    phone.through.release()
    await stage.converged("您好", "要带")


@short
async def two_devices_of_one_person_stay_equal(stage: Stage) -> None:
    phone = await stage.phone()
    tablet = await stage.device("tablet")
    await tablet.do("start")
    await tablet.until_texts("您好")
    await phone.send("从手机")
    await tablet.until_texts("您好", "从手机")
    await tablet.send("从平板")
    await phone.until_texts("您好", "从手机", "从平板")
    await stage.answer("收到")
    await phone.until_texts("您好", "从手机", "从平板", "收到")
    await phone.until(lambda view: view["header"]["unread"] == 1)
    await tablet.do("read", conv=stage.conv)
    await phone.until(lambda view: view["header"]["unread"] == 0)
    await stage.converged("您好", "从手机", "从平板", "收到")
    mine = [item["mine"] for item in (await phone.view())["thread"] if item["type"] == "bubble"]
    assert mine == [True, True, True, False]


@short
async def receipts_go_forward_only(stage: Stage) -> None:
    phone = await stage.phone()
    await phone.send("一")
    await phone.until_texts("您好", "一")
    desk, newest = stage.world.desk, (await phone.view())["header"]["last_seq"]
    await desk.call("rcpt", {"conv": stage.conv, "delivered": newest, "read": 2})
    stage.note("read up to 2", await phone.until(lambda view: states_of(view) == ["read", "delivered"]))
    reader = {"kind": "staff", "id": stage.world.clerk["id"], "name": "王敏"}
    backwards = {"conv": stage.conv, "reader": reader, "delivered": 1, "read": 1}
    phone.through.say("42/citizen," + json.dumps(["rcpt", backwards]))
    await stage.answer("二")
    view = await phone.until_texts("您好", "一", "二")
    assert states_of(view)[:2] == ["read", "delivered"]
    stage.note("after one that goes back", view)
    await phone.do("read", conv=stage.conv)
    read = view["header"]["last_seq"]
    await phone.until(lambda _: any(payload["read"] == read for payload in phone.said("rcpt")))
    reads = [payload["read"] for payload in phone.said("rcpt")]
    assert reads == sorted(reads)
    await stage.converged("您好", "一", "二")


@scenario
async def a_sign_of_typing_goes_with_the_message(stage: Stage) -> None:
    phone = await stage.phone()
    await stage.world.desk.typing(stage.conv)
    await phone.until(lambda view: view["typing"] == "staff")
    for _ in range(3):
        await phone.do("typing", conv=stage.conv)
    await stage.answer("好")
    await phone.until(lambda view: view["typing"] is None)
    await stage.converged("您好", "好")
    assert len(phone.said("typing")) == 1


@scenario
async def a_sign_of_typing_is_gone_after_five_seconds(stage: Stage) -> None:
    phone = await stage.phone()
    await stage.world.desk.typing(stage.conv)
    await phone.until(lambda view: view["typing"] == "staff")
    began = asyncio.get_running_loop().time()
    await phone.until(lambda view: view["typing"] is None)
    assert 4 < asyncio.get_running_loop().time() - began < 10
    await stage.converged("您好")


@scenario
async def more_than_a_page_behind(stage: Stage) -> None:
    phone = await stage.phone()
    phone.through.refuse = True
    phone.through.cut()
    await phone.until_online(False)
    texts = [f"答{n}" for n in range(220)]
    for text in texts:
        await stage.answer(text)
    phone.through.heal()
    phone.through.on("down", OP, "drop")  # what follows is kept aside, and all of it fetched by pages
    await phone.do("wake")
    await stage.converged("您好", *texts)
    assert len(phone.said("ops:get")) >= 2
    assert (await phone.view())["header"]["unread"] == 100


@scenario
async def a_desk_sees_notes_and_counts_what_waits(stage: Stage) -> None:
    phone = await stage.phone()
    desk = await stage.device("desk", clerk=True)
    await desk.do("start")
    await desk.until_texts("您好")
    await phone.send("还在吗")
    view = await desk.until(lambda view: texts_of(view) == ["您好", "还在吗"] and view["header"]["unread"] == 2)
    assert view["header"]["waiting_since"]
    await desk.do("note", conv=stage.conv, text="先查档案")
    await desk.send("在的")
    await desk.do("read", conv=stage.conv)
    await phone.until_texts("您好", "还在吗", "在的")
    await desk.until_texts("您好", "还在吗", "先查档案", "在的")
    await desk.until(lambda view: view["header"]["unread"] == 0 and view["header"]["waiting_since"] is None)
    await phone.until(lambda view: states_of(view)[:2] == ["read", "read"])
    stage.devices.remove(desk)
    stage.note("the desk", await desk.until(lambda view: states_of(view)[-1] == "delivered"))  # told a moment later
    await stage.converged("您好", "还在吗", "在的")
