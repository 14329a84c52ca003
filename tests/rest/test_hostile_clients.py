"""Clients that dawdle, pretend to come from elsewhere, or share a cache with others."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, make_mocked_request
from multidict import CIMultiDict

from backend.app import create_app
from backend.composition import Services
from backend.domain.access import Role
from backend.rest import operations
from backend.rest.context import TRUSTED_PROXIES, client_address
from backend.rest.http_counts import HTTP_COUNTS, HttpCounts
from config.settings import Settings
from tests.callers import Caller
from tests.conftest import LoginCitizen, LoginStaff


def half_a_request(caller: Caller) -> bytes:
    """A request whose body breaks off."""
    head = (
        f"POST /api/cases HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {caller.token}\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    )
    return head.encode() + b'{"matter'


async def test_what_is_private_stays_in_no_cache(
    http: aiohttp.ClientSession, login_citizen: LoginCitizen, login_staff: LoginStaff
) -> None:
    for caller, path in (
        (await login_citizen(), "/api/cases"),
        (await login_citizen(), "/api/citizen/me"),
        (await login_citizen(), "/api/notices"),
        (await login_staff(Role.CLERK), "/api/staff/me"),
    ):
        async with http.get(path, headers={"Authorization": f"Bearer {caller.token}"}) as response:
            assert (response.status, response.headers["Cache-Control"]) == (200, "no-store"), path


def from_behind_a_proxy(*lines: str) -> web.Request:
    """A request with these lines of X-Forwarded-For, where one proxy is trusted."""
    app = web.Application()
    app[TRUSTED_PROXIES] = 1
    headers = CIMultiDict([("X-Forwarded-For", line) for line in lines])
    request = make_mocked_request("GET", "/", headers=headers, app=app)
    request.match_info.add_app(app)
    return request


def test_an_address_that_the_client_made_up_is_not_believed() -> None:
    # as a proxy leaves it that appends a line of its own (HAProxy's forwardfor)
    assert client_address(from_behind_a_proxy("203.0.113.9", "198.51.100.7")) == "198.51.100.7"
    assert client_address(from_behind_a_proxy("203.0.113.9, 198.51.100.7")) == "198.51.100.7"


def test_a_household_with_a_whole_network_counts_as_one() -> None:
    first, second = (from_behind_a_proxy(f"2001:db8:1:2::{n}") for n in ("1", "ffff:1"))
    assert client_address(first) == client_address(second) == "2001:db8:1:2::/64"
    assert client_address(from_behind_a_proxy("2001:db8:1:3::1")) != client_address(first)
    assert client_address(from_behind_a_proxy("::ffff:198.51.100.7")) == "198.51.100.7"


async def test_a_body_that_never_ends_is_given_up(
    server: TestServer, login_citizen: LoginCitizen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "_BODY_SECONDS", 0.1)
    caller = await login_citizen()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(half_a_request(caller))
    try:
        answer = await asyncio.wait_for(reader.readuntil(b"}"), 10)
    finally:
        writer.close()
    assert answer.startswith(b"HTTP/1.1 503")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "temporarily-unavailable"


@pytest.fixture
async def node(settings: Settings, services: Services) -> AsyncIterator[tuple[int, HttpCounts]]:
    """A node as it is served: unlike `TestServer`, it does not cancel handlers whose client is gone."""
    app = create_app(settings, services)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield int(runner.addresses[0][1]), app[HTTP_COUNTS]
    await runner.cleanup()


async def test_a_client_that_goes_away_is_no_error_of_ours(
    node: tuple[int, HttpCounts], login_citizen: LoginCitizen, caplog: pytest.LogCaptureFixture
) -> None:
    port, counts = node
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(half_a_request(await login_citizen()))
    await writer.drain()
    writer.close()
    async with asyncio.timeout(10):
        while ("/api/cases", "POST", "gone") not in counts.answered:
            await asyncio.sleep(0.01)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
