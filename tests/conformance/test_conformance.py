"""Both clients, the browser's and the Python one, behave alike in every scenario, and as the server's log says."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import pytest

from tests.conformance.drivers import Host, PythonHost, TypeScriptHost
from tests.conformance.scenarios import LONG, QUICK, Scenario
from tests.conformance.stage import Stage, World, comparable

#: These stop the server, so that nothing else may go on meanwhile.
ALONE = {"another_epoch_begins_anew_and_keeps_what_was_typed"}

#: Seconds of a scenario on a busy machine, after which it says where it hangs.
LONGEST = 120


async def play(kind: str, host: Host, scenario: Scenario, world: World) -> str:
    name = f"citizen-{uuid.uuid4().hex[:12]}"
    stage = Stage(kind, host, world, await world.command("citizen", name))
    async with asyncio.timeout(LONGEST):
        try:
            await scenario(stage)
        finally:
            await stage.close()
    return comparable(stage.record)


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.drill) for name in LONG)])
async def test_both_clients_behave_alike(name: str, world: World, node_port: int, tmp_path: Path) -> None:
    scenario = (QUICK | LONG)[name]
    runs = [
        play("typescript", TypeScriptHost(node_port), scenario, world),
        play("python", PythonHost(tmp_path), scenario, world),
    ]
    typescript, python = [await run for run in runs] if name in ALONE else await asyncio.gather(*runs)
    assert typescript == python
