"""Drills of whole systems: one fault after the other, everybody talking, judged at the end."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from backend.integrations.clock import WarpedClock
from tests.cluster.stores import Member, Redis, ReplicaSet
from tests.drills.load import Load, loaded
from tests.drills.proxy import Direction, Proxy
from tests.drills.system import PATIENCE, System, system
from tests.embedded.machine import wait_until

pytestmark = [pytest.mark.drill, pytest.mark.timeout(900)]


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Redis]:
    """A Redis of this drill's own, to be broken."""
    redis = Redis("redis", tmp_path / "redis")
    redis.start()
    yield redis
    redis.thaw()
    redis.kill()


@pytest.fixture
def replica_set(tmp_path: Path) -> Iterator[ReplicaSet]:
    """Three members of this drill's own."""
    members = ReplicaSet(tmp_path)
    try:
        members.start()
        yield members
    finally:
        for member in members.members:
            member.thaw()
        members.stop()


@asynccontextmanager
async def ordinary(servers: tuple[str, str], standin: str, folder: Path) -> AsyncIterator[System]:
    mongo, redis = servers
    async with system(folder, mongo_url=mongo, redis_url=redis, standin=standin) as drill:
        yield drill


async def healed(drill: System, load: Load, *, more: int = 30) -> None:
    """After the healing: everybody has everything within five seconds, while the talk goes on, and it goes on."""
    await drill.converged()
    await load.reached(more)


async def ended(drill: System, name: str) -> None:
    await drill.settle()
    await drill.converged()
    await drill.green(name)


# --- nodes ---------------------------------------------------------------------------------------


async def test_nodes_killed_again_and_again(servers: tuple[str, str], wechat_standin: str, tmp_path: Path) -> None:
    chance = random.Random(1)
    async with ordinary(servers, wechat_standin, tmp_path) as drill, loaded(drill) as load:
        for number in range(4):
            node = drill.nodes[number % 2]
            await load.reached(chance.randint(10, 120))
            drill.fault(f"kill -9 of {node.name}")
            await node.die()
            await asyncio.sleep(chance.uniform(0, 1))
            await node.up()
            await healed(drill, load)
        await load.stop()
        await ended(drill, "nodes killed")


async def test_both_nodes_killed_at_once(servers: tuple[str, str], wechat_standin: str, tmp_path: Path) -> None:
    """Both ends come back at once: every device and every node."""
    async with ordinary(servers, wechat_standin, tmp_path) as drill, loaded(drill) as load:
        for _ in range(2):
            await load.reached(60)
            drill.fault("kill -9 of both nodes")
            await asyncio.gather(*(node.die() for node in drill.nodes))
            await asyncio.gather(*(node.up() for node in drill.nodes))
            await healed(drill, load)
        await load.stop()
        await ended(drill, "both nodes killed")


async def test_nodes_stopped_in_the_middle(servers: tuple[str, str], wechat_standin: str, tmp_path: Path) -> None:
    """SIGSTOP for short, and for longer than clients wait for an answer."""
    async with ordinary(servers, wechat_standin, tmp_path) as drill, loaded(drill) as load:
        for number, seconds in enumerate((0.5, 3, 12)):
            node = drill.nodes[number % 2]
            await load.reached(50)
            drill.fault(f"SIGSTOP of {node.name} for {seconds} s")
            node.freeze()
            await asyncio.sleep(seconds)
            node.thaw()
            await healed(drill, load)
        await load.stop()
        await ended(drill, "nodes stopped")


async def test_a_node_killed_between_commit_and_acknowledgement(
    servers: tuple[str, str], wechat_standin: str, tmp_path: Path
) -> None:
    """The acknowledgement is held on the line until the operation is in the log; then the node dies."""
    async with ordinary(servers, wechat_standin, tmp_path) as drill:
        node, other = drill.nodes
        line = await drill.proxy(node.port)
        person = await drill.citizen("mei")
        phone = await drill.join("phone", person, node, via=line)
        await drill.join("tablet", person, other)
        await drill.join("desk", drill.clerk, other)
        conv = await phone.open("咨询", matter_id=drill.office.matter.id)
        drill.convs.append(conv)
        for round_ in range(3):
            line.hold("down")
            items = [phone.say(conv, f"第{round_}轮第{i}句") for i in range(8)]
            cids = {item.cid for item in items}
            async with asyncio.timeout(PATIENCE):
                while not cids <= {entry.cid for entry in (await drill.log())[conv]}:
                    await asyncio.sleep(0.01)
            drill.fault(f"kill -9 of {node.name} between commit and acknowledgement")
            await node.die()
            line.abort()
            line.heal()
            await node.up()
            answers = await asyncio.wait_for(asyncio.gather(*(item.answer for item in items)), PATIENCE)
            assert [answer["dup"] for answer in answers] == [True] * 8
            await drill.converged()
        await ended(drill, "killed between commit and acknowledgement")


async def test_clocks_that_jump_and_differ(servers: tuple[str, str], wechat_standin: str, tmp_path: Path) -> None:
    async with ordinary(servers, wechat_standin, tmp_path) as drill, loaded(drill) as load:
        clock = drill.services.clock
        assert isinstance(clock, WarpedClock)
        offset = float(drill.settings.clock_file.read_text()) if drill.settings.clock_file else 0.0
        for jump in (3600, -3600, 90, 0):
            drill.fault(f"all clocks {jump:+} s")
            clock.warp(timedelta(seconds=offset + jump))
            await load.reached(80)
        node = drill.nodes[0]
        drill.fault("one node's clock 10 minutes ahead")
        await node.die()
        own = tmp_path / "own-time"
        own.mkdir()
        (own / "clock-offset").write_text(str(offset + 600))
        node.environment["BANSHI_VAR"] = str(own)
        await node.up()
        await healed(drill, load, more=150)
        await load.stop()
        await ended(drill, "clocks")


# --- Redis ---------------------------------------------------------------------------------------


async def test_redis_stopped_restarted_empty_and_silent(
    servers: tuple[str, str], wechat_standin: str, tmp_path: Path, own_redis: Redis
) -> None:
    async with system(tmp_path, mongo_url=servers[0], redis_url=own_redis.url, standin=wechat_standin) as drill:
        async with loaded(drill) as load:
            for seconds in (3, 60):
                await load.reached(60)
                drill.fault(f"Redis stopped for {seconds} s, back empty")
                await asyncio.to_thread(own_redis.kill)
                until = time.monotonic() + seconds
                while time.monotonic() < until:
                    await load.reached(20)
                    # the sweep finds within two seconds what no hint tells, so nobody waits for Redis
                    await drill.converged()
                await asyncio.to_thread(own_redis.start)
                await healed(drill, load)
            for seconds in (2, 8):
                drill.fault(f"SIGSTOP of Redis for {seconds} s")
                own_redis.freeze()
                await asyncio.sleep(seconds)
                own_redis.thaw()
                await healed(drill, load)
        await ended(drill, "Redis")


@pytest.mark.parametrize("way", ["up", "down"])
async def test_one_direction_to_redis_is_lost(
    servers: tuple[str, str], wechat_standin: str, tmp_path: Path, own_redis: Redis, way: Direction
) -> None:
    async with Proxy(own_redis.port) as line:
        theirs = f"redis://127.0.0.1:{line.port}/0"
        async with system(
            tmp_path, mongo_url=servers[0], redis_url=own_redis.url, redis_of_nodes=theirs, standin=wechat_standin
        ) as drill:
            async with loaded(drill) as load:
                for fault in (line.hold, line.swallow):
                    await load.reached(40)
                    drill.fault(f"Redis {fault.__name__} {way}")
                    fault(way)
                    await asyncio.sleep(6)
                    await drill.converged()
                    line.heal()
                    await healed(drill, load)
            await ended(drill, f"one way to Redis ({way})")


# --- the line between a device and its node ------------------------------------------------------


@pytest.mark.parametrize("way", ["up", "down", "both"])
async def test_one_way_loss_between_a_phone_and_its_node(
    servers: tuple[str, str], wechat_standin: str, tmp_path: Path, way: str
) -> None:
    """Held is what TCP makes of lost packets, swallowed is what a half-open connection looks like."""
    async with ordinary(servers, wechat_standin, tmp_path) as drill:
        line = await drill.proxy(drill.nodes[0].port)
        other = await drill.proxy(drill.nodes[1].port)
        async with loaded(drill) as load:
            _, phone, tablet = load.phones[0]
            for device, node, proxy in ((phone, drill.nodes[0], line), (tablet, drill.nodes[1], other)):
                drill.place(device.name, node, proxy)
                await device.drop()
            for fault in ("hold", "swallow"):
                for proxy, seconds in ((line, 2), (other, 12)):
                    await load.reached(20)
                    drill.fault(f"{fault} {way} for {seconds} s")
                    ways = ("up", "down") if way == "both" else (way,)
                    getattr(proxy, fault)(*ways)
                    await asyncio.sleep(seconds)
                    proxy.heal()
                    await healed(drill, load)
            await load.stop()
            await ended(drill, f"one-way loss ({way})")


async def test_everybody_reconnects_at_once_again_and_again(
    servers: tuple[str, str], wechat_standin: str, tmp_path: Path
) -> None:
    chance = random.Random(5)
    async with ordinary(servers, wechat_standin, tmp_path) as drill:
        lines = [await drill.proxy(node.port) for node in drill.nodes]
        async with loaded(drill, consultations=3) as load:
            for _ in range(8):
                await load.reached(20)
                drill.fault("every connection reset, every device to the other node")
                for device in drill.devices:
                    number = chance.randrange(2)
                    drill.place(device.name, drill.nodes[number], lines[number])
                await asyncio.gather(*(device.drop() for device in drill.devices))
                await drill.converged()
            await load.stop()
            await ended(drill, "reconnecting")


async def test_slow_and_frozen_readers_hold_up_nobody(
    servers: tuple[str, str], wechat_standin: str, tmp_path: Path
) -> None:
    async with ordinary(servers, wechat_standin, tmp_path) as drill:
        line = await drill.proxy(drill.nodes[0].port)
        async with loaded(drill) as load:
            slow = await drill.join("slow desk", drill.clerk, drill.nodes[0], via=line)
            frozen = await drill.join("frozen desk", drill.clerk, drill.nodes[1])
            drill.fault("a desk reads 2,000 bytes a second, another nothing")
            line.slow(2_000)
            frozen.freeze()
            drill.devices.remove(slow)  # is not expected to be up to date meanwhile
            until = time.monotonic() + 25
            while time.monotonic() < until:
                await load.reached(50)
                await drill.converged()  # the others are not held up
            drill.devices.append(slow)
            line.heal()
            frozen.thaw()
            # both are far behind, and may have been closed: they come back by themselves
            assert await drill.converged(within=30) < 30
            await load.stop()
            await ended(drill, "slow and frozen readers")


# --- the database --------------------------------------------------------------------------------


async def test_the_primary_is_killed_steps_down_and_falls_silent(
    servers: tuple[str, str], wechat_standin: str, tmp_path: Path, replica_set: ReplicaSet
) -> None:
    async with system(tmp_path, mongo_url=replica_set.url, redis_url=servers[1], standin=wechat_standin) as drill:
        async with loaded(drill) as load:
            for _ in range(2):
                await load.reached(60)
                drill.fault("kill -9 of the primary")
                dead = await asyncio.to_thread(replica_set.kill_primary)
                await asyncio.to_thread(replica_set.wait_for_primary, dead)
                await load.reached(30)
                await asyncio.to_thread(dead.start)
                await asyncio.to_thread(replica_set.wait_whole)
                await healed(drill, load)
                drill.fault("the primary steps down")
                before = await asyncio.to_thread(replica_set.step_down)
                await asyncio.to_thread(replica_set.wait_for_primary, before)
                await load.reached(30)
                await asyncio.to_thread(replica_set.wait_whole)
                await healed(drill, load)
                drill.fault("SIGSTOP of the primary")
                silent = await asyncio.to_thread(replica_set.wait_for_primary)
                silent.freeze()
                others = [member for member in replica_set.members if member is not silent]
                await asyncio.to_thread(_elected, others)
                await asyncio.sleep(2)
                silent.thaw()
                await asyncio.to_thread(replica_set.wait_whole)
                await load.reached(30)
                await healed(drill, load)
        await ended(drill, "the primary")


async def test_the_only_database_is_stopped_and_killed(
    servers: tuple[str, str], wechat_standin: str, tmp_path: Path
) -> None:
    """A set of one member: SIGSTOP of mongod, then kill -9 and a start."""
    alone = ReplicaSet(tmp_path, size=1)
    await asyncio.to_thread(alone.start)
    try:
        async with system(tmp_path, mongo_url=alone.url, redis_url=servers[1], standin=wechat_standin) as drill:
            async with loaded(drill) as load:
                member = alone.members[0]
                for seconds in (1, 5):
                    await load.reached(40)
                    drill.fault(f"SIGSTOP of mongod for {seconds} s")
                    member.freeze()
                    await asyncio.sleep(seconds)
                    member.thaw()
                    await load.reached(20)
                    await healed(drill, load)
                for _ in range(3):
                    drill.fault("kill -9 of mongod")
                    await asyncio.to_thread(member.kill)
                    await asyncio.to_thread(member.start)
                    await asyncio.to_thread(alone.wait_whole)
                    await load.reached(20)
                    await healed(drill, load)
            await ended(drill, "the only database")
    finally:
        for member in alone.members:
            member.thaw()
        await asyncio.to_thread(alone.stop)


def _elected(members: Sequence[Member]) -> None:
    wait_until(lambda: any(member.is_primary for member in members), "another primary", 60)
