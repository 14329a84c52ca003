"""`run.py restart` on one host without a balancer: nobody who talks or asks meanwhile notices more than a reconnect."""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.deployment import Deployment
from tests.cluster.nodes import ServeNode
from tests.cluster.processes import ROOT
from tests.cluster.restarting import talk_through_restarts
from tests.embedded.machine import processes_below


@pytest.fixture
def host(deployment: Deployment, tmp_path: Path) -> Iterator[ServeNode]:
    """A host with two server processes and nothing before it."""
    environment = {**deployment.nodes[0].environment, "BANSHI_DRAIN_SECONDS": "1"}
    environment["BANSHI_ENV_FILE"] = str(tmp_path / "settings.env")
    (tmp_path / "settings.env").touch()
    node = ServeNode("host", tmp_path / "host", environment, workers=2)
    node.warp(deployment.ahead)
    try:
        node.start(120)
        yield node
    finally:
        node.kill()


def restart(node: ServeNode) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "run.py"), "restart"],
        # the running system has settings of its own, in a file
        env={name: value for name, value in node._environment().items() if name != "BANSHI_ENV_FILE"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


def processes(node: ServeNode) -> set[int]:
    """Its server processes and its worker."""
    kinds = ("backend.commands.server_process", "backend.commands.worker_process")
    return {int(line.split()[0]) for line in processes_below(node.var) if any(kind in line for kind in kinds)}


def descriptors(pid: int) -> tuple[int, int]:
    return resource.prlimit(pid, resource.RLIMIT_NOFILE)


@pytest.mark.timeout(600)
async def test_processes_are_replaced_under_load_and_nothing_is_lost_doubled_or_refused(
    deployment: Deployment, host: ServeNode
) -> None:
    before = processes(host)
    assert len(before) == 3
    assert host.pid
    _, hard = descriptors(host.pid)
    most = min(hard, 262_144)
    resource.prlimit(host.pid, resource.RLIMIT_NOFILE, (most // 2, hard))  # a login shell's is low

    async def replace(node: ServeNode) -> None:
        done = await asyncio.to_thread(restart, node)
        assert done.returncode == 0, done.stdout + done.stderr + node.last_words()

    counted = await talk_through_restarts(deployment, host, replace, [host])
    after = processes(host)
    assert len(after) == 3
    assert not before & after
    assert host.pid  # the first process is the same
    names = {file.stem for file in (host.var / "metrics").iterdir()}
    assert names == {"server-1", "server-2", "worker"}  # who went took nobody's figures along
    for pid in host.servers():
        assert descriptors(pid) == (most, hard)
    assert counted.told >= 2, str(counted)  # who was on a process that went was told, and nobody was just cut off
    counted.check_told()
    assert counted.messages > 50, str(counted)
    assert counted.requests > 20, str(counted)

    # A release that cannot start changes nothing.
    Path(host.environment["BANSHI_ENV_FILE"]).write_text("BANSHI_PHOTO_WORKERS=many\n")
    done = await asyncio.to_thread(restart, host)
    assert done.returncode == 1
    assert "the new server-1 ended" in done.stderr, done.stderr
    assert processes(host) == after
    assert host.ready
    assert json.loads((host.var / "run.json").read_text())["restarts"] == 2
