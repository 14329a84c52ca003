"""Whom a request is counted for behind proxies, and what browsers of other sites are told."""

from __future__ import annotations

import aiohttp
from aiohttp.test_utils import TestServer

from backend.app import create_app
from backend.composition import Services
from config.settings import Settings


async def statuses(settings: Settings, services: Services, sent: list[str]) -> list[int]:
    """What a fresh node answers to one request for each X-Forwarded-For in `sent`."""
    async with TestServer(create_app(settings, services)) as server, aiohttp.ClientSession() as session:
        seen = []
        for forwarded in sent:
            async with session.get(server.make_url("/api/sessions"), headers={"X-Forwarded-For": forwarded}) as answer:
                seen.append(answer.status)
        return seen


async def test_an_invented_address_does_not_count(settings: Settings, services: Services) -> None:
    few = settings.model_copy(update={"rate_per_minute": 3})
    assert await statuses(few, services, [f"203.0.113.{n}" for n in range(6)]) == [401] * 3 + [429] * 3


async def test_behind_a_trusted_proxy_the_last_hop_counts(settings: Settings, services: Services) -> None:
    few = settings.model_copy(update={"rate_per_minute": 3, "trusted_proxies": 1})
    invented = [f"203.0.113.{n}, 198.51.100.7" for n in range(6)]
    assert await statuses(few, services, invented) == [401] * 3 + [429] * 3
    others = [f"198.51.100.7, 203.0.113.{n}" for n in range(6)]
    assert await statuses(few, services, others) == [401] * 6


async def test_no_other_site_may_read_or_frame_us(http: aiohttp.ClientSession) -> None:
    evil = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for method, path in (("GET", "/api/matters"), ("OPTIONS", "/api/cases"), ("GET", "/healthz"), ("GET", "/nothing")):
        async with http.request(method, path, headers=evil) as response:
            assert not [name for name in response.headers if name.startswith("Access-Control-")]
            assert response.headers["X-Frame-Options"] == "DENY"
            assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert response.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
