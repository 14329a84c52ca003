"""The stand-in as a process: its address, its state file, its end."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).parents[2]


async def start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "backend.wechat_standin",
        *arguments,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@asynccontextmanager
async def running(state: Path, end: signal.Signals) -> AsyncIterator[str]:
    process = await start("--port", "0", "--state", str(state))
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 20)
    try:
        yield line.decode().split()[-1]
    finally:
        process.send_signal(end)
        status = await asyncio.wait_for(process.wait(), 10)
    assert status == (0 if end is signal.SIGTERM else -end)


async def create(http: aiohttp.ClientSession, url: str, user_id: str) -> dict[str, Any]:
    async with http.post(f"{url}/standin/users", json={"id": user_id, "name": "方大同"}) as response:
        return dict(await response.json())


async def test_users_outlive_restarts_and_kills(tmp_path: Path) -> None:
    state = tmp_path / "deep" / "standin.json"
    async with aiohttp.ClientSession() as http:
        async with running(state, signal.SIGKILL) as url:
            made = await asyncio.gather(*(create(http, url, f"user-{number}") for number in range(30)))
        async with running(state, signal.SIGTERM) as url, http.get(f"{url}/standin/users") as response:
            kept = {user["id"]: user for user in (await response.json())["users"]}
    assert [kept[user["id"]] for user in made] == made
    assert "lin-guilan" in kept
    assert [path.name for path in state.parent.iterdir()] == ["standin.json"]


async def test_it_cannot_start_in_one_clear_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    strange = tmp_path / "strange.json"
    strange.write_text(json.dumps({"users": [{"id": "x", "colour": "red"}]}))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for arguments in (
            ("--port", "0", "--state", str(broken)),
            ("--port", "0", "--state", str(strange)),
            ("--port", "0", "--state", "/proc/nowhere/standin.json"),
            ("--port", str(taken.getsockname()[1])),
        ):
            process = await start(*arguments)
            output, errors = await asyncio.wait_for(process.communicate(), 20)
            assert process.returncode == 1
            assert output == b""
            assert len(errors.decode().splitlines()) == 1
