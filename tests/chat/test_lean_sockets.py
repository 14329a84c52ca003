"""The lean sockets on the wire: what is refused, how a frozen client ends, and what is relied on in the library."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Any

import aiohttp
import engineio
import pytest
import socketio
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer
from engineio.async_drivers.aiohttp import WebSocket
from engineio.async_socket import AsyncSocket

from chat import lean_sockets
from chat.lean_sockets import LeanNamespace, LeanServer
from chat.sockets import create_server, mount
from chat.wire import EventPacket, encode, frame

Wire = aiohttp.ClientWebSocketResponse


class Echo(LeanNamespace):
    """Answers what it is told, after the gate was opened for what has to wait."""

    def __init__(self, namespace: str) -> None:
        super().__init__(namespace)
        self.gate = asyncio.Event()
        self.here: set[str] = set()
        self.heard: list[Any] = []
        self.may_connect = asyncio.Event()
        self.may_connect.set()

    async def trigger_event(self, event: str, *args: Any) -> Any:
        assert event in ("connect", "disconnect")  # events of clients come the other way
        if event == "connect":
            await self.may_connect.wait()
            self.here.add(args[0])
        else:
            self.here.discard(args[0])

    async def client_event(self, event: str, sid: str, *args: Any) -> Any:
        self.heard.append((event, *args))
        if event == "wait":
            await self.gate.wait()
        return {"event": event, "args": args, "here": sid in self.here}


class Site:
    """A server with an echo in `/citizen`."""

    def __init__(self, server: LeanServer, echo: Echo, http: aiohttp.ClientSession, url: str) -> None:
        self.server, self.echo = server, echo
        self._http, self._url = http, url

    async def open(self, **options: Any) -> Wire:
        wire: Wire = await self._http.ws_connect(f"{self._url}socket.io/?EIO=4&transport=websocket", **options)
        assert (await wire.receive_str(timeout=20)).startswith("0{")
        return wire

    async def connect(self, namespace: str = "/citizen") -> Wire:
        wire = await self.open()
        await wire.send_str(f"40{namespace},{{}}")
        assert (await wire.receive_str(timeout=20)).startswith(f"40{namespace},")
        return wire

    async def until_empty(self) -> None:
        """Nothing of any socket is left."""
        async with asyncio.timeout(20):
            while self.server.eio.sockets or self.server.environ or self.server.manager.rooms or self.echo.here:
                await asyncio.sleep(0.01)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    server = create_server()
    echo = Echo("/citizen")
    server.register_namespace(echo)
    app = web.Application()
    mount(server, app)
    async with TestServer(app) as running, aiohttp.ClientSession() as http:
        yield Site(server, echo, http, str(running.make_url("/")))
    await server.shutdown()


async def answer(wire: Wire) -> Any:
    text = await wire.receive_str(timeout=20)
    assert text.startswith("43/citizen,"), text
    return json.loads(text[text.index("[") :])[0]


async def ended(wire: Wire) -> int | None:
    """The code a socket was closed with."""
    while (message := await wire.receive(timeout=20)).type is WSMsgType.TEXT:
        continue
    assert message.type in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.ERROR), message
    return wire.close_code


async def test_answers_come_as_they_are_ready_and_events_start_in_order(site: Site) -> None:
    wire = await site.connect()
    await wire.send_str('42/citizen,1["wait",1]')
    for number in range(2, 50):
        await wire.send_str(f'42/citizen,{number}["say",{number}]')
    assert [(await answer(wire))["args"] for _ in range(2, 50)] == [[n] for n in range(2, 50)]
    assert [args[1] for args in site.echo.heard] == list(range(1, 50))
    site.echo.gate.set()
    assert (await wire.receive_str(timeout=20)).startswith("43/citizen,1[")


@pytest.mark.parametrize("name", ["connect", "disconnect", "message", "__class__", "", "\\ud83d"])
async def test_an_event_may_be_called_anything(site: Site, name: str) -> None:
    wire = await site.connect()
    await wire.send_str(f'42/citizen,1["{name}",{{}}]')
    assert (await answer(wire))["here"] is True
    assert len(site.echo.here) == 1


NONSENSE: list[tuple[str | bytes, int]] = [
    (b"binary", 1003),
    ('451-/citizen,["x",{"_placeholder":true,"num":0}]', 1002),
    ("46/citizen,1[]", 1002),
    ("44/citizen,{}", 1002),
    ("42/citizen,", 1002),
    ("42/citizen,1[", 1002),
    ("42/citizen,1[]", 1002),
    ("42/citizen,1[7]", 1002),
    ('42/citizen,1[["x"]]', 1002),
    ("42/citizen,1" + "[" * 50_000, 1002),
    ('42/citizen,1["x",' + '{"a":' * 9_000, 1002),
    (f'42/citizen,{"9" * 200}["x"]', 1002),
    ('42/clerk,1["x"]', 1002),
    ('42["x"]', 1002),
    ("43/citizen,0[]", 1002),
    ("43/citizen,7{}", 1002),
    ("40/citizen,{", 1002),
    ("40/citizen," + "[" * 50_000, 1002),
    ("4", 1002),
    ("", 1002),
    ("9", 1002),
    ("x", 1002),
    ("x" * 70_000, 1009),
    ("1", 1000),
]


@pytest.mark.parametrize(("packet", "code"), NONSENSE)
async def test_nonsense_closes_its_own_socket_and_leaves_nothing(site: Site, packet: str | bytes, code: int) -> None:
    other, wire = await site.connect(), await site.connect()
    await (wire.send_bytes(packet) if isinstance(packet, bytes) else wire.send_str(packet))
    assert await ended(wire) == code
    await other.send_str('42/citizen,1["say"]')
    assert (await answer(other))["event"] == "say"
    await other.close()
    await site.until_empty()


async def test_half_characters_and_large_numbers_are_answered(site: Site) -> None:
    wire = await site.connect()
    await wire.send_str('42/citizen,1["say","\\ud83d",123456789012345678901234567890]')
    text = await wire.receive_str(timeout=20)
    assert '"\\ud83d"' in text


async def test_an_invalid_text_closes_the_socket(site: Site) -> None:
    wire = await site.connect()
    await wire.send_frame(b'42/citizen,1["\xff"]', WSMsgType.TEXT)
    assert await ended(wire) == 1002


async def test_an_event_before_connecting_closes_the_socket_and_one_meanwhile_waits(site: Site) -> None:
    wire = await site.open()
    await wire.send_str('42/citizen,1["say"]')
    assert await ended(wire) == 1002

    site.echo.may_connect.clear()
    wire = await site.open()
    await wire.send_str("40/citizen,{}")
    await wire.send_str('42/citizen,1["connect",{},{}]')
    async with asyncio.timeout(20):
        while not site.server.manager.rooms:
            await asyncio.sleep(0.01)
    site.echo.may_connect.set()
    assert (await wire.receive_str(timeout=20)).startswith("40/citizen,")
    assert (await answer(wire))["here"] is True


async def test_who_leaves_while_connecting_leaves_nothing(site: Site) -> None:
    site.echo.may_connect.clear()
    leaves = await site.open(timeout=aiohttp.ClientWSTimeout(ws_close=0.1))  # without waiting for a farewell
    is_ended = await site.open()
    for wire in (leaves, is_ended):
        await wire.send_str("40/citizen,{}")
    async with asyncio.timeout(20):
        while len(site.server.manager.rooms.get("/citizen", {}).get(None, {})) < 2:
            await asyncio.sleep(0.01)
    await leaves.close()
    for socket in list(site.server.eio.sockets.values()):
        await socket.close(wait=False)
    site.echo.may_connect.set()
    await site.until_empty()


async def test_connecting_again_or_elsewhere_is_refused_and_the_socket_lives_on(site: Site) -> None:
    wire = await site.connect()
    for namespace in ("/citizen", "/admin"):
        await wire.send_str(f"40{namespace},{{}}")
        assert (await wire.receive_str(timeout=20)).startswith(f"44{namespace},")
    await wire.send_str('42/citizen,1["say"]')
    assert (await answer(wire))["here"] is True
    for _ in range(lean_sockets.MAX_OTHERS):
        await wire.send_str("40/citizen,{}")
    assert await ended(wire) == 1002
    await site.until_empty()


async def test_who_sends_too_much_is_read_slowly_and_others_are_not(site: Site) -> None:
    site.server.eio.packets_per_second = 50.0
    loud, other = await site.connect(), await site.connect()
    for _ in range(2_000):
        await loud.send_str('42/citizen,["flood"]')
    for number in range(20):
        await other.send_str(f'42/citizen,{number}["say"]')
        assert (await answer(other))["event"] == "say"
    assert len(site.echo.heard) < 1_000


async def test_pings_are_answered_and_count_like_packets(site: Site) -> None:
    site.server.eio.packets_per_second = 50.0
    loud, other = await site.open(autoping=False), await site.connect()
    await loud.send_str("40/citizen,{}")
    assert (await loud.receive_str(timeout=20)).startswith("40/citizen,")
    await loud.ping(b"there?")
    answered = await loud.receive(timeout=20)
    assert (answered.type, answered.data) == (WSMsgType.PONG, b"there?")
    for _ in range(1_000):
        await loud.ping()
        await loud.pong()
    await loud.send_str('42/citizen,["after the pings"]')
    for number in range(20):
        await other.send_str(f'42/citizen,{number}["say"]')
        assert (await answer(other))["event"] == "say"
    assert ("after the pings",) not in site.echo.heard


async def test_a_callback_of_a_client_reaches_who_asked(site: Site) -> None:
    wire = await site.connect()
    answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    (sid,) = site.echo.here
    await site.server.emit("presence:ping", {}, to=sid, namespace="/citizen", callback=answered.set_result)
    text = await wire.receive_str(timeout=20)
    assert text == '42/citizen,1["presence:ping",{}]'
    await wire.send_str('43/citizen,1[{"here":true}]')
    assert await asyncio.wait_for(answered, 20) == {"here": True}


async def test_a_frozen_client_holds_up_nobody_and_is_given_up(site: Site) -> None:
    frozen, other = await site.connect(), await site.connect()
    sockets = list(site.server.eio.sockets.values())
    packet = EventPacket("/citizen", "op", encode("x" * 60_000))
    async with asyncio.timeout(20):
        while not sockets[0].closed:  # nothing below reads what comes for it
            for socket in sockets:
                socket.queue.put_nowait(packet)
            assert await other.receive_str() == packet.encode()
    assert sockets[0].queue.waiting_bytes == 0
    await other.send_str('42/citizen,1["say"]')
    assert (await answer(other))["event"] == "say"
    await frozen.close()
    await other.close()
    await site.until_empty()


async def test_who_does_not_answer_a_ping_is_gone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lean_sockets, "_SWEEP_SECONDS", 0.02)
    site.server.eio.ping_interval = 0.1
    silent, alive, nowhere = await site.connect(), await site.connect(), await site.open()
    assert await ended(nowhere) == 1000  # connected to no namespace
    for _ in range(5):
        while await alive.receive_str(timeout=20) != "2":
            continue
        await alive.send_str("3")
    assert await ended(silent) in (1000, 1006)  # whichever of the close and the end it saw first
    assert len(site.echo.here) == 1
    await alive.close()
    await site.until_empty()


async def test_a_handshake_that_fails_leaves_nothing(site: Site) -> None:
    url = f"{site._url}socket.io/?EIO=4&transport=websocket"
    async with site._http.get(url, headers={"Upgrade": "websocket", "Connection": "keep-alive"}) as refused:
        assert refused.status == 400
    await site.until_empty()


async def test_what_one_turn_brings_leaves_as_one_write(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    wire = await site.open()
    (socket,) = site.server.eio.sockets.values()
    protocol, writes = socket.queue._protocol, list[bytes]()

    class Counting:
        """The socket's transport, counting."""

        def is_closing(self) -> bool:
            return False

        def write(self, data: bytes) -> None:
            writes.append(data)
            transport.write(data)

    transport = protocol.transport
    with monkeypatch.context() as patch:
        patch.setattr(protocol, "transport", Counting())
        for number in range(10):
            socket.queue.lay(frame(b"%d" % number))
        assert [await wire.receive_str(timeout=20) for _ in range(10)] == [str(n) for n in range(10)]
    assert len(writes) == 1
    for _ in range(3_000):  # more than may wait: a turn may bring what it likes to a socket that takes it
        socket.queue.lay(frame(b"x"))
    socket.queue.lay(frame(b"last"))
    socket.queue.end()  # what was laid before the end is written
    assert [await wire.receive_str(timeout=20) for _ in range(3_001)][-1] == "last"


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536, 200_000])
async def test_frames_are_those_of_the_standard(site: Site, size: int) -> None:
    wire = await site.open(max_msg_size=0)
    (socket,) = site.server.eio.sockets.values()
    socket.queue.lay(frame(b"x" * size))
    assert await wire.receive_str(timeout=20) == "x" * size


def test_the_library_is_the_one_that_was_checked() -> None:
    """What `chat.lean_sockets` subclasses or replaces. When this fails after an upgrade, compare the sources of
    the methods below with the version before, run this file, and write the new versions here."""
    assert {name: version(name).split(".")[:2] for name in ("python-socketio", "python-engineio", "aiohttp")} == {
        "python-socketio": ["5", "18"],
        "python-engineio": ["4", "15"],
        "aiohttp": ["3", "14"],
    }
    signatures: dict[Any, list[str]] = {
        AsyncSocket.__init__: ["self", "server", "sid"],
        AsyncSocket.close: ["self", "wait", "abort", "reason"],
        AsyncSocket.send: ["self", "pkt"],
        AsyncSocket.receive: ["self", "pkt"],
        AsyncSocket.schedule_ping: ["self"],
        AsyncSocket._websocket_handler: ["self", "ws"],
        AsyncSocket._upgrade_websocket: ["self", "environ"],
        WebSocket.__init__: ["self", "handler", "server"],
        WebSocket.__call__: ["self", "environ"],
        engineio.AsyncServer._handle_connect: ["self", "environ", "transport", "jsonp_index"],
        engineio.AsyncServer._service_task: ["self"],
        engineio.AsyncServer.create_queue: ["self", "args", "kwargs"],
        socketio.AsyncServer._engineio_server_class: ["self"],
        socketio.AsyncServer._handle_eio_connect: ["self", "eio_sid", "environ"],
        socketio.AsyncManager.sid_from_eio_sid: ["self", "eio_sid", "namespace"],
        socketio.AsyncNamespace.trigger_event: ["self", "event", "args"],
        web.WebSocketResponse.close: ["self", "code", "message", "drain"],
    }
    assert {method.__qualname__: list(inspect.signature(method).parameters) for method in signatures} == {
        method.__qualname__: names for method, names in signatures.items()
    }
    protocol = aiohttp.web_protocol.RequestHandler
    assert isinstance(inspect.getattr_static(protocol, "writing_paused"), property)
    assert inspect.iscoroutinefunction(protocol._drain_helper)
