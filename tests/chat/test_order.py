"""Several events in flight, and one of them has to be sent again: nothing that was sent after it overtakes it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from pymongo.errors import AutoReconnect

from backend.app import CHAT
from backend.composition import Services
from backend.domain.access import Actor
from backend.domain.consultation_content import Attachment, Content
from backend.domain.errors import RateLimited, Unavailable
from backend.services.consultation_log import Committed
from backend.storage import operation_log
from backend.storage.consultations import ConsultationStore
from backend.storage.operation_log import GroupCommit
from chat import order
from chat import payloads as p
from chat.client import ChatClient
from chat.connections import Connection
from chat.events import Handlers
from chat.namespaces import ChatNamespace, Event
from chat.order import SendOrder
from tests.callers import Caller
from tests.chat.conftest import Connect, Office


async def in_flight(phone: ChatClient, payloads: list[dict[str, Any]]) -> list[dict[str, Any]]:
    answers = await asyncio.gather(*(phone.once("msg:send", payload) for payload in payloads))
    assert None not in answers
    return [answer for answer in answers if answer is not None]


@pytest.mark.parametrize("written", [False, True])
async def test_what_is_to_be_sent_again_is_not_overtaken(
    connect: Connect, citizen: Caller, clerk: Caller, office: Office, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    """The database goes away at the third of eight, before or after it was written."""
    desk, phone = await connect(clerk), await connect(citizen)
    conv = (await phone.open("咨询", matter_id=office.matter.id))["conv"]
    texts = [f"第{i}句" for i in range(10)]
    sent = [{"conv": conv, "cid": str(uuid.uuid4()), "body": {"text": text}} for text in texts]
    insert, failed = GroupCommit._insert, False

    async def failing(self: GroupCommit, documents: list[dict[str, Any]]) -> Any:
        nonlocal failed
        if not failed and any(d["cid"] == sent[2]["cid"] for d in documents):
            failed = True
            if written:
                await insert(self, documents)
            raise AutoReconnect("the line is gone")
        return await insert(self, documents)

    monkeypatch.setattr(GroupCommit, "_insert", failing)
    first = await in_flight(phone, sent[:8])
    done = sum(answer["ok"] for answer in first)  # as many as went before the batch that failed
    assert done <= 2
    assert [answer["ok"] for answer in first] == [True] * done + [False] * (8 - done)
    assert all(answer["retry"] for answer in first[done:])
    # what was on its way while the client did not know is refused too; what is sent again goes in order
    late = await in_flight(phone, sent[8:9])
    assert (late[0]["ok"], late[0]["retry"]) == (False, True)
    again = await in_flight(phone, sent[done:])
    assert [answer["ok"] for answer in again] == [True] * (10 - done)
    assert again[0]["dup"] == written
    assert await desk.until_texts(conv, *texts) == texts


async def test_what_was_never_sent_to_the_database_is_refused_without_asking_it(
    connect: Connect, citizen: Caller, clerk: Caller, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too much waits to be written: the outcome is known, and it is the same for those behind it."""
    state, looks = ConsultationStore.state, [0]

    async def looked(self: ConsultationStore, consultation_id: str) -> Any:
        looks[0] += 1
        try:
            return await state(self, consultation_id)
        finally:
            looks[0] -= 1

    monkeypatch.setattr(ConsultationStore, "state", looked)
    desk, phone = await connect(clerk), await connect(citizen)
    conv = (await phone.open("咨询", matter_id=office.matter.id))["conv"]
    texts = [f"第{i}句" for i in range(10)]
    sent = [{"conv": conv, "cid": str(uuid.uuid4()), "body": {"text": text}} for text in texts]
    assert (await in_flight(phone, sent[:1]))[0]["ok"]
    while looks[0]:  # a look that began for the first message is none for those that are refused
        await asyncio.sleep(0.01)
    asked = []

    async def ask(*args: Any) -> Any:
        asked.append(args)

    for name in ("settle", "read", "state"):
        monkeypatch.setattr(ConsultationStore, name, ask)
    monkeypatch.setattr(operation_log, "MAX_WAITING", 0)
    refused = await in_flight(phone, sent[1:8])
    assert [answer["problem"]["code"] for answer in refused] == ["temporarily-unavailable"] * 7
    assert all(answer["retry"] for answer in refused)
    assert not asked
    monkeypatch.undo()
    late = await in_flight(phone, sent[8:9])  # on its way while the client did not know
    assert (late[0]["ok"], late[0]["retry"]) == (False, True)
    again = await in_flight(phone, sent[1:])
    assert [(answer["ok"], answer["dup"]) for answer in again] == [(True, False)] * 9
    assert await desk.until_texts(conv, *texts) == texts


async def test_what_comes_when_a_look_at_the_rights_is_due_does_not_overtake_what_is_refused_meanwhile(
    server: TestServer,
    connect: Connect,
    citizen: Caller,
    clerk: Caller,
    office: Office,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first is on its way to the database, which goes away while the look for the second lasts."""
    desk, phone = await connect(clerk), await connect(citizen)
    conv = (await phone.open("咨询", matter_id=office.matter.id))["conv"]
    texts = ["第1句", "第2句"]
    sent = [{"conv": conv, "cid": str(uuid.uuid4()), "body": {"text": text}} for text in texts]
    chat, insert = server.app[CHAT], GroupCommit._insert
    writing, looking, gone, looked = (asyncio.Event() for _ in range(4))
    present = chat.rights.of

    async def failing(self: GroupCommit, documents: list[dict[str, Any]]) -> Any:
        if not gone.is_set():
            writing.set()
            await gone.wait()
            raise AutoReconnect("the line is gone")
        return await insert(self, documents)

    async def slow(actor: Actor) -> Actor:
        looking.set()
        await looked.wait()
        return await present(actor)

    monkeypatch.setattr(GroupCommit, "_insert", failing)
    monkeypatch.setattr(chat.rights, "of", slow)
    await chat.rights.stop()  # so that nobody but the second looks
    async with asyncio.timeout(20):
        first = asyncio.create_task(phone.once("msg:send", sent[0]))
        await writing.wait()
        for connection in chat.connections:
            connection.looked_at = float("-inf")
        second = asyncio.create_task(phone.once("msg:send", sent[1]))
        await looking.wait()
        gone.set()
        answers = [await first]
        looked.set()
        answers.append(await second)
    assert [answer and (answer["ok"], answer.get("retry")) for answer in answers] == [(False, True)] * 2
    assert [answer["ok"] for answer in await in_flight(phone, sent)] == [True] * 2
    assert await desk.until_texts(conv, *texts) == texts


@pytest.fixture
def failing_once(services: Services, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lookup of photographs fails the first time; what was asked for."""
    asked: list[str] = []

    async def attachments(actor: Actor, wanted: Sequence[Attachment]) -> tuple[Attachment, ...]:
        asked.append(wanted[0].upload_id)
        await asyncio.sleep(0)
        if len(asked) == 1:
            raise AutoReconnect("the line is gone")
        return tuple(replace(a, name="a.jpg", media_type="image/jpeg", size=1, width=1, height=1) for a in wanted)

    monkeypatch.setattr(services.consultations._references, "attachments", attachments)
    return asked


async def test_a_photograph_that_has_to_come_again_is_not_overtaken_on_its_socket(
    connect: Connect, citizen: Caller, clerk: Caller, office: Office, failing_once: list[str]
) -> None:
    desk, phone = await connect(clerk), await connect(citizen)
    conv = (await phone.open("咨询", matter_id=office.matter.id))["conv"]
    bodies: list[dict[str, Any]] = [{"text": f"第{i}句"} for i in range(6)]
    bodies[2]["attachments"] = [{"upload_id": str(uuid.uuid4())}]
    sent = [{"conv": conv, "cid": str(uuid.uuid4()), "body": body} for body in bodies]
    first = await in_flight(phone, sent)
    assert [(answer["ok"], answer.get("retry")) for answer in first] == [(True, None)] * 2 + [(False, True)] * 4
    again = await in_flight(phone, sent[2:])
    assert [answer["ok"] for answer in again] == [True] * 4
    texts = [body["text"] for body in bodies]
    assert await desk.until_texts(conv, *texts) == texts


async def test_what_waits_behind_a_photograph_that_has_to_come_again_does_not_overtake_it(
    connect: Connect, services: Services, citizen: Caller, clerk: Caller, office: Office, failing_once: list[str]
) -> None:
    desk, phone = await connect(clerk), await connect(citizen)
    conv = (await phone.open("咨询", matter_id=office.matter.id))["conv"]
    await desk.until(lambda: conv in desk.logs)
    asker = await services.sessions.authenticate(citizen.token or "")
    answerer = await services.sessions.authenticate(clerk.token or "")
    photograph = Content("照片", attachments=(Attachment(str(uuid.uuid4())),))

    async def say(actor: Actor, content: Content) -> Committed:
        return await services.consultations.send(actor, conv, cid=str(uuid.uuid4()), content=content)

    talk = (asker, photograph), (asker, Content("第二句")), (answerer, Content("您好")), (asker, Content("第三句"))
    said = await asyncio.gather(*(say(*each) for each in talk), return_exceptions=True)
    assert [type(each) for each in said] == [AutoReconnect, AutoReconnect, Committed, AutoReconnect]
    await asyncio.gather(*(say(*each) for each in talk if each[0] is asker))
    texts = ["您好", "照片", "第二句", "第三句"]
    assert await desk.until_texts(conv, *texts) == texts


def test_only_what_came_after_it_waits_for_the_first_that_is_missing() -> None:
    sent = SendOrder()
    one, two, three = sent.arrived(), sent.arrived(), sent.arrived()
    sent.refused("a", "two", two)  # as one too many is, before its turn
    sent.refused("a", "three", three)
    sent.admit("a", "one", one)
    with pytest.raises(Unavailable):
        sent.admit("a", "three", sent.arrived())
    sent.admit("b", "else", sent.arrived())
    sent.admit("a", "two", sent.arrived())
    sent.admit("a", "three", sent.arrived())


def test_what_was_given_up_does_not_hide_what_is_refused_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = SendOrder()
    monkeypatch.setattr(order, "PATIENCE", 0.0)
    sent.refused("a", "given up", sent.arrived())
    monkeypatch.undo()
    sent.refused("a", "two", sent.arrived())  # as one too many is, before its turn
    with pytest.raises(Unavailable):
        sent.admit("a", "three", sent.arrived())
    sent.admit("a", "two", sent.arrived())


def test_nothing_is_remembered_of_what_can_never_be_done() -> None:
    """Where too many came, nobody has looked at them yet: their ids may be of any length."""
    connection = Connection("s", "/citizen", Actor(kind="citizen", id="x"), "", 15.0)
    event: Event[p.Send] = Event(p.Send, Handlers.send, ordered=True)  # type: ignore[arg-type]
    conv, cid = str(uuid.uuid4()), str(uuid.uuid4())
    for given in ({"conv": "x" * 60_000, "cid": cid}, {"conv": conv, "cid": "x" * 60_000}):
        arrival = connection.order.arrived()
        assert ChatNamespace._refused(RateLimited(retry_after=1), event, connection, (given,), arrival)["retry"]
        connection.order.admit(given["conv"], "another", connection.order.arrived())
    ChatNamespace._refused(RateLimited(retry_after=1), event, connection, ({"conv": conv, "cid": cid},), 9)
    with pytest.raises(Unavailable):
        connection.order.admit(conv, "another", 10)


def test_who_gives_something_up_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "PATIENCE", 0.0)
    sent = SendOrder()
    sent.refused("a", "one", sent.arrived())
    sent.admit("a", "two", sent.arrived())
