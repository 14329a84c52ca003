import aiohttp


async def test_a_running_node_is_healthy_and_ready(http: aiohttp.ClientSession) -> None:
    async with http.get("/healthz") as response:
        assert response.status == 200
        assert (await response.json())["status"] == "ok"
    async with http.get("/readyz") as response:
        assert (await response.json()) == {"status": "ready", "checks": {"mongodb": "ok", "redis": "ok"}}


async def test_metrics_speak_prometheus(http: aiohttp.ClientSession) -> None:
    await http.get("/api/openapi.json")
    async with http.get("/metrics") as response:
        assert "banshi_http_requests_total" in await response.text()


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
