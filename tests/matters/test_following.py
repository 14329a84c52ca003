"""Every node's index follows what any node publishes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from backend.app import create_app
from backend.composition import Services, open_services
from backend.domain.access import SYSTEM
from backend.domain.catalogue import MatterDraft
from config.settings import Settings

DraftMaker = Callable[..., MatterDraft]


@pytest.fixture
async def nodes(settings: Settings, services: Services) -> AsyncIterator[list[aiohttp.ClientSession]]:
    """Clients of two nodes with services of their own."""
    async with AsyncExitStack() as stack:
        clients = []
        for _ in range(2):
            opened = await stack.enter_async_context(open_services(settings, upgrade=False))
            server = await stack.enter_async_context(TestServer(create_app(settings, opened)))
            clients.append(await stack.enter_async_context(aiohttp.ClientSession(str(server.make_url("")))))
        yield clients


async def first(client: aiohttp.ClientSession, query: str) -> str | None:
    async with client.get("/api/matters/search", params={"q": query}) as response:
        items = (await response.json())["items"]
    return items[0]["matter"]["name"] if items else None


async def until(client: aiohttp.ClientSession, query: str, name: str | None) -> None:
    async with asyncio.timeout(8):
        while await first(client, query) != name:
            await asyncio.sleep(0.05)


async def test_all_nodes_follow_additions_changes_and_withdrawals(
    services: Services, nodes: list[aiohttp.ClientSession], draft: DraftMaker
) -> None:
    others = [draft(n, name=f"旁的事项{n}") for n in range(10, 40)]
    await services.matters.publish(SYSTEM, others)
    for node in nodes:
        await until(node, "旁的事项10", "旁的事项10")
    await services.matters.publish(SYSTEM, [draft(1, name="居住证办理")])
    for node in nodes:
        await until(node, "juzhuzheng", "居住证办理")
    await services.matters.publish(SYSTEM, [draft(1, name="居住证换发")])
    for node in nodes:
        await until(node, "jzz", "居住证换发")


async def test_a_cached_guide_is_fresh_on_every_node_within_seconds(
    services: Services, nodes: list[aiohttp.ClientSession], draft: DraftMaker
) -> None:
    one = draft(1, summary="一")
    await services.matters.publish(SYSTEM, [one])
    for node in nodes:
        async with node.get(f"/api/matters/{one.id}") as response:
            assert (await response.json())["guide"]["summary"] == "一"
    await services.matters.publish(SYSTEM, [draft(1, summary="二")])
    for node in nodes:
        summary = "一"
        async with asyncio.timeout(8):
            while summary != "二":
                async with node.get(f"/api/matters/{one.id}") as response:
                    summary = (await response.json())["guide"]["summary"]
