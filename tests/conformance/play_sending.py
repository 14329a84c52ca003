"""Typing: order, answers that are lost, limits, refusals, a device without a network."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from tests.conformance.proxy import Rule
from tests.conformance.scenarios import OP, SEND, SEND_ACK, scenario, short
from tests.conformance.stage import Device, Stage, bubble_of, states_of, texts_of


def refusing(code: str, **members: Any) -> Callable[[str], str]:
    """In place of an acknowledgement: this refusal, under the same number."""

    def replaced(text: str) -> str:
        number = re.match(r"^43/\w+,(\d+)", text)
        assert number
        problem = {"code": code, "title": "", "status": 429, "detail": "请稍后再试。"}
        return f"43/citizen,{number[1]}" + json.dumps([{"ok": False, "problem": problem, **members}])

    return replaced


def hide(phone: Device) -> list[Rule]:
    """The log says nothing until `show`: neither operations come nor does a beat tell of them."""
    silent = re.compile(r'"ahead":\{[^}]*\}')
    return [
        phone.through.on("down", OP, "drop", times=99),
        phone.through.on("down", '"ahead":', "replace", times=99, text=lambda text: silent.sub('"ahead":{}', text)),
    ]


def show(hidden: list[Rule]) -> None:
    for rule in hidden:
        rule.times = 0


def in_order(texts: Iterable[str]) -> list[str]:
    """Each once, at its first place: on a slow machine more may be said again than what the scenario makes so."""
    return list(dict.fromkeys(texts))


@short
async def eight_queued_go_out_in_order(stage: Stage) -> None:
    phone = await stage.phone()
    texts = [f"第{n}句" for n in range(8)]
    for text in texts:
        await phone.send(text)
    await stage.converged("您好", *texts)
    assert in_order(payload["body"]["text"] for payload in phone.said("msg:send")) == texts


@short
async def a_lost_acknowledgement_is_asked_for_again_under_the_same_id(stage: Stage) -> None:
    phone = await stage.phone()
    lost = phone.through.on("down", SEND_ACK, "drop")
    hidden = hide(phone)
    await phone.send("一")
    await phone.until(lambda _: lost.done)
    stage.note("on its way", await phone.view())
    await phone.until(lambda _: len(phone.said("msg:send")) > 1)
    show(hidden)
    await stage.converged("您好", "一")
    assert len({payload["cid"] for payload in phone.said("msg:send")}) == 1
    assert any('"dup":true' in text for way, text in phone.through.frames if way == "down")


@short
async def offline_for_an_hour_and_loaded_anew(stage: Stage) -> None:
    phone = await stage.phone()
    await phone.do("read", conv=stage.conv)
    await stage.answer("请讲")
    await phone.until_texts("您好", "请讲")
    await phone.until(lambda view: view["kept"] == 4)
    phone.through.refuse = True
    phone.through.cut()
    await phone.until_online(False)
    typed = [f"离线{n}" for n in range(5)]
    for n, text in enumerate(typed):
        await phone.do("clock", offset=n * 900)
        await phone.send(text)
    await stage.answer("您在吗")
    stage.note("offline", await phone.view())
    assert states_of(await phone.view())[-5:] == ["sending"] * 5
    phone = await stage.reload(phone)
    await phone.do("start")
    stage.note("loaded anew", await phone.until(lambda view: texts_of(view) == ["您好", "请讲", *typed]))
    phone.through.heal()
    await phone.do("wake")
    await stage.converged("您好", "请讲", "您在吗", *typed)
    assert [cursor[1] for cursor in phone.said("hello")[-1]["cursors"].values()] == [4]


@scenario
async def a_clock_that_is_far_off_changes_no_order(stage: Stage) -> None:
    phone = await stage.phone()
    phone.through.refuse = True
    phone.through.cut()
    await phone.until_online(False)
    for text, offset in (("一", 0), ("二", -86_400), ("三", 3_000_000), ("四", -999_999)):
        await phone.do("clock", offset=offset)
        await phone.send(text)
    stage.note("typed", await phone.view())
    phone.through.heal()
    await phone.do("wake")
    await stage.converged("您好", "一", "二", "三", "四")


@short
async def a_limit_is_waited_for(stage: Stage) -> None:
    phone = await stage.phone()
    limited = phone.through.on("down", SEND_ACK, "replace", text=refusing("rate-limited", retry=True, after_ms=300))
    hidden = hide(phone)
    await phone.send("一")
    await phone.send("二")
    await phone.until(lambda view: limited.done and view["pending"] == 2)
    stage.note("waiting", await phone.view())
    await phone.until(lambda _: len({payload["cid"] for payload in phone.said("msg:send")}) == 2)
    show(hidden)
    await stage.converged("您好", "一", "二")
    cids = [payload["cid"] for payload in phone.said("msg:send")]
    assert cids[0] == cids[1], "the second did not wait for the first"
    assert in_order(payload["body"]["text"] for payload in phone.said("msg:send")) == ["一", "二"]


@short
async def what_is_refused_stays_with_its_text_and_holds_up_nothing(stage: Stage) -> None:
    phone = await stage.phone()
    empty = await phone.send(" ")
    await phone.send("后一句")
    view = await phone.until(lambda view: view["failed"] == 1 and view["pending"] == 1)
    stage.note("failed", view)
    assert bubble_of(view, " ")["problem"] == "invalid-input"
    await phone.do("discard", conv=stage.conv, cid=empty)
    await stage.converged("您好", "后一句")


@scenario
async def a_closed_consultation_keeps_the_text_until_it_is_open_again(stage: Stage) -> None:
    phone = await stage.phone()
    assert (await phone.do("act", conv=stage.conv, name="close", args=[]))["problem"] is None
    cid = await phone.send("还有一件事")
    view = await phone.until(lambda view: view["failed"] == 1)
    stage.note("failed", view)
    assert bubble_of(view, "还有一件事")["problem"] == "consultation-closed"
    assert (await phone.do("act", conv=stage.conv, name="rate", args=[5]))["problem"] is None
    assert (await phone.do("act", conv=stage.conv, name="rate", args=[4]))["problem"] == "invalid-transition"
    assert (await phone.do("act", conv=stage.conv, name="reopen", args=[]))["problem"] is None
    await phone.until(lambda view: view["header"]["state"] == "active")
    await phone.do("retry", conv=stage.conv, cid=cid)
    await stage.converged("您好", "还有一件事")


@scenario
async def another_body_under_a_used_id_is_a_conflict(stage: Stage) -> None:
    phone = await stage.phone()

    def other_text(text: str) -> str:
        return text.replace('"一"', '"1"')

    phone.through.on("down", SEND_ACK, "drop")
    hidden = hide(phone)
    await phone.send("一")
    await phone.until(lambda _: hidden[0].done)
    phone.through.on("up", SEND, "replace", text=other_text)
    view = await phone.until(lambda view: view["failed"] == 1)
    assert bubble_of(view, "一")["problem"] == "idempotency-conflict"
    stage.note("conflict", view)
    show(hidden)
    await stage.converged("您好", "一")  # the log has the first one, which settles it
