"""Sending to named sockets of one node: a server that lets everybody in, and its clients on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
import pytest
import socketio
from aiohttp import web
from aiohttp.test_utils import TestServer

from backend.domain.access import Actor
from chat.connections import Connection
from chat.delivery import MAX_BACKLOG
from chat.node import BYTES_PER_PACKET, ServerTransport
from chat.sockets import create_server, mount


@dataclass
class Bare:
    """The server, and how to reach it."""

    server: socketio.AsyncServer
    http: aiohttp.ClientSession
    url: str

    async def connect(self, namespace: str = "/citizen") -> tuple[aiohttp.ClientWebSocketResponse, Connection]:
        wire = await self.http.ws_connect(f"{self.url}socket.io/?EIO=4&transport=websocket", max_msg_size=0)
        assert (await wire.receive_str()).startswith("0{")
        await wire.send_str(f"40{namespace},{{}}")
        sid = orjson.loads((await wire.receive_str()).partition(",")[2])["sid"]
        return wire, Connection(sid, namespace, Actor(kind="citizen", id="x"), "", 15.0)


@pytest.fixture(params=["lean", "plain"])
async def bare(request: pytest.FixtureRequest) -> AsyncIterator[Bare]:
    server = create_server(kind=request.param)
    app = web.Application()
    mount(server, app)
    async with TestServer(app) as running, aiohttp.ClientSession() as http:
        yield Bare(server, http, str(running.make_url("/")))


async def test_what_is_pushed_arrives_in_order_at_each_socket(bare: Bare) -> None:
    transport = ServerTransport(bare.server)
    phone, tablet = await bare.connect(), await bare.connect()
    desk = await bare.connect("/clerk")
    for number in range(20):
        transport.push("op", orjson.dumps({"seq": number, "text": "您好"}), [phone[1], tablet[1], desk[1]])
        if number == 9:
            await transport.emit("typing", {"who": "王敏"}, [phone[1], desk[1]])
    for wire, connection in (phone, tablet, desk):
        prefix = f"42{connection.namespace},"
        expected: list[Any] = [["op", {"seq": number, "text": "您好"}] for number in range(20)]
        if wire is not tablet[0]:
            expected.insert(10, ["typing", {"who": "王敏"}])
        found = [await wire.receive_str(timeout=20) for _ in expected]
        assert [orjson.loads(text.removeprefix(prefix)) for text in found] == expected


def clog(transport: ServerTransport, connection: Connection, until: int, body: bytes) -> int:
    """Push without ever letting the client read, until so much waits. How many were pushed since some did."""
    waiting = pushed = 0
    while (backlog := transport.backlog(connection)) < until:
        transport.push("op", body, [connection])
        waiting += backlog > 0
        pushed += 1
        assert pushed < 5_000  # more than any kernel takes
    return waiting


async def test_a_backlog_is_full_of_many_packets_or_of_many_bytes(bare: Bare) -> None:
    transport = ServerTransport(bare.server)
    (wire, one), (_, other) = await bare.connect(), await bare.connect()
    large = orjson.dumps("文" * 20_000)
    clog(transport, one, 1, large)  # beyond what the kernel takes
    small = clog(transport, one, MAX_BACKLOG, b"{}")
    assert MAX_BACKLOG - len(large) // BYTES_PER_PACKET - 2 <= small <= MAX_BACKLOG
    assert clog(transport, other, MAX_BACKLOG, large) <= MAX_BACKLOG * BYTES_PER_PACKET // len(large) + 1
    found = 0
    while found < small:  # everything arrives in the end
        found += (await wire.receive_str(timeout=20)) == '42/citizen,["op",{}]'
    assert transport.backlog(one) == 0


async def test_nothing_overtakes_what_waits(bare: Bare) -> None:
    transport = ServerTransport(bare.server)
    wire, connection = await bare.connect()
    text, found, number = "x" * 30_000, list[int](), 0

    def push() -> None:
        nonlocal number
        transport.push("op", orjson.dumps({"seq": number, "text": text}), [connection])
        number += 1

    async def read() -> None:
        while len(found) < 1_000:
            found.append(orjson.loads((await wire.receive_str(timeout=20)).removeprefix("42/citizen,"))[1]["seq"])

    while transport.backlog(connection) < MAX_BACKLOG:
        push()
    reading = asyncio.create_task(read())
    while number < 1_000:  # a little at every moment, also at the one when the socket drains again
        if transport.backlog(connection) < 3 * MAX_BACKLOG:
            push()
        await asyncio.sleep(0)
    await reading
    assert found == list(range(1_000))


async def test_one_event_at_a_time_in_the_order_of_arrival() -> None:
    connection = Connection("sid", "/citizen", Actor(kind="citizen", id="x"), "", 15.0)
    under_way, done, gate = [0], list[int](), asyncio.Event()

    async def event(number: int) -> None:
        async with connection.turn("a"):
            under_way[0] += 1
            assert under_way[0] == 1
            await gate.wait()
            await asyncio.sleep(0)
            done.append(number)
            under_way[0] -= 1

    tasks = [asyncio.create_task(event(number)) for number in range(10)]
    await asyncio.sleep(0)
    async with connection.turn("b"):  # another consultation goes on meanwhile
        assert done == []
    for given_up in (3, 4):  # waiting
        tasks[given_up].cancel()
    gate.set()
    tasks[0].cancel()  # in its turn
    under_way[0] -= 1
    await asyncio.gather(*tasks, return_exceptions=True)
    assert done == [1, 2, 5, 6, 7, 8, 9]
    async with connection.turn("a"):
        pass


async def test_nothing_is_pushed_to_who_has_gone(bare: Bare) -> None:
    transport = ServerTransport(bare.server)
    (wire, gone), (stays, here) = await bare.connect(), await bare.connect()
    await bare.server.disconnect(gone.sid, namespace=gone.namespace)
    transport.push("op", b"{}", [gone, here])
    assert transport.backlog(gone) == 0
    assert await stays.receive_str(timeout=20) == '42/citizen,["op",{}]'
    assert await wire.receive_str(timeout=20) == "41/citizen,"
