"""The most telling drill, short enough for every run of the tests."""

from __future__ import annotations

from tests.drills.load import loaded
from tests.drills.system import Begin


async def test_a_node_is_killed_and_stopped_while_everybody_talks(begin: Begin) -> None:
    async with begin(processes=1) as drill:
        async with loaded(drill, consultations=1, pause=0.1) as load:
            await load.reached(40)
            drill.fault("kill -9 of node 1")
            await drill.nodes[0].die()
            await load.reached(20)
            await drill.nodes[0].up()
            drill.fault("SIGSTOP of node 1")
            drill.nodes[0].freeze()
            await load.reached(30)
            drill.nodes[0].thaw()
            await load.reached(50)
        await drill.ended("killed and frozen")
