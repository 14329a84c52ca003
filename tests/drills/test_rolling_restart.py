"""Hosts are restarted while people talk: behind haproxy every one twice, behind nginx every one once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.balancers import Haproxy, Nginx
from tests.cluster.deployment import Deployment
from tests.cluster.nodes import ServeNode
from tests.cluster.restarting import stop_and_start, talk_through_restarts
from tests.drills.results import Figures, note

LOAD: dict[str, Any] = {"talks": 6, "pause": 0.1}


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    # one for each test: a desk fetches all that was said in its bureau, also in the test before
    with Deployment(tmp_path / "deployment", nodes=2, workers=2, BANSHI_DRAIN_SECONDS="4") as running:
        yield running


@pytest.mark.drill
@pytest.mark.timeout(600)
async def test_every_host_is_restarted_behind_haproxy(deployment: Deployment, tmp_path: Path) -> None:
    balancer = Haproxy(tmp_path / "balancer", [node.port for node in deployment.nodes])
    try:
        await asyncio.to_thread(balancer.start)
        counted = await talk_through_restarts(deployment, balancer, stop_and_start, deployment.nodes * 2, **LOAD)
    finally:
        balancer.kill()
    note(Figures("hosts restarted behind haproxy", counted.messages, counted.messages, faults=4))
    print(counted)
    assert counted.reconnections >= 10, str(counted)
    counted.check_told()  # without BANSHI_DRAIN_SECONDS they are cut off


@pytest.mark.drill
@pytest.mark.timeout(600)
async def test_every_host_is_restarted_behind_nginx_marked_down(deployment: Deployment, tmp_path: Path) -> None:
    balancer = Nginx(tmp_path / "balancer", [node.port for node in deployment.nodes])

    async def restart(node: ServeNode) -> None:
        balancer.write(without=[node.port])
        await asyncio.to_thread(balancer.reload)
        await stop_and_start(node)
        balancer.write()
        await asyncio.to_thread(balancer.reload)

    try:
        await asyncio.to_thread(balancer.start)
        # a reload closes the connections that clients keep, whatever is just coming over them: see the document
        counted = await talk_through_restarts(deployment, balancer, restart, deployment.nodes, keeps=False, **LOAD)
    finally:
        balancer.kill()
    note(Figures("hosts restarted behind nginx", counted.messages, counted.messages, faults=2))
    print(counted)
    assert counted.reconnections >= 10, str(counted)
    counted.check_told()  # without BANSHI_DRAIN_SECONDS they are cut off
