"""A right that is taken away is felt by open sockets, also by those that say nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from motor.motor_asyncio import AsyncIOMotorCollection
from pymongo.errors import ServerSelectionTimeoutError

from backend.app import CHAT
from backend.composition import Services
from backend.domain.access import Actor, Role
from backend.domain.consultations import SequenceGap
from backend.domain.errors import Unavailable
from backend.domain.ids import new_id
from backend.storage.consultations import OPS
from chat.client import ChatClient
from chat.connections import Connection, Connections
from chat.node import ChatNode
from chat.rights import MANY, Rights
from config.settings import Settings
from tests.callers import Caller
from tests.chat.conftest import GREETING, Connect, Office, device, follow, node, question
from tests.conftest import LoginStaff

SOON = 0.3  # in the place of 15 seconds
PATIENCE = 20.0  # for a machine that does other things too


@pytest.fixture
async def admin(login_staff: LoginStaff) -> Caller:
    return await login_staff(Role.ADMIN)


async def take_the_post_away(admin: Caller, office: Office) -> None:
    """The colleague is the only holder from now on; said to another node than the one the desk is at."""
    holders = [{"staff_id": office.colleague_id, "rank": 1}]
    path = f"/api/organisation/posts/{office.post.id}"
    status, answer = await admin.patch(path, {"version": 1, "holders": holders})
    assert (status, answer["holders"][0]["staff_id"]) == (200, office.colleague_id)


async def make_hall_staff_of(admin: Caller, staff_id: str) -> None:
    status, answer = await admin.patch(f"/api/staff/{staff_id}", {"version": 1, "roles": ["hall"]})
    assert status == 200, answer


async def left(device: ChatClient, conv: str) -> None:
    await device.until(lambda: ("conv:left", {"conv": conv}) in device.events, PATIENCE)


async def look_at_everybody(chat: ChatNode) -> None:
    for connection in chat.connections:
        connection.looked_at = 0.0
    await chat.rights.look()


def heard_since_it_left(device: ChatClient, conv: str) -> list[str]:
    events = list(device.events)
    return [name for name, _ in events[events.index(("conv:left", {"conv": conv})) + 1 :]]


async def test_a_silent_desk_whose_post_is_taken_away_gets_nothing_more(
    settings: Settings,
    connect: Connect,
    citizen: Caller,
    clerk: Caller,
    colleague: Caller,
    admin: Caller,
    office: Office,
) -> None:
    async with node(settings, chat_rights_seconds=SOON) as second:
        phone = await connect(citizen)
        conv = await question(phone, office)
        desk, other = await connect(clerk, second), await connect(colleague, second)
        await follow(conv, desk, other)
        await take_the_post_away(admin, office)
        await left(desk, conv)
        await phone.send(conv, "还有一件事")
        await other.until_texts(conv, "还有一件事")
        answer = await desk.once("beat", {"convs": {conv: 1}})  # what was sent to it before has come by then
        assert answer is not None
        assert answer["left"] == [conv]
        assert not {"op", "conv"} & set(heard_since_it_left(desk, conv))


async def test_who_loses_the_role_is_not_brought_back_by_what_is_still_theirs(
    settings: Settings, connect: Connect, citizen: Caller, clerk: Caller, admin: Caller, office: Office
) -> None:
    """The consultation is assigned to the clerk, and stays so: the sweep places it on the desks of its clerk."""
    async with node(settings, chat_rights_seconds=SOON) as second:
        desk, phone = await connect(clerk, second), await connect(citizen)
        conv = await question(phone, office)
        await desk.until_texts(conv, "您好")
        await make_hall_staff_of(admin, office.clerk_id)
        await left(desk, conv)
        await phone.send(conv, "还有一件事")
        hub = second.app[CHAT].hub
        await hub.sweep()
        await asyncio.gather(*hub._tasks)
        answer = await desk.once("beat", {"convs": {conv: 1}})
        assert answer is not None
        assert answer["left"] == [conv]
        assert not {"op", "conv"} & set(heard_since_it_left(desk, conv))


async def test_a_session_that_ends_closes_its_silent_socket(
    settings: Settings, services: Services, connect: Connect, citizen: Caller, clerk: Caller
) -> None:
    async with node(settings, chat_rights_seconds=SOON) as second:
        desk, phone = await connect(clerk, second), await connect(citizen, second)
        await services.sessions.end_all(clerk.actor_id)
        await desk.until(lambda: desk.kicks, PATIENCE)
        assert desk.kicks == ["session-ended"]
        await services.sessions.end_all(citizen.actor_id)
        await phone.until(lambda: phone.kicks, PATIENCE)
        assert phone.kicks == ["session-ended"]


async def test_nobody_is_sent_away_while_the_database_is_away(
    settings: Settings,
    services: Services,
    connect: Connect,
    clerk: Caller,
    colleague: Caller,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    away, asked, find = True, asyncio.Event(), AsyncIOMotorCollection.find

    def failing(self: Any, *args: Any, **options: Any) -> Any:
        if away and self.name == "sessions" and "$in" in args[0].get("_id", ()):
            asked.set()
            raise ServerSelectionTimeoutError("no primary")
        return find(self, *args, **options)

    async with node(settings, chat_rights_seconds=SOON) as second:
        desk, other = await connect(clerk, second), await connect(colleague, second)
        await services.sessions.end_all(colleague.actor_id)
        monkeypatch.setattr(AsyncIOMotorCollection, "find", failing)
        for _ in range(3):
            asked.clear()
            async with asyncio.timeout(PATIENCE):
                await asked.wait()
        kicked_meanwhile = desk.kicks + other.kicks
        away = False
        await other.until(lambda: other.kicks, PATIENCE)
        assert set(kicked_meanwhile) <= {"session-ended"}  # `other`, if it was looked at before the line was cut
        assert (desk.kicks, other.kicks) == ([], ["session-ended"])


# --- between reading and following ---------------------------------------------------------------


@pytest.fixture
async def waiting(connect: Connect, citizen: Caller, office: Office) -> tuple[ChatClient, str]:
    """A phone, and what it asked while nobody was there."""
    phone = await connect(citizen)
    return phone, await question(phone, office)


async def test_what_changes_hands_during_a_hello_is_not_shown(
    services: Services,
    connect: Connect,
    clerk: Caller,
    colleague: Caller,
    office: Office,
    waiting: tuple[ChatClient, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    phone, conv = waiting
    desk, other = await connect(clerk), await connect(colleague)
    await other.follow(conv)
    version = await other.until(lambda: other.logs[conv].header.get("version"))
    readable = services.consultations.readable

    async def slow(*args: Any) -> Any:
        found, post = await readable(*args), office.other_post.id
        await other.act("conv:transfer", conv, ver=version, post_id=post, reason="收养登记归口办理")
        return found

    monkeypatch.setattr(services.consultations, "readable", slow)
    await desk.follow(conv)
    await left(desk, conv)
    await phone.send(conv, "这一句只给收养登记岗")
    answer = await desk.once("beat", {"convs": {conv: 1}})
    assert answer is not None
    assert answer["left"] == [conv]
    assert not [data for name, data in desk.events if name == "op"]


async def test_a_right_that_is_taken_away_during_a_hello_lets_nobody_follow(
    services: Services,
    server: TestServer,
    connect: Connect,
    clerk: Caller,
    colleague: Caller,
    admin: Caller,
    office: Office,
    waiting: tuple[ChatClient, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, conv = waiting
    desk, chat = await connect(clerk), server.app[CHAT]
    readable = services.consultations.readable

    async def slow(*args: Any) -> Any:
        found = await readable(*args)
        await take_the_post_away(admin, office)
        await look_at_everybody(chat)
        return found

    monkeypatch.setattr(services.consultations, "readable", slow)
    answer = await desk.once("hello", {"cursors": {conv: [0, 0]}, "rest": True}, PATIENCE)
    assert answer is not None
    assert (answer["convs"], answer["gone"]) == ([], [conv])
    beat = await desk.once("beat", {"convs": {conv: 1}})
    assert beat is not None
    assert beat["left"] == [conv]


async def test_who_was_sent_away_is_not_taken_for_a_reader_by_what_the_node_remembers(
    settings: Settings,
    services: Services,
    connect: Connect,
    citizen: Caller,
    clerk: Caller,
    colleague: Caller,
    office: Office,
) -> None:
    """It changed hands on another node, and nobody here reads on: this one still knows the state before."""
    async with node(settings) as second:
        phone = await connect(citizen, second)
        conv = await question(phone, office)
        desk, other = await connect(clerk), await connect(colleague, second)
        await follow(conv, desk, other)
        assert (await desk.call("rcpt", {"conv": conv, "delivered": 1}))["ok"]
        version, post = other.logs[conv].header["version"], office.other_post.id
        await other.act("conv:transfer", conv, ver=version, post_id=post, reason="收养登记归口办理")
        await left(desk, conv)
        refused = await desk.once("rcpt", {"conv": conv, "delivered": 2, "read": 2})
        assert refused is not None
        assert (refused["ok"], refused.get("problem", {}).get("code")) == (False, "not-found")
        stored = await services.consultation_store.receipts.of(conv)
        assert (clerk.actor_id, 2) not in {(reader.id, read) for reader, _, read in stored}


async def test_a_damaged_log_keeps_nobody_from_being_sent_away(
    server: TestServer,
    services: Services,
    connect: Connect,
    clerk: Caller,
    colleague: Caller,
    admin: Caller,
    office: Office,
    waiting: tuple[ChatClient, str],
) -> None:
    """Of what nobody can say who may read it, those leave whose rights changed, and no others."""
    phone, damaged = waiting
    whole = await question(phone, office, "另一件事")
    desk, other, chat = await connect(clerk), await connect(colleague), server.app[CHAT]
    for conv in (damaged, whole):
        await follow(conv, desk, other)
    ops = services.database[OPS]
    last = await ops.find_one({"consultation_id": damaged}, sort=[("seq", -1)])
    assert last is not None
    await ops.insert_one(last | {"_id": new_id(), "cid": new_id(), "seq": last["seq"] + 2})  # one is missing before it
    with pytest.raises(SequenceGap):
        await services.consultation_store.state(damaged)

    await take_the_post_away(admin, office)
    await look_at_everybody(chat)
    for conv in (damaged, whole):
        await left(desk, conv)
    for each in (other, phone):
        answer = await each.once("beat", {"convs": {damaged: 1, whole: 1}})
        assert answer is not None
        assert answer["left"] == []


# --- many ----------------------------------------------------------------------------------------


class Crowd:
    """Sockets that say nothing, the sessions behind them, and a clock."""

    def __init__(self, actors: Mapping[str, Actor]) -> None:
        self.actors = dict(actors)
        self.connections = Connections()
        self.time = 1000.0
        self.asked: list[int] = []
        self.away: Exception | None = None
        self.kicked: list[str] = []
        self.checked: list[str] = []
        self.unreadable = False
        for session_id, actor in actors.items():
            connection = Connection(session_id, "/clerk", actor, "", 15.0)
            connection.looked_at = self.time
            self.connections.add(connection)
        hub: Any = SimpleNamespace(feeds=self, look_at_readers=self.look_at_readers)
        self.rights = Rights(look_up=self.look_up, connections=self.connections, hub=hub, now=lambda: self.time)

    async def look_up(self, session_ids: Collection[str]) -> Mapping[str, Actor]:
        self.asked.append(len(session_ids))
        if self.away is not None:
            raise self.away
        return {s: self.actors[s] for s in session_ids if s in self.actors}

    def kick(self, connection: Connection, code: str) -> None:
        self.connections.remove(connection.sid)
        self.kicked.append(f"{connection.sid} {code}")

    async def look_at_readers(self, readers: Collection[Connection]) -> None:
        if readers and self.unreadable:
            raise Unavailable
        self.checked += [reader.sid for reader in readers]

    async def step(self) -> None:
        self.time += 1.0
        await self.rights.look()

    def oldest(self) -> float:
        return self.time - min(c.looked_at for c in self.connections)


def staff(number: int) -> dict[str, Actor]:
    return {f"s{i}": Actor("staff", f"p{i}", frozenset({Role.CLERK}), session_id=f"s{i}") for i in range(number)}


async def test_every_socket_has_its_turn_in_time_and_a_crowd_is_spread() -> None:
    crowd = Crowd(staff(5000))
    ages = []
    for _ in range(90):
        await crowd.step()
        ages.append(crowd.oldest())
    assert max(ages) < 15
    assert max(crowd.asked) <= MANY
    in_a_round = crowd.asked[len(crowd.asked) // 2 :][:15]
    assert sum(in_a_round) <= 1.5 * 5000  # nobody is asked about much more often than that
    later = Crowd(staff(4))
    for _ in range(90):
        await later.step()
    assert later.oldest() < 15
    assert len(later.asked) <= 90 / 4


async def test_what_could_not_be_found_out_is_found_out_later() -> None:
    crowd = Crowd(staff(40))
    del crowd.actors["s7"]
    crowd.actors["s8"] = replace(crowd.actors["s8"], post_ids=frozenset({"new"}))
    crowd.away = Unavailable()
    crowd.time += 14
    with pytest.raises(Unavailable):
        await crowd.step()
    assert (crowd.kicked, len(crowd.connections)) == ([], 40)
    crowd.away, crowd.unreadable = None, True
    with pytest.raises(Unavailable):
        await crowd.step()
    assert crowd.kicked == ["s7 session-ended"]
    crowd.unreadable = False
    await crowd.step()
    assert crowd.checked == ["s8"]  # its consultations were looked at, when they could be read
    await crowd.step()
    assert crowd.checked == ["s8"]


async def test_what_was_read_later_is_not_replaced_by_what_was_read_before() -> None:
    (actor,) = staff(1).values()
    connection = Connection("s0", "/clerk", actor, "", 15.0)
    newer = replace(actor, post_ids=frozenset({"new"}))
    assert connection.learned(newer, connection.looked_at + 2)
    assert not connection.learned(actor, connection.looked_at - 1)
    assert connection.actor is newer


async def test_thousands_of_silent_sockets_cost_a_handful_of_queries(
    services: Services, office: Office, clerk: Caller, server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    desks = [await services.sessions.open_staff(clerk.actor_id, "") for _ in range(10)]
    one = await services.sessions.open_citizen("c0", "")
    document = await services.database["sessions"].find_one({"_id": one.session_id})
    assert document is not None
    phones = [document | {"_id": f"k{i}", "subject_id": f"c{i}", "access": [], "refresh": []} for i in range(3000)]
    await services.database["sessions"].insert_many(phones)
    queries, find = [], AsyncIOMotorCollection.find

    def counting(self: Any, *args: Any, **options: Any) -> Any:
        queries.append(self.name)
        return find(self, *args, **options)

    monkeypatch.setattr(AsyncIOMotorCollection, "find", counting)
    ids = [d.session_id for d in desks] + [str(d["_id"]) for d in phones]
    found: dict[str, Actor] = {}
    for start in range(0, len(ids), MANY):
        found |= await services.sessions.actors_of(ids[start : start + MANY])
    assert set(found) == set(ids)
    assert found[desks[0].session_id].post_ids == {office.post.id}
    assert found["k7"] == Actor("citizen", "c7", frozenset({Role.CITIZEN}), session_id="k7")
    assert queries.count("sessions") == len(ids) // MANY + 1
    assert len(queries) <= len(ids) // MANY + 4


async def test_who_handed_it_over_is_not_shown_to_be_typing(
    connect: Connect, citizen: Caller, clerk: Caller, office: Office
) -> None:
    desk, phone = await connect(clerk), await connect(citizen)
    handed_over, kept, last = [await question(phone, office) for _ in range(3)]
    for conv in (handed_over, kept, last):
        await desk.until_texts(conv, GREETING)

    def typed_in() -> list[str]:
        return [data["conv"] for event, data in phone.events if event == "typing"]

    await desk.connection.tell("typing", {"conv": kept})
    await phone.until(typed_in)
    version, post = desk.logs[handed_over].header["version"], office.other_post.id
    await desk.act("conv:transfer", handed_over, ver=version, post_id=post, reason="收养登记归口办理")
    await desk.connection.tell("typing", {"conv": handed_over})
    await desk.connection.tell("typing", {"conv": last})  # is shown behind whatever was shown before it
    await phone.until(lambda: last in typed_in())
    assert typed_in() == [kept, last]


async def test_who_handed_it_over_on_another_node_is_not_the_side_that_has_read_on_this_one(
    settings: Settings, citizen: Caller, clerk: Caller, office: Office
) -> None:
    async with (
        node(settings) as here,
        node(settings) as there,
        device(clerk, here) as desk,
        device(clerk, there) as other,
        device(citizen, there) as phone,
    ):
        conv = await question(phone, office)
        said = (await desk.send(conv, "请稍等"))["seq"]  # from here on this node knows the state
        await desk.call("rcpt", {"conv": conv, "delivered": said, "read": said})
        await other.until_texts(conv, GREETING, "请稍等")
        version, post = other.logs[conv].header["version"], office.other_post.id
        await other.act("conv:transfer", conv, ver=version, post_id=post, reason="收养登记归口办理")
        asked = (await phone.send(conv, "还有人吗"))["seq"]
        await desk.until_texts(conv, GREETING, "请稍等", "还有人吗")
        refused = await desk.once("rcpt", {"conv": conv, "delivered": asked, "read": asked})
        assert refused is not None
        assert refused["problem"]["code"] == "not-found"


async def test_who_handed_it_over_reads_on_without_being_shown_as_the_side_that_has_read(
    connect: Connect, citizen: Caller, clerk: Caller, office: Office
) -> None:
    desk, phone = await connect(clerk), await connect(citizen)
    conv = await question(phone, office)
    await desk.until_texts(conv, GREETING)
    version = desk.logs[conv].header["version"]
    post = office.other_post.id
    await desk.act("conv:transfer", conv, ver=version, post_id=post, reason="收养登记归口办理")
    asked = (await phone.send(conv, "还有人吗"))["seq"]
    await desk.until_texts(conv, GREETING, "还有人吗")
    for tell in ({"delivered": asked, "read": asked}, {"read": 1}):
        refused = await desk.once("rcpt", {"conv": conv} | tell)
        assert refused is not None
        assert refused["problem"]["code"] == "not-found"
        status, _ = await clerk.post(f"/api/consultations/{conv}/receipts", tell)
        assert status == 404
    status, shown = await clerk.get(f"/api/consultations/{conv}")
    assert (status, shown["read"]["staff"] < asked, shown["unread"] > 0) == (200, True, True)
