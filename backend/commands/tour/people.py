"""Citizens and staff who use the product through its public interfaces only."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from backend.commands.tour.report import TourFailed, check
from backend.services.staff import generate_password


@dataclass
class Person:
    """Somebody with a token. Every call names the statuses that are right."""

    http: aiohttp.ClientSession
    name: str
    id: str = ""
    token: str | None = None
    login: dict[str, Any] = field(default_factory=dict, repr=False)

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        expect: int | tuple[int, ...] = (200, 201, 204),
        headers: dict[str, str] | None = None,
        form: aiohttp.FormData | None = None,
        params: dict[str, str] | None = None,
    ) -> Any:
        """The answer: decoded JSON, or bytes for what is not JSON. Raises `TourFailed` for another status."""
        sent = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        async with self.http.request(
            method, path, json=body, data=form, params=params, headers=sent | (headers or {})
        ) as response:
            wanted = (expect,) if isinstance(expect, int) else expect
            answer = (
                await response.json(content_type=None) if "json" in response.content_type else await response.read()
            )
            if response.status not in wanted:
                detail = answer.get("detail") if isinstance(answer, dict) else ""
                raise TourFailed(
                    f"{self.name}: {method} {path} answered {response.status} instead of {wanted}: {detail}"
                )
            return answer

    async def get(self, path: str, **options: Any) -> Any:
        return await self.call("GET", path, **options)

    async def post(self, path: str, body: Any = None, **options: Any) -> Any:
        return await self.call("POST", path, body, **options)

    async def create(self, path: str, body: Any) -> Any:
        """Post twice under one Idempotency-Key, as a phone on a bad network does; the answers must be one."""
        key = {"Idempotency-Key": str(uuid.uuid4())}
        first = await self.post(path, body, headers=key)
        again = await self.post(path, body, headers=key)
        check(first == again, f"{self.name}: a repeated POST {path} answered differently")
        return first


async def citizen(http: aiohttp.ClientSession, standin_url: str, name: str, phone: str) -> Person:
    """A citizen whose phone `phone` logs in through WeChat (the stand-in)."""
    async with aiohttp.ClientSession(standin_url) as wechat:
        async with wechat.post("/standin/users", json={"id": phone, "nickname": name, "name": name}) as response:
            check(response.status in (200, 201), f"the WeChat stand-in answered {response.status}")
        async with wechat.post(f"/standin/users/{phone}/login-codes") as response:
            code = (await response.json())["code"]
    person = Person(http, name)
    person.login = await person.post("/api/citizen/login", {"code": code, "device": "tour"})
    person.token, person.id = person.login["access_token"], person.login["citizen"]["id"]
    return person


async def staff(http: aiohttp.ClientSession, username: str, password: str) -> Person:
    """A member of the staff, logged in with name and password; an initial password is changed as it must be."""
    person = Person(http, username)
    person.login = await person.post("/api/staff/login", {"username": username, "password": password})
    person.token = person.login["access_token"]
    if person.login["staff"]["must_change_password"]:  # nothing else is open before
        new = generate_password()
        await person.post("/api/staff/password", {"current_password": password, "new_password": new})
    me = await person.get("/api/staff/me")
    person.id, person.name = me["id"], me["name"]
    return person
