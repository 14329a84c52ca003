"""`run.py doctor --canary` finds what is wrong with a deployment, and says it in plain words."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from tests.cluster.deployment import Deployment
from tests.cluster.doctor import doctor, failed
from tests.cluster.nodes import ServeNode
from tests.cluster.stores import Redis

pytestmark = [pytest.mark.drill, pytest.mark.timeout(600)]

_OTHER_VERSION = """
import backend.version, runpy, sys
backend.version.VERSION = "0.0.1"
sys.argv = ["node", sys.argv[1]]
runpy.run_module("tests.drills.node", run_name="__main__")
"""


class OtherRelease(ServeNode):
    """A node whose release has another number."""

    def _command(self) -> Sequence[str]:
        return (sys.executable, "-c", _OTHER_VERSION, str(self.port))

    def _is_ready(self) -> bool:
        return self.ready


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with Deployment(tmp_path_factory.mktemp("deployment"), nodes=2) as running:
        yield running


async def test_planted_trouble_is_found_in_plain_words(deployment: Deployment) -> None:
    """Redis is silent, one member of the set is dead, one host's clock is wrong."""
    second, members = deployment.nodes[1], deployment.replica_set
    dead = members.secondaries()[0]
    await asyncio.to_thread(dead.kill)
    deployment.redis.kill()
    second.warp(deployment.ahead + timedelta(seconds=90))
    try:
        code, findings = await asyncio.to_thread(doctor, deployment, *(node.url for node in deployment.nodes))
    finally:
        second.warp(deployment.ahead)
        await asyncio.to_thread(deployment.redis.start)
        await asyncio.to_thread(dead.start)
        await asyncio.to_thread(members.wait_whole)
    found = failed(findings)
    assert code == 1
    assert "hints between the nodes are lost" in found["canary hints"], findings
    assert dead.address in found["replica set"], findings
    assert "90." in found["canary clocks"] or "89." in found["canary clocks"], findings
    assert "redis path" in found, findings
    assert not {"canary", "canary messages", "canary reconnect"} & set(found), findings  # nothing is lost by all that


async def test_a_node_of_another_release_on_another_redis_is_found(deployment: Deployment, tmp_path: Path) -> None:
    await asyncio.to_thread(deployment.replica_set.wait_whole)
    first, redis = deployment.nodes[0], Redis("other-redis", tmp_path / "redis")
    odd = OtherRelease("odd", tmp_path / "odd", {**first.environment, "REDIS_URL": redis.url})
    odd.warp(deployment.ahead)
    try:
        await asyncio.to_thread(redis.start)
        await asyncio.to_thread(odd.start, 120)
        code, findings = await asyncio.to_thread(doctor, deployment, first.url, odd.url)
    finally:
        odd.kill()
        redis.kill()
    found = failed(findings)
    assert code == 1
    assert f"{odd.url} runs 0.0.1" in found["version"], findings
    assert "hints between the nodes are lost" in found["canary hints"], findings
    assert set(found) == {"version", "canary hints"}, findings  # nothing else is wrong
