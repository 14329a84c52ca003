"""The drills can fail: for each invariant a real node with the bug it guards against, and the judge goes red.

`test_the_same_plays_are_green_without_a_bug` plays the same without bugs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from pymongo import MongoClient
from redis.asyncio import Redis as RedisClient

from backend.storage.consultations import OPS
from backend.storage.operation_log import CID_INDEX
from tests.cluster.stores import Redis
from tests.drills.checker import explain
from tests.drills.device import Device
from tests.drills.proxy import Proxy
from tests.drills.results import note
from tests.drills.system import Begin, System

pytestmark = [pytest.mark.drill, pytest.mark.timeout(300)]


@dataclass
class Scene:
    """A citizen with a phone on node 1 and a tablet on node 2, a desk on node 2, one consultation."""

    drill: System
    conv: str
    line: Proxy
    phone: Device
    tablet: Device
    desk: Device

    async def say(self, *texts: str, device: Device | None = None) -> None:
        """Say these, up to eight of them in flight, and wait for the answers."""
        device = device or self.phone
        items = [device.say(self.conv, text) for text in texts]
        await asyncio.wait_for(asyncio.gather(*(item.answer for item in items)), 60)

    async def move(self, device: Device, node: int) -> None:
        """Away, and back on this node."""
        self.drill.place(device.name, self.drill.nodes[node])
        await device.stop()
        device.start()
        async with asyncio.timeout(30):
            await device.online.wait()

    async def seen(self, seq: int, *devices: Device) -> None:
        """Wait until these devices have so many operations."""
        async with asyncio.timeout(30):
            while any(device.views[self.conv].seq < seq for device in devices):
                await asyncio.sleep(0.01)


@asynccontextmanager
async def scene(begin: Begin, redis: Redis, *bugs: str) -> AsyncIterator[Scene]:
    async with begin(redis_url=redis.url, bugs=bugs) as drill:
        one, two = drill.nodes
        line = await drill.proxy(one.port)
        person = await drill.citizen("mei")
        desk = await drill.join("desk", drill.clerk, two)
        phone = await drill.join("phone", person, one, via=line)
        tablet = await drill.join("tablet", person, two)
        conv = await phone.open("咨询", matter_id=drill.office.matter.id)
        drill.convs.append(conv)
        found = Scene(drill, conv, line, phone, tablet, desk)
        async with asyncio.timeout(30):
            while not all(conv in d.views and d.views[conv].seq >= 2 for d in (phone, tablet, desk)):
                await asyncio.sleep(0.01)
        yield found


Play = Callable[[Scene], Awaitable[None]]


async def kill_after_the_answers(s: Scene) -> None:
    """Node 1 dies as soon as it has answered."""
    for round_ in range(3):
        await s.say(*(f"第{round_}轮第{i}句" for i in range(8)))
        await s.drill.nodes[0].die()
        await s.drill.nodes[0].up()


async def kill_in_the_middle(s: Scene) -> None:
    """Node 1 dies as soon as its reader was shown something."""
    for round_ in range(3):
        before = s.phone.views[s.conv].seq
        for i in range(8):
            s.phone.say(s.conv, f"第{round_}轮第{i}句")
        await s.seen(before + 1, s.phone)
        await s.drill.nodes[0].die()
        s.phone.outbox.clear()  # and its sender is never seen again
        await s.say(f"平板第{round_}句", device=s.tablet)
        await s.drill.nodes[0].up()


async def kill_before_the_answers(s: Scene) -> None:
    """Node 1 dies after the commit, with its answers held on the line; the phone sends again."""
    for round_ in range(2):
        async with asyncio.timeout(60):
            await s.phone.online.wait()  # it cannot come back while its line is held
        s.line.hold("down")
        items = [s.phone.say(s.conv, f"第{round_}轮第{i}句") for i in range(8)]
        cids = {item.cid for item in items}
        async with asyncio.timeout(60):
            while not cids <= {entry.cid for entry in (await s.drill.log())[s.conv]}:
                await asyncio.sleep(0.01)
        await s.drill.nodes[0].die()
        s.line.abort()
        s.line.heal()
        await s.drill.nodes[0].up()
        await asyncio.wait_for(asyncio.gather(*(item.answer for item in items)), 60)


async def talk_across_nodes(s: Scene) -> None:
    """Both sides talk, each on a node of their own."""
    for round_ in range(3):
        await s.say(*(f"第{round_}轮第{i}句" for i in range(8)))
        await s.say(*(f"第{round_}轮答{i}" for i in range(8)), device=s.desk)


async def talk_on_one_node(s: Scene) -> None:
    """Several devices talk at once on the same node, so that their messages are written together."""
    await s.move(s.tablet, 0)
    for round_ in range(6):
        talkers = (s.phone, s.tablet)
        await asyncio.gather(*(s.say(*(f"{d.name} 第{round_}轮第{i}句" for i in range(8)), device=d) for d in talkers))
    await s.move(s.tablet, 1)


async def come_back(s: Scene) -> None:
    """The phone is away while the desk talks."""
    await s.say("您好")
    await s.drill.converged()
    await s.phone.stop()
    await s.say(*(f"答{i}" for i in range(8)), device=s.desk)
    s.phone.start()
    async with asyncio.timeout(30):
        await s.phone.online.wait()


async def read_back_and_forth(s: Scene) -> None:
    """A device that has read little tells so after one that has read much."""
    await s.say(*(f"第{i}句" for i in range(8)))
    for read in (8, 3, 9, 1):
        await s.tablet.mark(s.conv, delivered=read, read=read)
        await s.phone.mark(s.conv, delivered=read, read=read)


async def nothing(_: Scene) -> None:
    """The bug is in the node alone."""


async def without_the_index(s: Scene) -> None:
    """No dedupe: what made a retry the same operation is gone."""

    def drop() -> None:
        with MongoClient[dict[str, Any]](s.drill.settings.mongo_url) as client:
            client[s.drill.settings.mongo_database][OPS].drop_index(CID_INDEX)

    await asyncio.to_thread(drop)


async def without_hints(s: Scene) -> None:
    """Redis takes no PUBLISH from anybody."""
    assert s.drill.settings.redis_url
    async with RedisClient.from_url(s.drill.settings.redis_url) as client:
        await client.acl_setuser("default", commands=["-publish"])


BUGS: dict[str, tuple[tuple[str, ...], Play, Play, set[str]]] = {
    "ack before commit": (("ack-before-commit",), nothing, kill_after_the_answers, {"acknowledged"}),
    "no dedupe": (("no-dedupe",), without_the_index, kill_before_the_answers, {"once"}),
    "dropped hint": (("no-sweep",), without_hints, talk_across_nodes, {"converged"}),
    "lost cursor": (("lost-cursor",), nothing, come_back, {"no gap shown", "converged"}),
    "reordered batch": (("reordered-batch",), nothing, talk_on_one_node, {"acknowledged"}),
    "overtaking": (("overtaking",), nothing, talk_across_nodes, {"own order"}),
    "hint before commit": (("hint-before-commit",), nothing, kill_in_the_middle, {"only the log"}),
    "receipt going back": (("receipt-going-back",), nothing, read_back_and_forth, {"receipts grow"}),
    "gap shown": (("gap-shown",), nothing, talk_across_nodes, {"no gap shown"}),
}


@pytest.mark.parametrize("bug", BUGS)
async def test_the_judge_goes_red(begin: Begin, own_redis: Redis, bug: str) -> None:
    planted, before, play, invariants = BUGS[bug]
    async with scene(begin, own_redis, *planted) as s:
        await before(s)
        await play(s)
        # where something is lost for good, nobody waits to know how long for
        await s.drill.converged(grace=0)
        found = await s.drill.violations(patience=5, grace=0)
    note(s.drill.history.figures(f"planted: {bug}", len(found), planted=True))
    print(f"\n{bug}:\n{explain(found)}")
    assert invariants <= {violation.invariant for violation in found}, explain(found)


async def test_the_same_plays_are_green_without_a_bug(begin: Begin, own_redis: Redis) -> None:
    async with scene(begin, own_redis) as s:
        plays = dict.fromkeys(play for _, _, play, _ in BUGS.values())
        for play in plays:
            s.drill.fault(play.__name__)
            await play(s)
            await s.drill.converged()
        await s.drill.ended("the plays of planted bugs, without one")
