"""The real server for the tests of `web/packages/chat`: `python -m tests.web.chat_server`.

MongoDB and Redis (those of MONGO_URL and REDIS_URL, else embedded ones), a WeChat stand-in, the small office of
`tests/chat` and one node as a process of its own. Prints one line of JSON when all is there: the node's address
and the people who are logged in. Then it takes one command a line and answers each with one line of JSON:

- `kill`: the node dies (SIGKILL); `start`: it comes back on the same port;
- `citizen NAME`: a citizen is logged in;
- `epoch CONV`: what a restored database would show: the consultation's log has the next epoch.

It ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.test_utils import TestServer

from backend.composition import Services, open_services
from backend.domain.access import SYSTEM, Role
from backend.domain.calendar import SHANGHAI, is_working_day
from backend.domain.ids import new_id
from backend.embedded import EmbeddedMongo, EmbeddedRedis
from backend.services.staff import NewStaff, generate_password
from backend.wechat_standin import create_standin_app
from config.settings import Settings
from tests.chat.conftest import Office, found_office
from tests.chat.test_nodes import NodeProcess
from tests.conftest import set_clock


class ChatServer:
    """What the commands act on."""

    def __init__(self, services: Services, office: Office, node: NodeProcess, standin: str) -> None:
        self._services = services
        self._office = office
        self._node = node
        self._standin = standin

    async def greet(self) -> dict[str, Any]:
        """Where the server is and who works there."""
        return {
            "url": self._node.url,
            "matter_id": self._office.matter.id,
            "post_id": self._office.post.id,
            "clerk": await self._staff(self._office.clerk_id, "王敏"),
            "colleague": await self._staff(self._office.colleague_id, "陈强"),
        }

    async def obey(self, command: str, *words: str) -> dict[str, Any]:
        match command, words:
            case "kill", ():
                await self._node.kill()
            case "start", ():
                await self._node.start()
            case "citizen", (name,):
                return await self._citizen(name)
            case "epoch", (conv,):
                for name in ("consultations", "consultation_ops"):
                    key = "_id" if name == "consultations" else "consultation_id"
                    await self._services.database[name].update_many({key: conv}, {"$inc": {"epoch": 1}})
            case _:
                raise ValueError(command)
        return {}

    async def _citizen(self, name: str) -> dict[str, Any]:
        async with aiohttp.ClientSession() as http:
            async with http.post(f"{self._standin}/standin/users", json={"id": name}) as response:
                assert response.status in (200, 201)
            async with http.post(f"{self._standin}/standin/users/{name}/login-codes") as response:
                code = (await response.json())["code"]
            async with http.post(f"{self._node.url}/api/citizen/login", json={"code": code}) as response:
                found = await response.json()
                assert response.status == 200, found
        return {"id": found["citizen"]["id"], "token": found["access_token"]}

    async def _staff(self, staff_id: str, name: str) -> dict[str, Any]:
        username, password = f"staff-{staff_id[-12:]}", generate_password()
        new = NewStaff(
            id=staff_id,
            username=username,
            name=name,
            roles=frozenset({Role.CLERK}),
            department_id=self._office.bureau.id,
            password=password,
        )
        await self._services.staff.create(SYSTEM, new)
        login = {"username": username, "password": password}
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{self._node.url}/api/staff/login", json=login) as response,
        ):
            found = await response.json()
            assert response.status == 200, found
        return {"id": staff_id, "name": name, "token": found["access_token"]}


def office_hours() -> datetime:
    """10 o'clock of the next working day. Not in the past: the database's own clock is not warped, and it would
    delete sessions that ended long ago while they are used here."""
    day = datetime.now(SHANGHAI).date() + timedelta(days=1)
    while not is_working_day(day).is_working:
        day += timedelta(days=1)
    return datetime.combine(day, time(10), SHANGHAI)


@asynccontextmanager
async def chat_server(folder: Path, mongo: str, redis: str) -> AsyncIterator[ChatServer]:
    """All of it, on an own database."""
    plain = Settings.model_construct()
    standin = create_standin_app(appid=plain.wechat_appid, secret=plain.wechat_secret.get_secret_value())
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(TestServer(standin))
        address = str(running.make_url("")).rstrip("/")
        settings = Settings(
            mode="test",
            var=folder / "var",
            mongo_url=mongo,
            mongo_database=f"test_{new_id()[-12:]}",
            redis_url=redis,
            wechat_base_url=address,
        )
        services = await stack.enter_async_context(open_services(settings))
        set_clock(services.clock, office_hours())  # type: ignore[arg-type]  # warped in this mode
        office = await found_office(services)
        # The node inherits these; other tests may run beside, and a photograph may have to wait.
        os.environ |= {"BANSHI_LOGIN_RATE_PER_MINUTE": "100000", "BANSHI_PHOTO_WAIT_SECONDS": "30"}
        node = NodeProcess(settings, folder / "node.log")
        await node.start()
        stack.push_async_callback(node.kill)
        yield ChatServer(services, office, node, address)


async def _serve(folder: Path, mongo: str, redis: str) -> None:
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with chat_server(folder, mongo, redis) as server:
        _say(await server.greet())
        while line := await lines.readline():
            _say(await server.obey(*line.decode().split()))


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="banshi-chat-") as name, ExitStack() as servers:
        folder = Path(name)
        mongo = os.environ.get("MONGO_URL") or servers.enter_context(EmbeddedMongo(folder / "mongo")).url
        redis = os.environ.get("REDIS_URL") or servers.enter_context(EmbeddedRedis(folder / "redis")).url
        asyncio.run(_serve(folder, mongo, redis))
