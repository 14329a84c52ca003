"""Connecting: when to come back, when not to, another version, another log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from tests.conformance.scenarios import CONNECT, HELLO_ACK, scenario, short
from tests.conformance.stage import PATIENCE, Device, Stage

BUSY = {"code": "temporarily-unavailable", "title": "服务暂时不可用", "status": 503, "detail": "请稍后再来。"}


async def not_before(phone: Device, begin: Callable[[], Any], seconds: float, event: str = "HTTP upgrade") -> None:
    """The next attempt comes `seconds` (and at most a fifth more) after the server said so, whatever happens.

    How long connecting takes then is the machine's affair.
    """
    loop = asyncio.get_running_loop()
    begin()
    await phone.until_online(False)
    began, attempts = loop.time(), phone.through.connections
    await phone.do("wake")  # the network is back: that makes nothing sooner
    await phone.until_online()
    assert phone.through.connections > attempts
    waited = loop.time() - began
    assert seconds * 0.8 < waited < seconds * 1.2 + PATIENCE / 2, f"{waited} s instead of {seconds} s"


@short
async def a_busy_server_says_when_to_come(stage: Stage) -> None:
    phone = await stage.phone()
    refusal = {"message": "temporarily-unavailable", "data": BUSY | {"retry_after": 1.5}}
    rule = phone.through.on("down", CONNECT, "replace", text="44/citizen," + json.dumps(refusal))
    phone.through.cut()
    await phone.until(lambda view: rule.done and view["status"]["problem"] == "temporarily-unavailable")
    await not_before(phone, lambda: None, 1.5)
    await stage.converged("您好")


@short
async def a_kick_says_when_to_come(stage: Stage) -> None:
    phone = await stage.phone()
    kick = "42/citizen," + json.dumps(["kick", {"code": "too-slow", "retry_after": 1.25}])
    await not_before(phone, lambda: phone.through.say(kick), 1.25)
    await phone.send("一")
    await stage.converged("您好", "一")


@scenario
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


@short
async def a_version_that_is_not_spoken_ends_it(stage: Stage) -> None:
    phone = await stage.phone()
    phone.through.on("up", CONNECT, "replace", text=lambda text: text.replace('"v":[1]', '"v":[2,3]'))
    phone.through.cut()
    await _outdated(stage, phone)


@scenario
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


@scenario
async def a_session_that_ended_ends_it(stage: Stage) -> None:
    phone = await stage.phone()
    phone.through.say("42/citizen," + json.dumps(["kick", {"code": "session-ended"}]))
    view = await phone.until(lambda view: view["status"]["ended"] == 1)
    assert view["status"]["reason"] == "session-ended"
    await phone.send("留着")
    stage.note("kept", await phone.until(lambda view: view["pending"] == 1))


@scenario
async def nothing_acknowledged_and_nothing_heard_means_another_connection(stage: Stage) -> None:
    phone = await stage.phone()
    frozen = phone.through.on("down", ".", "freeze")
    await phone.send("一")
    await phone.until(lambda _: frozen.done and len(phone.said("hello")) >= 2)
    await stage.converged("您好", "一")


@scenario
async def a_slow_connection_only_takes_longer(stage: Stage) -> None:
    phone = await stage.phone()
    phone.through.delay = 0.15
    for text in ("一", "二"):
        await phone.send(text)
    await stage.converged("您好", "一", "二")


@scenario
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


@short
async def another_epoch_begins_anew_and_keeps_what_was_typed(stage: Stage) -> None:
    phone = await stage.phone()
    await phone.until(lambda view: view["kept"] == 3)
    await phone.do("sleep")
    await phone.send("之后")
    await stage.meeting.restored(stage.world, stage.conv)
    phone = await stage.reload(phone)
    await phone.do("start")
    await stage.converged("您好", "之后")
    assert {op["epoch"] for op in (await phone.view())["ops"]} == {2}
