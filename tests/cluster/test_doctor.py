"""`run.py doctor --canary` against a deployment that is well; with trouble planted: tests/drills/test_doctor.py."""

from __future__ import annotations

import asyncio

from backend.composition import open_services
from tests.cluster.deployment import Deployment
from tests.cluster.doctor import doctor, failed


async def test_a_deployment_that_is_well_passes_and_keeps_nothing_of_the_canary(deployment: Deployment) -> None:
    await asyncio.to_thread(deployment.replica_set.wait_whole)
    code, findings = await asyncio.to_thread(doctor, deployment, *(node.url for node in deployment.nodes))
    assert (code, failed(findings)) == (0, {}), findings
    said = {f["check"]: f["detail"] for f in findings}
    assert "two processes" in said["canary sockets"], said
    steps = {"canary messages", "canary hints", "canary edit", "canary recall", "canary receipt", "canary reconnect"}
    assert steps <= set(said), said
    assert len([f for f in findings if f["check"] == "replica set"]) == 3
    async with open_services(deployment.settings, upgrade=False) as services:
        for name in sorted(await services.database.collections()):
            marked = {
                "$or": [{"canary": True}, {"subject": "系统自检"}, {"sender.name": "系统自检"}, {"name": "系统自检"}]
            }
            assert await services.database[name].count_documents(marked) == 0, name
