"""The consultation client of the pages, tested where it lives: web/packages/chat, against the real server."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

WEB = Path(__file__).parents[2] / "web"
#: Seconds; the run itself takes well under a minute.
PATIENCE = 400


@pytest.mark.timeout(PATIENCE + 30)
def test_the_chat_client_holds_against_the_real_server(servers: tuple[str, str]) -> None:
    npx = shutil.which("npx")
    if npx is None or not (WEB / "node_modules" / "vitest").is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail("web/node_modules is missing: npm ci in web/")
        pytest.skip("web/node_modules is not there: npm ci in web/")
    mongo, redis = servers
    running = subprocess.Popen(
        [npx, "vitest", "run", "--bail", "1"],
        cwd=WEB / "packages" / "chat",
        env=os.environ | {"MONGO_URL": mongo, "REDIS_URL": redis, "BANSHI_PYTHON": sys.executable},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = running.communicate(timeout=PATIENCE)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)  # whatever it started and did not end
    assert running.returncode == 0, output[-8000:]
