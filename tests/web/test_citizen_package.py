"""The modules of the citizen's client that need no page, tested where they live: web/citizen/tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

WEB = Path(__file__).parents[2] / "web"
#: Seconds; the run itself takes a few.
PATIENCE = 120


@pytest.mark.timeout(PATIENCE + 30)
def test_drafts_dates_and_what_stays_on_the_phone() -> None:
    npx = shutil.which("npx")
    if npx is None or not (WEB / "node_modules" / "vitest").is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail("web/node_modules is missing: npm ci in web/")
        pytest.skip("web/node_modules is not there: npm ci in web/")
    ran = subprocess.run(
        [npx, "vitest", "run"],
        cwd=WEB / "citizen",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ran.returncode == 0, (ran.stdout + ran.stderr)[-8000:]
