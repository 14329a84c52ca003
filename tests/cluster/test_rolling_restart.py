"""A host is restarted behind haproxy while people talk: nobody loses, repeats or is refused anything."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.cluster.balancers import Haproxy
from tests.cluster.deployment import Deployment
from tests.cluster.restarting import stop_and_start, talk_through_restarts


async def test_a_host_is_restarted_under_load_and_nothing_is_lost_doubled_or_refused(
    deployment: Deployment, tmp_path: Path
) -> None:
    balancer = Haproxy(tmp_path / "balancer", [node.port for node in deployment.nodes])
    try:
        await asyncio.to_thread(balancer.start)
        counted = await talk_through_restarts(deployment, balancer, stop_and_start, deployment.nodes[:1])
    finally:
        balancer.kill()
    assert counted["reconnections"] > 0, counted  # there were sockets on the host
    assert counted["messages"] > 50, counted
    assert counted["requests"] > 20, counted
