"""The OpenAPI document says what the routes are, and the committed one is the present one."""

import re
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from backend.app import ROUTES, openapi_document
from backend.commands.openapi import text

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"
#: What the API application serves that is no operation.
NOT_OPERATIONS = {"/api/openapi.json", "/api/docs", "/api/docs/", "/api/docs/start.js", "/api/docs/assets/{name}"}


def test_the_committed_document_is_the_present_one() -> None:
    assert COMMITTED.read_text(encoding="utf-8") == text(), "run `make openapi` and commit docs/openapi.json"


async def test_routes_and_documented_paths_are_the_same(server: TestServer, http: aiohttp.ClientSession) -> None:
    async with http.get("/api/openapi.json") as response:
        document = await response.json()
    documented = {(m.upper(), path) for path, item in document["paths"].items() for m in item}
    routed = set(_routes(server.app))
    assert {route for route in routed if route[1] not in NOT_OPERATIONS} == documented


def _routes(app: web.Application) -> set[tuple[str, str]]:
    return {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.resource.canonical.startswith("/api/") and route.method != "HEAD"
    }


def test_every_operation_has_a_name_of_its_own_and_a_chinese_summary() -> None:
    operations = [operation for group in ROUTES for operation in group.operations]
    assert len({operation.id for operation in operations}) == len(operations)
    for operation in operations:
        assert operation.handler.__doc__, operation.id
        assert re.search(r"[\u4e00-\u9fff]", operation.handler.__doc__), operation.id


async def test_the_document_answers_not_modified(http: aiohttp.ClientSession) -> None:
    async with http.get("/api/openapi.json") as response:
        etag = response.headers["ETag"]
    async with http.get("/api/openapi.json", headers={"If-None-Match": etag}) as response:
        assert response.status == 304


def test_no_schema_is_left_unnamed() -> None:
    """Every reference leads somewhere."""
    document = openapi_document()
    known = set(document["components"]["schemas"])

    def references(node: Any) -> set[str]:
        if isinstance(node, dict):
            own = {node["$ref"].rsplit("/", 1)[1]} if isinstance(node.get("$ref"), str) else set()
            return own.union(*(references(value) for value in node.values()))
        if isinstance(node, list):
            return set().union(*(references(item) for item in node))
        return set()

    assert references(document) <= known
