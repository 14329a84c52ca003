"""Drills of whole systems: one fault after the other, everybody talking, judged at the end."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from backend.integrations.clock import WarpedClock
from tests.cluster.stores import Member, Redis, ReplicaSet
from tests.drills.load import loaded
from tests.drills.proxy import Direction, Proxy
from tests.drills.system import PATIENCE, Begin
from tests.embedded.machine import wait_until

pytestmark = [pytest.mark.drill, pytest.mark.timeout(900)]


# --- nodes ---------------------------------------------------------------------------------------


async def test_nodes_killed_again_and_again(begin: Begin) -> None:
    chance = random.Random(1)
    async with begin() as drill, loaded(drill) as load:
        for number in range(3):
            node = drill.nodes[number % 2]
            await load.reached(chance.randint(10, 120))
            drill.fault(f"kill -9 of {node.name}")
            await node.die()
            await asyncio.sleep(chance.uniform(0, 1))
            await node.up()
            await load.healed()
        await load.stop()
        await drill.ended("nodes killed")


async def test_both_nodes_killed_at_once(begin: Begin) -> None:
    """Both ends come back at once: every device and every node."""
    async with begin() as drill, loaded(drill) as load:
        for _ in range(2):
            await load.reached(60)
            drill.fault("kill -9 of both nodes")
            await asyncio.gather(*(node.die() for node in drill.nodes))
            await asyncio.gather(*(node.up() for node in drill.nodes))
            await load.healed()
        await load.stop()
        await drill.ended("both nodes killed")


async def test_nodes_stopped_in_the_middle(begin: Begin) -> None:
    """SIGSTOP for short, and for longer than clients wait for an answer."""
    async with begin() as drill, loaded(drill) as load:
        for number, seconds in enumerate((0.5, 3, 12)):
            node = drill.nodes[number % 2]
            await load.reached(50)
            drill.fault(f"SIGSTOP of {node.name} for {seconds} s")
            node.freeze()
            await asyncio.sleep(seconds)
            node.thaw()
            await load.healed()
        await load.stop()
        await drill.ended("nodes stopped")


async def test_a_node_killed_between_commit_and_acknowledgement(begin: Begin) -> None:
    """The acknowledgement is held on the line until the operation is in the log; then the node dies."""
    async with begin() as drill:
        node, other = drill.nodes
        line = await drill.proxy(node.port)
        person = await drill.citizen("mei")
        phone = await drill.join("phone", person, node, via=line)
        await drill.join("tablet", person, other)
        await drill.join("desk", drill.clerk, other)
        conv = await phone.open("咨询", matter_id=drill.office.matter.id)
        drill.convs.append(conv)
        for round_ in range(2):
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
        await drill.ended("killed between commit and acknowledgement")


async def test_clocks_that_jump_and_differ(begin: Begin, tmp_path: Path) -> None:
    async with begin() as drill, loaded(drill) as load:
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
        await load.healed(more=150)
        await load.stop()
        await drill.ended("clocks")


# --- Redis ---------------------------------------------------------------------------------------


async def test_redis_stopped_restarted_empty_and_silent(begin: Begin, own_redis: Redis) -> None:
    async with begin(redis_url=own_redis.url) as drill:
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
                await load.healed()
            for seconds in (2, 8):
                drill.fault(f"SIGSTOP of Redis for {seconds} s")
                own_redis.freeze()
                await asyncio.sleep(seconds)
                own_redis.thaw()
                await load.healed()
        await drill.ended("Redis")


@pytest.mark.parametrize("way", ["up", "down"])
async def test_one_direction_to_redis_is_lost(begin: Begin, own_redis: Redis, way: Direction) -> None:
    async with Proxy(own_redis.port) as line:
        theirs = f"redis://127.0.0.1:{line.port}/0"
        async with begin(redis_url=own_redis.url, redis_of_nodes=theirs) as drill:
            async with loaded(drill) as load:
                for fault in (line.hold, line.swallow):
                    await load.reached(40)
                    drill.fault(f"Redis {fault.__name__} {way}")
                    fault(way)
                    await asyncio.sleep(6)
                    await drill.converged()
                    line.heal()
                    await load.healed()
            await drill.ended(f"one way to Redis ({way})")


# --- the line between a device and its node ------------------------------------------------------


@pytest.mark.parametrize("way", ["up", "down", "both"])
async def test_one_way_loss_between_a_phone_and_its_node(begin: Begin, way: str) -> None:
    """Held is what TCP makes of lost packets, swallowed is what a half-open connection looks like."""
    async with begin() as drill:
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
                    await load.healed()
            await load.stop()
            await drill.ended(f"one-way loss ({way})")


async def test_everybody_reconnects_at_once_again_and_again(begin: Begin) -> None:
    chance = random.Random(5)
    async with begin() as drill:
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
            await drill.ended("reconnecting")


async def test_slow_and_frozen_readers_hold_up_nobody(begin: Begin) -> None:
    async with begin() as drill:
        line = await drill.proxy(drill.nodes[0].port)
        async with loaded(drill) as load:
            slow = await drill.join("slow desk", drill.clerk, drill.nodes[0], via=line)
            frozen = await drill.join("frozen desk", drill.clerk, drill.nodes[1])
            drill.fault("a desk reads 2,000 bytes a second, another nothing")
            line.slow(2_000)
            frozen.freeze()
            drill.devices.remove(slow)  # is not expected to be up to date meanwhile
            until = time.monotonic() + 15
            while time.monotonic() < until:
                await load.reached(50)
                await drill.converged()  # the others are not held up
            drill.devices.append(slow)
            line.heal()
            frozen.thaw()
            # both are far behind, and may have been closed: they come back by themselves
            assert await drill.converged(within=30) < 30
            await load.stop()
            await drill.ended("slow and frozen readers")


# --- the database --------------------------------------------------------------------------------


async def test_the_primary_is_killed_steps_down_and_falls_silent(begin: Begin, replica_set: ReplicaSet) -> None:
    async with begin(mongo_url=replica_set.url) as drill:
        async with loaded(drill) as load:
            await load.reached(60)
            drill.fault("kill -9 of the primary")
            dead = await asyncio.to_thread(replica_set.kill_primary)
            await asyncio.to_thread(replica_set.wait_for_primary, dead)
            await load.reached(30)
            await asyncio.to_thread(dead.start)
            await asyncio.to_thread(replica_set.wait_whole)
            await load.healed()
            drill.fault("the primary steps down")
            before = await asyncio.to_thread(replica_set.step_down)
            await asyncio.to_thread(replica_set.wait_for_primary, before)
            await load.reached(30)
            await asyncio.to_thread(replica_set.wait_whole)
            await load.healed()
            drill.fault("SIGSTOP of the primary")
            silent = await asyncio.to_thread(replica_set.wait_for_primary)
            silent.freeze()
            others = [member for member in replica_set.members if member is not silent]
            await asyncio.to_thread(_elected, others)
            await asyncio.sleep(2)
            silent.thaw()
            await asyncio.to_thread(replica_set.wait_whole)
            await load.reached(30)
            await load.healed()
        await drill.ended("the primary")


@pytest.mark.parametrize("replica_set", [1], indirect=True, ids=["alone"])
async def test_the_only_database_is_stopped_and_killed(begin: Begin, replica_set: ReplicaSet) -> None:
    """A set of one member: SIGSTOP of mongod, then kill -9 and a start."""
    member = replica_set.members[0]
    async with begin(mongo_url=replica_set.url) as drill:
        async with loaded(drill) as load:
            for seconds in (1, 5):
                await load.reached(40)
                drill.fault(f"SIGSTOP of mongod for {seconds} s")
                member.freeze()
                await asyncio.sleep(seconds)
                member.thaw()
                await load.reached(20)
                await load.healed()
            for _ in range(2):
                drill.fault("kill -9 of mongod")
                await asyncio.to_thread(member.kill)
                await asyncio.to_thread(member.start)
                await asyncio.to_thread(replica_set.wait_whole)
                await load.reached(20)
                await load.healed()
        await drill.ended("the only database")


def _elected(members: Sequence[Member]) -> None:
    wait_until(lambda: any(member.is_primary for member in members), "another primary", 60)
