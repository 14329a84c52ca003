"""`run.py doctor --canary` against a running deployment: well, and with trouble planted."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from datetime import timedelta
from typing import Any

from backend.composition import open_services
from tests.cluster.deployment import Deployment
from tests.cluster.processes import ROOT

Findings = list[dict[str, Any]]


def doctor(deployment: Deployment) -> tuple[int, Findings]:
    """Its exit code and findings, with one side of the canary on each host."""
    first, second = (node.url for node in deployment.nodes[:2])
    done = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), "doctor", "--json", "--canary", "--via", first, "--via", second],
        env={**deployment.nodes[0]._environment(), "BANSHI_VAR": str(deployment.folder / "beside")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.startswith("{"), done.stdout + done.stderr
    return done.returncode, json.loads(done.stdout)["findings"]


def failed(findings: Findings) -> dict[str, str]:
    return {f["check"]: f["detail"] for f in findings if f["verdict"] == "failed"}


async def test_a_deployment_that_is_well_passes_and_keeps_nothing_of_the_canary(deployment: Deployment) -> None:
    await asyncio.to_thread(deployment.replica_set.wait_whole)
    code, findings = await asyncio.to_thread(doctor, deployment)
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


async def test_planted_trouble_is_found_in_plain_words(deployment: Deployment) -> None:
    """Redis is silent, one member of the set is dead, one host's clock is wrong."""
    second, members = deployment.nodes[1], deployment.replica_set
    dead = members.secondaries()[0]
    await asyncio.to_thread(dead.kill)
    deployment.redis.kill()
    second.warp(deployment.ahead + timedelta(seconds=90))
    try:
        code, findings = await asyncio.to_thread(doctor, deployment)
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
