"""Whoever cannot be told what became of something keeps nobody else from hearing."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from pymongo.errors import AutoReconnect

from backend.app import CHAT
from backend.composition import Services
from backend.domain.access import Actor
from backend.domain.consultation_content import Content
from backend.domain.consultation_operations import Party
from backend.domain.errors import Unavailable
from backend.rest.consultation_views import moment
from backend.services.consultation_turns import Awaited, Outcome, Request, Turn
from backend.storage.operation_log import GroupCommit
from chat import events
from chat.acks import Ack, ok
from chat.connections import Connection
from chat.counters import Counters
from chat.namespaces import _Begun
from tests.callers import Caller
from tests.chat.conftest import Connect, Office


class Deaf:
    """Hears nothing, and fails in a way that nobody thought of."""

    def done(self, result: Any) -> None:
        raise RuntimeError("nobody hears")

    def refused(self, error: Exception) -> None:
        raise RuntimeError("nobody hears")


Say = Callable[..., None]


@pytest.fixture
async def say(services: Services, connect: Connect, citizen: Caller, office: Office) -> Say:
    """`say(outcome, "…")`: a citizen's words, of which the outcome hears."""
    phone = await connect(citizen)
    conv = (await phone.open("咨询", matter_id=office.matter.id))["conv"]
    asker = await services.sessions.authenticate(citizen.token or "")

    def said(outcome: Outcome[Any], text: str, **options: Any) -> None:
        services.consultations.say(
            asker, conv, cid=str(uuid.uuid4()), content=Content(text, **options), outcome=outcome
        )

    return said


async def test_who_cannot_be_told_that_it_was_done_keeps_nobody_from_hearing(say: Say) -> None:
    for _ in range(2):  # on a state that has to be read, and on one that is known
        before, after = Awaited(), Awaited()
        say(before, "第一句")
        say(Deaf(), "第二句")
        say(after, "第三句")
        async with asyncio.timeout(20):
            first, third = await before.future, await after.future
        assert third.operation.seq == first.operation.seq + 2


async def test_who_cannot_be_told_of_a_refusal_keeps_nobody_from_hearing(say: Say) -> None:
    after = Awaited()
    say(Deaf(), "回复", reply_to=1_000)
    say(after, "第二句")
    async with asyncio.timeout(20):
        await after.future


async def test_who_cannot_be_told_of_a_failure_keeps_nobody_from_hearing(
    say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, after = Awaited(), Awaited()
    say(known, "第一句")
    await known.future

    async def failing(self: GroupCommit, documents: list[dict[str, Any]]) -> Any:
        raise AutoReconnect("the line is gone")

    monkeypatch.setattr(GroupCommit, "_insert", failing)
    say(Deaf(), "第二句")
    say(after, "第三句")
    async with asyncio.timeout(20):
        with pytest.raises(Unavailable):
            await after.future
    monkeypatch.undo()
    again = Awaited()
    say(again, "第三句")
    async with asyncio.timeout(20):
        await again.future


async def test_an_acknowledgement_that_cannot_be_made_is_a_problem_and_the_others_are_answered(
    server: TestServer, connect: Connect, citizen: Caller, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone, failed = await connect(citizen), list[Any]()
    conv = (await phone.open("咨询", matter_id=office.matter.id))["conv"]

    def failing_once(at: Any) -> str | None:
        if not failed:
            failed.append(at)
            raise RuntimeError("no such moment")
        return moment(at)

    monkeypatch.setattr(events, "moment", failing_once)
    sent = [{"conv": conv, "cid": str(uuid.uuid4()), "body": {"text": f"第{i}句"}} for i in range(3)]
    answers = await asyncio.gather(*(phone.once("msg:send", payload) for payload in sent))
    assert [answer and answer["ok"] for answer in answers] == [False, True, True]
    assert answers[0] is not None
    assert answers[0]["problem"]["code"] == "internal-error"
    assert not any(connection.asked.count for connection in server.app[CHAT].connections)


def test_an_answer_that_cannot_be_written_is_tried_once_and_nothing_is_under_way_any_more() -> None:
    connection = Connection("s", "/citizen", Actor(kind="citizen", id="x"), "", 15.0)
    tried: list[Ack] = []

    def answer(ack: Ack) -> None:
        tried.append(ack)
        raise ConnectionResetError

    begun: _Begun[Any] = _Begun(Counters(), connection, "msg:send", "k", "c", lambda _: ok(), answer)
    assert connection.asked.count == 1
    turn = Turn(Request(Party("citizen", "x"), "c", ""), begun)
    turn.answer(None)  # type: ignore[arg-type]  # the acknowledgement does not look at it
    assert (tried, connection.asked.count) == ([ok()], 0)  # was counted down once
