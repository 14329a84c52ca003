"""The consultation client of the pages, tested where it lives: web/packages/chat, against the real server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

WEB = Path(__file__).parents[2] / "web"
#: Seconds; the run itself takes well under a minute.
PATIENCE = 300


def test_the_chat_client_holds_against_the_real_server(servers: tuple[str, str]) -> None:
    npx = shutil.which("npx")
    if npx is None or not (WEB / "node_modules" / "vitest").is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail("web/node_modules is missing: npm ci in web/")
        pytest.skip("web/node_modules is not there: npm ci in web/")
    mongo, redis = servers
    done = subprocess.run(
        [npx, "vitest", "run"],
        cwd=WEB / "packages" / "chat",
        env=os.environ | {"MONGO_URL": mongo, "REDIS_URL": redis, "BANSHI_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-8000:]
