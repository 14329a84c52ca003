"""Everybody comes back at once to a node that lets in a few a second."""

from __future__ import annotations

import asyncio
import json
import statistics
from typing import Any

import aiohttp
from aiohttp.test_utils import TestServer

from backend.composition import Services
from backend.domain.ids import new_id
from backend.storage.accounts import CitizenStore
from config.settings import Settings
from tests.bench.storm_clients import Crowd
from tests.callers import Caller
from tests.chat.conftest import Office, node

PER_SECOND = 60.0
CLIENTS = 300


async def new_token(services: Services) -> str:
    """The access token of a new citizen."""
    citizen = await CitizenStore(services.database).for_openid(new_id(), None, services.clock.now())
    return (await services.sessions.open_citizen(citizen.id, "")).access_token


async def ask(http: aiohttp.ClientSession, at: TestServer, token: str) -> tuple[int, dict[str, Any], str | None]:
    """Ask for a ticket: status, answer, Retry-After."""
    headers = {"Authorization": f"Bearer {token}"}
    async with http.post(at.make_url("/api/socket-tickets"), headers=headers) as response:
        return response.status, await response.json(), response.headers.get("Retry-After")


async def test_a_crowd_comes_back_at_once_and_everybody_gets_in(
    settings: Settings, services: Services, office: Office
) -> None:
    loop = asyncio.get_running_loop()
    tokens = await asyncio.gather(*(new_token(services) for _ in range(CLIENTS)))
    async with node(settings, chat_connects_per_second=PER_SECOND) as slow:
        assert slow.port is not None
        crowd = Crowd([slow.port], "127.0.0.1", [(token, new_id()) for token in tokens])
        began = loop.time()
        crowd.do("start", "")
        try:
            async with asyncio.timeout(120):
                while any(client.synced_at is None for client in crowd.clients):
                    await asyncio.sleep(0.05)
        finally:
            await crowd.stop()
    assert not any(client.final for client in crowd.clients)
    assert set(crowd.refused) == {"temporarily-unavailable"}
    entered = {client: client.synced_at for client in crowd.clients if client.synced_at is not None}
    assert max(entered.values()) - began >= (CLIENTS - PER_SECOND) / PER_SECOND  # they were paced
    # in the order of the times that were promised, but for the random part that each client adds
    told = sorted((c for c in crowd.clients if c.told), key=lambda c: sum(c.told[0]))
    assert len(told) > CLIENTS / 2
    third = len(told) // 3
    assert statistics.mean(entered[c] for c in told[:third]) < statistics.mean(entered[c] for c in told[-third:])


async def test_who_hammers_is_told_the_same_time_and_a_desk_is_let_in_before(
    settings: Settings, services: Services, clerk: Caller
) -> None:
    loop = asyncio.get_running_loop()
    first, hammering = await new_token(services), await new_token(services)
    async with node(settings, chat_connects_per_second=0.02) as slow, aiohttp.ClientSession() as http:
        assert (await ask(http, slow, first))[0] == 201
        promises = []
        for _ in range(5):
            status, answer, header = await ask(http, slow, hammering)
            assert (status, answer["code"]) == (503, "temporarily-unavailable")
            assert int(header or 0) >= answer["retry_after"] > 0
            promises.append(loop.time() + answer["retry_after"])
        assert min(promises) >= promises[0] - 0.5
        status, answer, _ = await ask(http, slow, str(clerk.token))
        assert status == 201
        assert "sid" in await knock(slow, answer["ticket"], "/clerk")


async def test_a_refused_socket_leaves_its_ticket_good(settings: Settings, citizen: Caller, server: TestServer) -> None:
    """`server` gave the ticket, the other node is busy: the same ticket opens a socket there when it is time."""
    async with node(settings, chat_connects_per_second=0.5) as busy:
        answers = []
        for n in range(3):
            answers.append(await knock(busy, f"nobody{n}.x"))
        ticket = str((await citizen.post("/api/socket-tickets"))[1]["ticket"])
        refused = await knock(busy, ticket)
        assert refused["message"] == "temporarily-unavailable"
        assert refused["data"]["status"] == 503
        assert 0 < refused["data"]["retry_after"] <= 60
        async with asyncio.timeout(30):
            while "sid" not in (answer := await knock(busy, ticket)):
                assert answer["message"] == "temporarily-unavailable"
    assert answers[0]["message"] == "unauthenticated"


async def knock(at: TestServer, ticket: str, namespace: str = "/citizen") -> dict[str, Any]:
    """Try to open a socket by hand; what the server says."""
    async with aiohttp.ClientSession() as http:
        url = at.make_url("/socket.io/").with_query({"EIO": "4", "transport": "websocket"})
        async with http.ws_connect(url) as socket:
            await socket.receive_str()
            await socket.send_str(f"40{namespace}," + json.dumps({"ticket": ticket, "v": 1}))
            answer = (await socket.receive_str()).partition(",")[2]
            found: dict[str, Any] = json.loads(answer)
            return found
