"""The real server as a process of its own, a desk, and the process that hosts the browser's client."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from backend.commands.build_web import WEB, install
from backend.commands.errors import CommandError
from chat.client import ChatClient
from tests.browser.conftest import unavailable
from tests.conformance.stage import World
from tests.web.chat_server import chat_server

for _module in ("play_sending", "play_hearing", "play_connecting", "play_cuts"):
    pytest.register_assert_rewrite(f"tests.conformance.{_module}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is marked as a drill is played by `make drills` alone."""
    if config.option.markexpr:
        return
    long = [item for item in items if item.get_closest_marker("drill") and "conformance" in item.path.parts]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]


@pytest.fixture(scope="session")
def node_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Where `web/packages/chat/tests/driver.ts` listens."""
    try:
        node = install()
    except CommandError as error:
        unavailable(f"the client's packages cannot be installed: {error}")
    bundle = tmp_path_factory.mktemp("driver") / "driver.cjs"
    environment = os.environ | node.environment
    subprocess.run(
        [
            str(WEB / "node_modules" / ".bin" / "esbuild"),
            str(WEB / "packages" / "chat" / "tests" / "driver.ts"),
            *("--bundle", "--platform=node", "--format=cjs", f"--outfile={bundle}", "--log-level=warning"),
        ],
        env=environment,
        check=True,
    )
    running = subprocess.Popen(
        ["node", str(bundle)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert running.stdout is not None
        yield int(running.stdout.readline())
    finally:
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def world(servers: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """The server and the desk of all scenarios."""
    folder: Path = tmp_path_factory.mktemp("conformance")
    async with chat_server(folder, *servers) as server, aiohttp.ClientSession() as http:
        greeting = await server.greet()
        headers = {"Authorization": f"Bearer {greeting['clerk']['token']}"}

        async def ticket() -> str:
            async with http.post(f"{greeting['url']}/api/socket-tickets", headers=headers) as response:
                return str((await response.json())["ticket"])

        clerk = greeting["clerk"]
        desk = ChatClient(greeting["url"], ticket, namespace="/clerk", me=clerk["id"], longest_pause=0.5)
        async with desk:
            yield World(greeting["url"], server.obey, greeting["matter_id"], desk, clerk)
