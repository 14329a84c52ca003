"""The consultation client of the pages, tested where it lives: web/packages/chat, against the real server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from backend.commands.build_web import WEB, install
from backend.commands.errors import CommandError
from tests.browser.conftest import unavailable

#: Seconds; the run itself takes well under a minute.
PATIENCE = 400
INSTALLING = 300


@pytest.mark.timeout(PATIENCE + INSTALLING)
def test_the_chat_client_holds_against_the_real_server(servers: tuple[str, str]) -> None:
    try:
        node = install()
    except CommandError as error:
        unavailable(f"the client's packages cannot be installed: {error}")
    mongo, redis = servers
    running = subprocess.Popen(
        [*node.npm, "test", "--", "--bail", "1"],
        cwd=WEB / "packages" / "chat",
        env=os.environ | node.environment | {"MONGO_URL": mongo, "REDIS_URL": redis, "BANSHI_PYTHON": sys.executable},
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
