"""A stand-in on a real port for each test, and a phone to play with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from backend.integrations.wechat.client import AsyncWeChatClient
from backend.wechat_standin import create_standin_app
from backend.wechat_standin.app import DEFAULT_APPID, DEFAULT_SECRET

LOGIN = "sns/jscode2session"
STABLE = "cgi-bin/stable_token"
CHECK = "wxa/checksession"


@dataclass
class StandinServer:
    """The stand-in over HTTP, as a test speaks with it."""

    url: str
    http: aiohttp.ClientSession

    async def call(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        async with self.http.request(method, f"{self.url}/standin/{path}", json=body or None) as response:
            assert response.status < 300, await response.text()
            return await response.json() if response.status != 204 else {}

    async def user(self, **properties: Any) -> dict[str, Any]:
        return await self.call("POST", "users", **properties)

    async def code(self, user_id: str = "lin-guilan", **options: Any) -> str:
        return str((await self.call("POST", f"users/{user_id}/login-codes", **options))["code"])

    async def fault(self, endpoint: str, kind: str, **options: Any) -> None:
        await self.call("POST", "faults", endpoint=endpoint, kind=kind, **options)

    async def advance(self, seconds: float) -> None:
        await self.call("POST", "clock", advance_seconds=seconds)

    async def stats(self) -> dict[str, Any]:
        return await self.call("GET", "stats")

    async def calls(self, endpoint: str) -> int:
        return int((await self.stats())["calls"].get(endpoint, 0))

    async def login(self, code: str, **changes: str) -> dict[str, Any]:
        """One raw jscode2session as WeChat would answer it."""
        query = {
            "appid": DEFAULT_APPID,
            "secret": DEFAULT_SECRET,
            "js_code": code,
            "grant_type": "authorization_code",
        }
        async with self.http.get(f"{self.url}/{LOGIN}", params=query | changes) as response:
            assert response.status == 200
            assert response.content_type == "text/plain"
            return dict(await response.json(content_type=None))


@pytest.fixture
async def standin() -> AsyncIterator[StandinServer]:
    runner = web.AppRunner(create_standin_app(), shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as http:
        yield StandinServer(f"http://127.0.0.1:{runner.addresses[0][1]}", http)
    await runner.cleanup()


@pytest.fixture
async def wechat(standin: StandinServer) -> AsyncIterator[AsyncWeChatClient]:
    async with AsyncWeChatClient(appid=DEFAULT_APPID, secret=DEFAULT_SECRET, base_url=standin.url, timeout=2) as client:
        yield client
