"""What docs/operations.md recommends works as it stands there: haproxy and nginx before two hosts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.cluster.balancers import Balancer, Haproxy, Nginx
from tests.cluster.deployment import Deployment


@pytest.fixture(params=[Haproxy, Nginx], ids=["haproxy", "nginx"])
def balancer(request: pytest.FixtureRequest, deployment: Deployment, tmp_path: Path) -> Iterator[Balancer]:
    running: Balancer = request.param(tmp_path / "balancer", [node.port for node in deployment.nodes])
    try:
        running.start()
        yield running
    finally:
        running.kill()


async def test_the_recipe_balances_sockets_and_requests_and_may_be_reloaded(
    deployment: Deployment, balancer: Balancer
) -> None:
    office = deployment.office
    assert office
    async with deployment.people() as people, aiohttp.ClientSession() as http:
        for path in ("/metrics", "/healthz", "/readyz"):
            async with http.get(balancer.url + path) as response:
                assert response.status == 404, path
        citizen, clerk = await people.citizen("lisi", balancer.url), await people.clerk(url=balancer.url)
        async with citizen.device(balancer.url) as phone, clerk.device(balancer.url) as desk:
            conv = (await phone.open("咨询", matter_id=office.matter.id, text="您好"))["conv"]
            await desk.until_texts(conv, "您好", timeout=30)
            await asyncio.to_thread(balancer.reload)
            await desk.send(conv, "请讲")
            await phone.until_texts(conv, "您好", "请讲", timeout=30)
            status, shown = await citizen.request("GET", f"{balancer.url}/api/consultations/{conv}")
            assert (status, shown["id"]) == (200, conv)
            assert (phone.connections, desk.connections) == (1, 1)  # a reload breaks nothing


async def test_the_address_of_a_client_cannot_be_made_up(deployment: Deployment, balancer: Balancer) -> None:
    """What the nodes count by is the balancer's word; a client's own header does not come through."""
    heard: list[str] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        heard.extend(
            line.split(": ", 1)[1] for line in head.split("\r\n") if line.lower().startswith("x-forwarded-for")
        )
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as node:
        port = node.sockets[0].getsockname()[1]
        before = type(balancer)(balancer.folder / "listened", [port, port])
        try:
            await asyncio.to_thread(before.start)
            async with (
                aiohttp.ClientSession() as http,
                http.get(f"{before.url}/api/matters", headers={"X-Forwarded-For": "203.0.113.9"}) as response,
            ):
                assert response.status == 200
        finally:
            before.kill()
    assert set(heard) == {"127.0.0.1"}
