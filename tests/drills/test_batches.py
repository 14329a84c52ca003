"""What happens to a batch on its way to the database: the primary steps down, or it arrives far too late."""

from __future__ import annotations

import asyncio
import re

import pytest

from backend.storage.consultations import OPS
from tests.cluster.stores import ReplicaSet
from tests.drills.load import loaded
from tests.drills.proxy import Proxy
from tests.drills.system import PATIENCE, Begin

pytestmark = [pytest.mark.drill, pytest.mark.timeout(300)]


async def test_the_primary_steps_down_in_the_middle_of_a_batch(begin: Begin, replica_set: ReplicaSet) -> None:
    """As much as eight in flight from every device gives; stepping down kills the batch that is under way."""
    async with begin(mongo_url=replica_set.url) as drill:
        async with loaded(drill, pause=0.002) as load:
            for _ in range(3):
                await load.reached(100)
                drill.fault("the primary steps down in the middle of a batch")
                before = await asyncio.to_thread(replica_set.step_down, 4)
                await asyncio.to_thread(replica_set.wait_for_primary, before)
                await load.reached(50)
                await drill.converged()
                await asyncio.to_thread(replica_set.wait_whole)
            await load.stop()
        await drill.ended("step-down in the middle of a batch")


@pytest.mark.parametrize("later", ["before it is sent again", "after it was sent again"])
async def test_an_insert_arrives_after_its_node_died(begin: Begin, servers: tuple[str, str], later: str) -> None:
    """A packet that the network kept: its node is dead, its sender sends again through the other node."""
    port = re.search(r":(\d+)/", servers[0])
    assert port
    async with Proxy(int(port[1])) as line:
        theirs = f"mongodb://127.0.0.1:{line.port}/?directConnection=true"
        async with begin(mongo_of_first=theirs) as drill:
            node, other = drill.nodes
            person = await drill.citizen("mei")
            phone = await drill.join("phone", person, node)
            tablet = await drill.join("tablet", person, other)
            await drill.join("desk", drill.clerk, other)
            conv = await phone.open("咨询", matter_id=drill.office.matter.id)
            drill.convs.append(conv)
            for round_ in range(2):
                await asyncio.wait_for(asyncio.gather(*(phone.say(conv, f"先 {i}").answer for i in range(4))), PATIENCE)
                line.strand()
                items = [phone.say(conv, f"第{round_}轮第{i}句") for i in range(8)]
                async with asyncio.timeout(PATIENCE):
                    while not any(b"insert" in said and OPS.encode() in said for said in line.stranded):
                        await asyncio.sleep(0.01)
                drill.fault(f"kill -9 of {node.name}; what it wrote arrives {later}")
                await node.die()
                if later == "before it is sent again":
                    line.deliver()
                drill.place("phone", other)
                await asyncio.wait_for(tablet.say(conv, f"第{round_}轮平板").answer, PATIENCE)
                await asyncio.wait_for(asyncio.gather(*(item.answer for item in items)), PATIENCE)
                line.deliver()
                await drill.converged()
                await node.up()
                drill.place("phone", node)
                await phone.drop()
                async with asyncio.timeout(PATIENCE):
                    await phone.online.wait()
            await drill.ended(f"an insert that arrives {later}")
