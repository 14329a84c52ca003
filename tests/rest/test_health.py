from ipaddress import ip_network

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from backend.app import create_app
from backend.composition import Services
from config.settings import Settings
from tests.figures import scrape


async def test_a_running_node_is_healthy_and_ready(http: aiohttp.ClientSession) -> None:
    async with http.get("/healthz") as response:
        assert response.status == 200
        assert (await response.json())["status"] == "ok"
    async with http.get("/readyz") as response:
        assert (await response.json()) == {"status": "ready", "checks": {"mongodb": "ok", "redis": "ok"}}


async def test_metrics_speak_prometheus(http: aiohttp.ClientSession) -> None:
    await http.get("/api/openapi.json")
    await http.get("/nothing/01a20595-6815-7223-a3d2-094bccd96a89")
    await http.request("PROPFIND", "/nothing")
    found = await scrape(http)
    assert found("banshi_http_requests_total", route="/api/openapi.json", method="GET", status="2xx") == 1
    assert found("banshi_http_requests_total", route="-", status="4xx") == 2
    assert found("banshi_http_requests_total", method="other") == 1


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "Via"])
async def test_metrics_are_not_there_for_whoever_comes_through_a_proxy(
    http: aiohttp.ClientSession, header: str
) -> None:
    async with http.get("/metrics", headers={header: "127.0.0.1"}) as response:
        assert response.status == 404
        assert "banshi_" not in await response.text()


async def test_metrics_are_not_there_for_other_networks(settings: Settings, services: Services) -> None:
    public = settings.model_copy(update={"metrics_from": (ip_network("203.0.113.0/24"), ip_network("::/0"))})
    async with (
        TestServer(create_app(public, services)) as node,
        aiohttp.ClientSession() as http,
        http.get(node.make_url("/metrics")) as response,
    ):
        assert response.status == 404


async def test_an_unknown_address_is_a_problem_with_a_request_id(http: aiohttp.ClientSession) -> None:
    async with http.get("/api/nothing", headers={"X-Request-ID": "0191d2a6-0000-7000-8000-000000000001"}) as response:
        problem = await response.json(content_type="application/problem+json")
        assert response.status == 404
        assert problem["code"] == "not-found"
        assert problem["request_id"] == "0191d2a6-0000-7000-8000-000000000001"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in response.headers


async def test_the_documentation_page_loads_its_own_assets(http: aiohttp.ClientSession) -> None:
    async with http.get("/api/docs") as response:
        page = await response.text()
        assert response.status == 200
        assert "swagger-ui-bundle.js" in page
    for asset in ("assets/swagger-ui-bundle.js", "assets/swagger-ui.css", "start.js"):
        async with http.get(f"/api/docs/{asset}") as response:
            assert response.status == 200
