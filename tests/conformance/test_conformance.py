"""Both clients, the browser's and the Python one, behave alike in every scenario, and as the server's log says."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import pytest

from tests.conformance import play_connecting, play_cuts, play_hearing, play_sending  # noqa: F401 - they register
from tests.conformance.drivers import Host, PythonHost, TypeScriptHost
from tests.conformance.scenarios import SCENARIOS, SHORT, Scenario
from tests.conformance.stage import Meeting, Stage, World, comparable

#: Seconds of a scenario on a busy machine, after which it says where it hangs.
LONGEST = 120

pytestmark = pytest.mark.timeout(600)


async def play(kind: str, host: Host, scenario: Scenario, world: World, meeting: Meeting) -> str:
    name = f"citizen-{uuid.uuid4().hex[:12]}"
    stage = Stage(kind, meeting, host, world, await world.command("citizen", name))
    async with asyncio.timeout(LONGEST):
        try:
            await scenario(stage)
        finally:
            await stage.close()
    return comparable(stage.record)


async def play_both(scenario: Scenario, world: World, node_port: int, folder: Path) -> None:
    """Both clients at once; what both show and say must be the same."""
    folder.mkdir(exist_ok=True)
    meeting = Meeting(2)
    typescript, python = await asyncio.gather(
        play("typescript", TypeScriptHost(node_port), scenario, world, meeting),
        play("python", PythonHost(folder), scenario, world, meeting),
        return_exceptions=True,
    )
    wrong = [each for each in (typescript, python) if isinstance(each, BaseException)]
    if wrong:
        raise BaseExceptionGroup(scenario.__name__, wrong)
    assert typescript == python


@pytest.mark.asyncio(loop_scope="session")
async def test_both_clients_behave_alike(world: World, node_port: int, tmp_path: Path) -> None:
    """One test, so that one server is enough wherever the tests are spread over processes."""
    for name, scenario in SHORT.items():
        try:
            await play_both(scenario, world, node_port, tmp_path / name)
        except AssertionError as error:
            error.add_note(name)
            raise


@pytest.mark.drill
@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("name", SCENARIOS)
async def test_both_clients_behave_alike_in(name: str, world: World, node_port: int, tmp_path: Path) -> None:
    await play_both(SCENARIOS[name], world, node_port, tmp_path)
