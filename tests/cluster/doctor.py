"""`run.py doctor --canary` against a running deployment."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.cluster.deployment import Deployment
from tests.cluster.processes import ROOT

Findings = list[dict[str, Any]]


def doctor(deployment: Deployment, first: str, second: str) -> tuple[int, Findings]:
    """Its exit code and findings, with one side of the canary at each address."""
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
    """What went wrong, by check."""
    return {f["check"]: f["detail"] for f in findings if f["verdict"] == "failed"}
