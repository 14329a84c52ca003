"""What both clients are played through. Each takes a stage, does, waits for what must be shown, and notes it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from tests.conformance.proxy import Fate, Rule, Way
from tests.conformance.stage import Device, Stage, bubble_of, events, states_of, texts_of

Scenario = Callable[[Stage], Awaitable[None]]

QUICK: dict[str, Scenario] = {}
LONG: dict[str, Scenario] = {}

SEND = r'"msg:send"'
SEND_ACK = r'^43/citizen,\d+\[.*"dup":'
OP = r'^42/citizen,\["op"'
CONNECT = r"^40/citizen"
HELLO = r'"hello"'
HELLO_ACK = r'^43/citizen,\d+\[.*"convs":'


def quick(scenario: Scenario) -> Scenario:
    QUICK[scenario.__name__] = scenario
    return scenario


def long(scenario: Scenario) -> Scenario:
    LONG[scenario.__name__] = scenario
    return scenario


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


# --- sending ---------------------------------------------------------------------------------------


@quick
async def eight_queued_go_out_in_order(stage: Stage) -> None:
    phone = await stage.phone()
    texts = [f"第{n}句" for n in range(8)]
    for text in texts:
        await phone.send(text)
    await stage.converged("您好", *texts)
    assert [payload["body"]["text"] for payload in phone.said("msg:send")] == texts


@quick
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


@quick
async def offline_for_an_hour_and_loaded_anew(stage: Stage) -> None:
    phone = await stage.phone()
    await phone.do("read", conv=stage.conv)
    await stage.answer("请讲")
    await phone.until_texts("您好", "请讲")
    await asyncio.sleep(0.6)  # the log is written
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


@quick
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


@quick
async def a_limit_is_waited_for(stage: Stage) -> None:
    phone = await stage.phone()
    limited = phone.through.on("down", SEND_ACK, "replace", text=refusing("rate-limited", retry=True, after_ms=300))
    hidden = hide(phone)
    await phone.send("一")
    await phone.send("二")
    await phone.until(lambda view: limited.done and view["pending"] == 2)
    stage.note("waiting", await phone.view())
    await phone.until(lambda _: len(phone.said("msg:send")) == 3)
    show(hidden)
    await stage.converged("您好", "一", "二")
    cids = [payload["cid"] for payload in phone.said("msg:send")]
    assert cids[0] == cids[1] != cids[2]


@quick
async def what_is_refused_stays_with_its_text_and_holds_up_nothing(stage: Stage) -> None:
    phone = await stage.phone()
    empty = await phone.send(" ")
    await phone.send("后一句")
    view = await phone.until(lambda view: view["failed"] == 1 and view["pending"] == 1)
    stage.note("failed", view)
    assert bubble_of(view, " ")["problem"] == "invalid-input"
    await phone.do("discard", conv=stage.conv, cid=empty)
    await stage.converged("您好", "后一句")


@quick
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


@quick
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


# --- hearing ---------------------------------------------------------------------------------------


@quick
async def operations_out_of_order_and_twice(stage: Stage) -> None:
    phone = await stage.phone()
    phone.through.on("down", OP, "hold", times=2)
    phone.through.on("down", r'"ops":\[', "hold")
    phone.through.on("down", OP, "twice")
    for text in ("一", "二", "三"):
        await stage.answer(text)
    await phone.until(lambda _: len(phone.said("ops:get")) == 1)
    assert texts_of(await phone.view()) == ["您好"]  # never a gap
    stage.note("with a gap", await phone.view())
    phone.through.release()
    await stage.converged("您好", "一", "二", "三")
    assert {payload["after"] for payload in phone.said("ops:get")} == {3}


@quick
async def one_operation_lost_on_a_living_connection_is_fetched(stage: Stage) -> None:
    phone = await stage.phone()
    phone.through.on("down", OP, "drop")
    await stage.answer("一")  # nothing follows: a beat finds it
    await phone.until_texts("您好", "一")
    phone.through.on("down", OP, "drop")
    await stage.answer("二")
    await stage.answer("三")
    await stage.converged("您好", "一", "二", "三")


@quick
async def a_kind_of_a_later_version_counts_like_a_skip(stage: Stage) -> None:
    phone = await stage.phone()

    def later(text: str) -> str:
        return text.replace('"kind":"message"', '"kind":"hologram"')

    phone.through.on("down", OP, "replace", text=later)
    await stage.answer("看不懂的")
    await stage.answer("看得懂的")
    view = await phone.until_texts("您好", "看得懂的")
    stage.note("unknown kind", view)
    assert view["header"]["last_seq"] == 5
    assert not phone.said("ops:get")


@long
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


@long
async def an_edit_that_comes_before_its_message(stage: Stage) -> None:
    phone = await stage.phone()
    phone.through.on("down", OP, "hold")
    phone.through.on("down", r'"ops":\[', "hold")
    sent = await stage.answer("要戴")
    await stage.world.desk.act("msg:edit", stage.conv, target_seq=sent["seq"], text="要带")
    await phone.until(lambda _: phone.said("ops:get"))
    stage.note("the edit alone", await phone.view())
    phone.through.release()
    await stage.converged("您好", "要带")


@long
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


@long
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


@long
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


@long
async def a_sign_of_typing_is_gone_after_five_seconds(stage: Stage) -> None:
    phone = await stage.phone()
    await stage.world.desk.typing(stage.conv)
    await phone.until(lambda view: view["typing"] == "staff")
    began = asyncio.get_running_loop().time()
    await phone.until(lambda view: view["typing"] is None)
    assert 4 < asyncio.get_running_loop().time() - began < 10
    await stage.converged("您好")


@long
async def three_hundred_behind(stage: Stage) -> None:
    phone = await stage.phone()
    phone.through.refuse = True
    phone.through.cut()
    await phone.until_online(False)
    texts = [f"答{n}" for n in range(300)]
    for text in texts:
        await stage.answer(text)
    phone.through.heal()
    phone.through.on("down", OP, "drop")  # what follows is kept aside, and all of it fetched by pages
    await phone.do("wake")
    await stage.converged("您好", *texts)
    assert len(phone.said("ops:get")) >= 2
    assert (await phone.view())["header"]["unread"] == 100


# --- connecting ------------------------------------------------------------------------------------

BUSY = {"code": "temporarily-unavailable", "title": "服务暂时不可用", "status": 503, "detail": "请稍后再来。"}


async def not_before(phone: Device, begin: Callable[[], Any], seconds: float, event: str = "HTTP upgrade") -> None:
    """The next attempt comes `seconds` (and at most a fifth more) after the server said so, whatever happens."""
    loop = asyncio.get_running_loop()
    begin()
    await phone.until_online(False)
    began, attempts = loop.time(), phone.through.connections
    await phone.do("wake")  # the network is back: that makes nothing sooner
    await phone.until_online()
    assert phone.through.connections > attempts
    waited = loop.time() - began
    assert seconds * 0.8 < waited < seconds * 1.2 + 3, f"{waited} s instead of {seconds} s"


@long
async def a_busy_server_says_when_to_come(stage: Stage) -> None:
    phone = await stage.phone()
    refusal = {"message": "temporarily-unavailable", "data": BUSY | {"retry_after": 1.5}}
    rule = phone.through.on("down", CONNECT, "replace", text="44/citizen," + json.dumps(refusal))
    phone.through.cut()
    await phone.until(lambda view: rule.done and view["status"]["problem"] == "temporarily-unavailable")
    await not_before(phone, lambda: None, 1.5)
    await stage.converged("您好")


@long
async def a_kick_says_when_to_come(stage: Stage) -> None:
    phone = await stage.phone()
    kick = "42/citizen," + json.dumps(["kick", {"code": "too-slow", "retry_after": 1.25}])
    await not_before(phone, lambda: phone.through.say(kick), 1.25)
    await phone.send("一")
    await stage.converged("您好", "一")


@long
async def no_ticket_now_says_when_to_come(stage: Stage) -> None:
    phone = await stage.phone()
    for status, document in (("503 Service Unavailable", ""), ("429 Too Many Requests", json.dumps(BUSY))):
        kind = "application/problem+json" if document else "text/plain"
        head = f"HTTP/1.1 {status}\r\nRetry-After: 1\r\nContent-Type: {kind}\r\n"
        answer = f"{head}Content-Length: {len(document.encode())}\r\nConnection: close\r\n\r\n{document}"
        rule = phone.through.on("up", "POST /api/socket-tickets", "answer", text=answer)
        phone.through.cut()
        await phone.until(lambda view, rule=rule: rule.done and view["status"]["problem"])  # type: ignore[misc]
        await not_before(phone, lambda: None, 1.0)
    await stage.converged("您好")


@long
async def a_version_that_is_not_spoken_ends_it(stage: Stage) -> None:
    phone = await stage.phone()
    phone.through.on("up", CONNECT, "replace", text=lambda text: text.replace('"v":[1]', '"v":[2,3]'))
    phone.through.cut()
    await _outdated(stage, phone)


@long
async def an_answer_of_a_version_that_is_not_spoken_ends_it(stage: Stage) -> None:
    phone = await stage.phone()
    phone.through.on("down", HELLO_ACK, "replace", text=lambda text: text.replace('"v":1,"convs"', '"v":2,"convs"'))
    phone.through.cut()
    await _outdated(stage, phone)


async def _outdated(stage: Stage, phone: Device) -> None:
    """It says so, tries nothing more, and keeps what was typed and is typed."""
    await phone.until(lambda view: view["status"]["reason"] == "unsupported-version")
    attempts = phone.through.connections
    await phone.do("wake")
    await phone.send("留着")
    view = await phone.until(lambda view: view["pending"] == 1)
    stage.note("kept", view)
    assert phone.through.connections == attempts
    wanted = {"online": False, "reason": "unsupported-version", "problem": "unsupported-version", "ended": 0}
    assert view["status"] == wanted
    phone = await stage.reload(phone)  # a newer program, on what this one kept
    await phone.do("start")
    await stage.converged("您好", "留着")


@long
async def a_session_that_ended_ends_it(stage: Stage) -> None:
    phone = await stage.phone()
    phone.through.say("42/citizen," + json.dumps(["kick", {"code": "session-ended"}]))
    view = await phone.until(lambda view: view["status"]["ended"] == 1)
    assert view["status"]["reason"] == "session-ended"
    await phone.send("留着")
    stage.note("kept", await phone.until(lambda view: view["pending"] == 1))


@long
async def nothing_acknowledged_and_nothing_heard_means_another_connection(stage: Stage) -> None:
    phone = await stage.phone()
    frozen = phone.through.on("down", ".", "freeze")
    await phone.send("一")
    await phone.until(lambda _: frozen.done and len(phone.said("hello")) == 2)
    await stage.converged("您好", "一")


@long
async def a_slow_connection_only_takes_longer(stage: Stage) -> None:
    phone = await stage.phone()
    phone.through.delay = 0.15
    for text in ("一", "二"):
        await phone.send(text)
    await stage.converged("您好", "一", "二")


@long
async def in_the_background_nothing_is_tried(stage: Stage) -> None:
    phone = await stage.phone()
    await phone.do("sleep")
    attempts = phone.through.connections
    await phone.send("一")
    await stage.answer("二")
    view = await phone.until(lambda view: view["pending"] == 1)
    assert (view["status"]["reason"], phone.through.connections) == ("sleeping", attempts)
    await phone.do("wake")
    await stage.converged("您好", "二", "一")


@long
async def another_epoch_begins_anew_and_keeps_what_was_typed(stage: Stage) -> None:
    phone = await stage.phone()
    await asyncio.sleep(0.6)  # the log is written
    await phone.do("sleep")
    await phone.send("之后")
    await stage.world.command("kill")
    await stage.world.command("epoch", stage.conv)
    await stage.world.command("start")
    phone = await stage.reload(phone)
    await phone.do("start")
    await stage.converged("您好", "之后")
    assert {op["epoch"] for op in (await phone.view())["ops"]} == {2}


# --- a desk ----------------------------------------------------------------------------------------


@long
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
    stage.note("the desk", await desk.view())
    await stage.converged("您好", "还在吗", "在的")


# --- cut at every step -----------------------------------------------------------------------------

POINTS: dict[str, tuple[Way, str, Fate, bool]] = {
    "before_the_upgrade": ("up", "HTTP upgrade", "cut-before", True),
    "after_the_upgrade": ("up", "HTTP upgrade", "cut-after", True),
    "after_the_ticket_was_used": ("up", CONNECT, "cut-after", True),
    "when_the_namespace_is_joined": ("down", CONNECT, "cut-after", True),
    "after_hello_left": ("up", HELLO, "cut-after", True),
    "before_hello_is_answered": ("down", HELLO_ACK, "cut-before", True),
    "after_hello_was_answered": ("down", HELLO_ACK, "cut-after", True),
    "half_open_at_hello": ("up", HELLO, "swallow", True),
    "before_a_message_left": ("up", SEND, "cut-before", False),
    "after_a_message_left": ("up", SEND, "cut-after", False),
    "with_a_message_lost": ("up", SEND, "drop", False),
    "before_a_message_is_acknowledged": ("down", SEND_ACK, "cut-before", False),
    "after_a_message_was_acknowledged": ("down", SEND_ACK, "cut-after", False),
    "half_open_at_a_message": ("up", SEND, "swallow", False),
    "half_open_at_an_acknowledgement": ("down", SEND_ACK, "swallow", False),
    "after_an_operation_came": ("down", OP, "cut-after", False),
}


def _cut(point: tuple[Way, str, Fate, bool], *, anew: bool) -> Scenario:
    way, pattern, fate, connecting = point

    async def scenario(stage: Stage) -> None:
        phone = await stage.phone()
        if connecting:
            phone.through.cut()
        rule = phone.through.on(way, pattern, fate)
        for text in ("一", "二", "三"):
            await phone.send(text)
        await phone.until(lambda _: rule.done)
        if anew:
            phone = await stage.reload(phone)
            await phone.do("start")
        await phone.send("四")
        await stage.converged("您好", "一", "二", "三", "四")
        for cid in {payload["cid"] for _, payload in events(phone.through) if "cid" in payload}:
            said = [payload for name, payload in events(phone.through) if payload.get("cid") == cid]
            assert all(payload == said[0] for payload in said)

    return scenario


for _name, _point in POINTS.items():
    for _anew in (False, True):
        LONG[f"cut_{_name}{'_and_loaded_anew' * _anew}"] = _cut(_point, anew=_anew)


def _cut_bytes(count: int) -> Scenario:
    async def scenario(stage: Stage) -> None:
        phone = await stage.phone()
        phone.through.cut_after_bytes = count
        phone.through.cut()
        for text in ("一", "二"):
            await phone.send(text)
        await phone.until(lambda _: phone.through.cut_after_bytes is None)
        await stage.converged("您好", "一", "二")

    return scenario


for _count in (1, 100, 400, 700, 1000):
    LONG[f"cut_after_{_count}_bytes"] = _cut_bytes(_count)
