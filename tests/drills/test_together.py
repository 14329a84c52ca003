"""Everybody talks through the load balancer: it reloads, and everything else breaks, several things at once."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.cluster.balancers import Balancer, Haproxy, Nginx
from tests.cluster.stores import Redis, ReplicaSet
from tests.drills.load import loaded
from tests.drills.system import Begin, System

pytestmark = [pytest.mark.drill, pytest.mark.timeout(600)]

#: Of the drill in which everything breaks at once: how long, and by which numbers.
SECONDS = 90.0
SEED = "BANSHI_DRILL_SEED"

Fault = Callable[[], Awaitable[None]]


@pytest.mark.parametrize("kind", [Haproxy, Nginx])
async def test_the_balancer_reloads_under_load(kind: type[Haproxy] | type[Nginx], begin: Begin, tmp_path: Path) -> None:
    """Sockets are kept, or come back; a node that is marked down gets nobody new."""
    async with begin() as drill:
        balancer = kind(tmp_path / "balancer", [node.port for node in drill.nodes])
        await asyncio.to_thread(balancer.start)
        try:
            async with loaded(drill, at=(balancer, balancer)) as load:
                for number in range(8):
                    await load.reached(30)
                    marked = [[], [drill.nodes[0].port], [], [drill.nodes[1].port]][number % 4]
                    drill.fault(f"the balancer reloads, {len(marked)} marked down")
                    balancer.write(without=marked)
                    await asyncio.to_thread(balancer.reload)
                    for device in random.Random(number).sample(drill.devices, 2):
                        await device.drop()  # comes back through the new configuration
                    await drill.converged()
                await load.stop()
            await drill.ended(f"{balancer.language} reloads")
        finally:
            balancer.kill()


class Breaking:
    """What may break, each healed by itself: three hands that break things at the same time."""

    def __init__(
        self, drill: System, members: ReplicaSet, redis: Redis, balancer: Balancer, chance: random.Random
    ) -> None:
        self.drill = drill
        self.members = members
        self.redis = redis
        self.balancer = balancer
        self.chance = chance

    async def hand(self, faults: list[Fault], until: float) -> None:
        """Break one thing after the other."""
        chance = random.Random(self.chance.random())
        while time.monotonic() < until:
            await chance.choice(faults)()
            await asyncio.sleep(chance.uniform(1, 6))

    def all(self) -> list[list[Fault]]:
        """For each hand what it breaks: nodes, stores, lines."""
        return [
            [self.kill_node, self.stop_node],
            [self.kill_primary, self.step_down, self.stop_primary],
            [self.empty_redis, self.stop_redis, self.reload, self.reset],
        ]

    async def kill_node(self) -> None:
        node = self.chance.choice(self.drill.nodes)
        self.drill.fault(f"kill -9 of {node.name}")
        await node.die()
        await node.up()

    async def stop_node(self) -> None:
        node, seconds = self.chance.choice(self.drill.nodes), self.chance.uniform(0.5, 6)
        self.drill.fault(f"SIGSTOP of {node.name} for {seconds:.1f} s")
        node.freeze()
        await asyncio.sleep(seconds)
        node.thaw()

    async def kill_primary(self) -> None:
        self.drill.fault("kill -9 of the primary")
        dead = await asyncio.to_thread(self.members.kill_primary)
        await asyncio.to_thread(self.members.wait_for_primary, dead)
        await asyncio.to_thread(dead.start)
        await asyncio.to_thread(self.members.wait_whole)

    async def step_down(self) -> None:
        self.drill.fault("the primary steps down")
        before = await asyncio.to_thread(self.members.step_down, 4)
        await asyncio.to_thread(self.members.wait_for_primary, before)
        await asyncio.to_thread(self.members.wait_whole)

    async def stop_primary(self) -> None:
        silent, seconds = await asyncio.to_thread(self.members.wait_for_primary), self.chance.uniform(0.5, 5)
        self.drill.fault(f"SIGSTOP of the primary for {seconds:.1f} s")
        silent.freeze()
        await asyncio.sleep(seconds)
        silent.thaw()
        await asyncio.to_thread(self.members.wait_whole)

    async def empty_redis(self) -> None:
        seconds = self.chance.uniform(0, 4)
        self.drill.fault(f"Redis stopped for {seconds:.1f} s, back empty")
        await asyncio.to_thread(self.redis.kill)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(self.redis.start)

    async def stop_redis(self) -> None:
        seconds = self.chance.uniform(0, 4)
        self.drill.fault(f"SIGSTOP of Redis for {seconds:.1f} s")
        self.redis.freeze()
        await asyncio.sleep(seconds)
        self.redis.thaw()

    async def reload(self) -> None:
        self.drill.fault("the balancer reloads")
        await asyncio.to_thread(self.balancer.reload)

    async def reset(self) -> None:
        self.drill.fault("every connection is lost")
        await asyncio.gather(*(device.drop() for device in self.drill.devices))


async def test_everything_breaks_at_once(
    begin: Begin, tmp_path: Path, own_redis: Redis, replica_set: ReplicaSet
) -> None:
    """A minute and a half. To play the same again: `BANSHI_DRILL_SEED=…`."""
    seed = int(os.environ.get(SEED) or random.randrange(10**6))
    print(f"\n{SEED}={seed}")
    async with begin(mongo_url=replica_set.url, redis_url=own_redis.url) as drill:
        balancer = Haproxy(tmp_path / "balancer", [node.port for node in drill.nodes])
        await asyncio.to_thread(balancer.start)
        try:
            async with loaded(drill, at=(balancer, balancer)) as load:
                breaking = Breaking(drill, replica_set, own_redis, balancer, random.Random(seed))
                until = time.monotonic() + SECONDS
                await asyncio.gather(*(breaking.hand(faults, until) for faults in breaking.all()))
                await load.reached(50)  # everybody is there again
                await drill.converged()
                await load.stop()
            await drill.ended(f"everything at once (seed {seed})")
        finally:
            balancer.kill()
