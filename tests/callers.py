"""Somebody who is logged in and calls the API."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import aiohttp


@dataclass
class Caller:
    """Calls carry the bearer token; each returns (status, document), None for no content."""

    http: aiohttp.ClientSession
    actor_id: str = ""
    token: str | None = None
    login: dict[str, Any] = field(default_factory=dict)
    """What the login answered."""

    async def request(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        headers |= options.pop("headers", {})
        async with self.http.request(method, path, headers=headers, **options) as response:
            if "json" in response.content_type:
                return response.status, await response.json(content_type=None)
            return response.status, await response.read() or None

    async def get(self, path: str, **options: Any) -> tuple[int, Any]:
        return await self.request("GET", path, **options)

    async def post(self, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        return await self.request("POST", path, **(options if body is None else {"json": body, **options}))

    async def put(self, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        return await self.request("PUT", path, **(options if body is None else {"json": body, **options}))

    async def patch(self, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        return await self.request("PATCH", path, **(options if body is None else {"json": body, **options}))

    async def delete(self, path: str, **options: Any) -> tuple[int, Any]:
        return await self.request("DELETE", path, **options)
