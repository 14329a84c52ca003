"""Opening a socket, and what the server answers to what it does not like."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import socketio
from aiohttp.test_utils import TestServer

from chat.client import ChatClient, Refused
from config.settings import Settings
from tests.callers import Caller
from tests.chat.conftest import Connect, Office, device, node


class Socket:
    """A bare Socket.IO client with the refusal it met."""

    def __init__(self) -> None:
        self.client = socketio.AsyncClient(reconnection=False)
        self.refusal: Any = None

    async def connect(self, server: TestServer, namespace: str, auth: Any) -> bool:
        self.client.on("connect_error", self._refused, namespace=namespace)
        try:
            await self.client.connect(
                str(server.make_url("")), transports=["websocket"], namespaces=[namespace], auth=auth
            )
        except socketio.exceptions.ConnectionError:
            return False
        return True

    def _refused(self, data: Any) -> None:
        self.refusal = data

    @property
    def code(self) -> Any:
        return self.refusal and self.refusal["data"]["code"]


@pytest.fixture
async def socket() -> AsyncIterator[Socket]:
    made = Socket()
    yield made
    await made.client.disconnect()


async def ticket_of(caller: Caller) -> str:
    status, answer = await caller.post("/api/socket-tickets")
    assert (status, answer["path"]) == (201, "/socket.io/")
    return str(answer["ticket"])


async def test_a_ticket_opens_one_socket_only(server: TestServer, citizen: Caller, socket: Socket) -> None:
    auth = {"ticket": await ticket_of(citizen), "device": "手机", "v": 1}
    first = Socket()
    assert await first.connect(server, "/citizen", auth)
    await first.client.disconnect()
    assert not await socket.connect(server, "/citizen", auth)
    assert socket.code == "unauthenticated"


@pytest.mark.parametrize(
    ("auth", "code"),
    [
        (None, "invalid-input"),
        ({}, "invalid-input"),
        ({"ticket": "x", "v": 1}, "unauthenticated"),
        ({"ticket": "x", "v": 2}, "unsupported-version"),
        ({"ticket": "x", "v": [2, 3]}, "unsupported-version"),
        ({"ticket": "x", "v": [3, 1]}, "unauthenticated"),
        ({"ticket": "x", "v": []}, "invalid-input"),
        ({"ticket": "x", "v": [1] * 21}, "invalid-input"),
        ({"ticket": "x", "v": {"1": 1}}, "invalid-input"),
        ({"ticket": ["x"], "v": 1}, "invalid-input"),
        ("ticket", "invalid-input"),
    ],
)
async def test_without_a_good_ticket_nothing_opens(server: TestServer, socket: Socket, auth: Any, code: str) -> None:
    assert not await socket.connect(server, "/citizen", auth)
    assert socket.code == code


async def test_a_mistake_in_what_opens_a_socket_is_named_as_its_member_is(server: TestServer, socket: Socket) -> None:
    assert not await socket.connect(server, "/citizen", {"ticket": "x", "v": "new"})
    assert (socket.code, socket.refusal["data"]["field"]) == ("invalid-input", "auth.v")


@pytest.mark.parametrize(("spoken", "taken"), [(1, 1), ([1], 1), ([1, 2], 1), ([1, 2, 3], 3)])
async def test_the_greatest_common_version_is_spoken(
    server: TestServer, citizen: Caller, socket: Socket, monkeypatch: pytest.MonkeyPatch, spoken: Any, taken: int
) -> None:
    if taken == 3:  # a server of the days to come
        monkeypatch.setattr("chat.namespaces.VERSIONS", (1, 3))
    assert await socket.connect(server, "/citizen", {"ticket": await ticket_of(citizen), "v": spoken})
    assert (await socket.client.call("hello", {}, namespace="/citizen"))["v"] == taken


async def test_a_citizen_does_not_open_a_desk(server: TestServer, citizen: Caller, socket: Socket) -> None:
    assert not await socket.connect(server, "/clerk", {"ticket": await ticket_of(citizen), "v": 1})
    assert socket.code == "unauthenticated"


async def test_a_session_that_ended_opens_nothing(server: TestServer, citizen: Caller, socket: Socket) -> None:
    ticket = await ticket_of(citizen)
    assert (await citizen.post("/api/sessions/logout"))[0] == 204
    status, _ = await citizen.get("/api/consultations")
    assert status == 401
    assert not await socket.connect(server, "/citizen", {"ticket": ticket, "v": 1})
    assert socket.code == "session-ended"


async def test_nobody_gets_a_ticket(http: aiohttp.ClientSession) -> None:
    async with http.post("/api/socket-tickets") as response:
        assert response.status == 401


async def test_polling_is_not_offered(server: TestServer, http: aiohttp.ClientSession) -> None:
    async with http.get("/socket.io/?EIO=4&transport=polling") as response:
        assert response.status == 400


async def test_another_origin_is_refused(server: TestServer, http: aiohttp.ClientSession) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await http.ws_connect("/socket.io/?EIO=4&transport=websocket", headers={"Origin": "https://evil.example"})


BAD: list[tuple[str, Any, str]] = [
    ("msg:sned", {}, "unknown-event"),
    ("connect", {}, "unknown-event"),
    ("disconnect", {}, "unknown-event"),
    ("note:add", {"text": "x"}, "unknown-event"),
    ("msg:send", None, "malformed-request"),
    ("msg:send", ["x"], "malformed-request"),
    ("msg:send", {}, "invalid-input"),
    ("msg:send", {"conv": "x", "cid": "y", "body": {}}, "invalid-input"),
    ("hello", {"cursors": {"x": [1, 2]}}, "invalid-input"),
    ("hello", {"cursors": 3}, "invalid-input"),
    ("ops:get", {"conv": str(uuid.uuid4()), "epoch": -1, "after": 0}, "invalid-input"),
    ("conv:open", {"cid": str(uuid.uuid4()), "subject": "咨询", "area_code": "٤٤٠١٠٥"}, "invalid-input"),
    (
        "msg:send",
        {
            "conv": str(uuid.uuid4()),
            "cid": str(uuid.uuid4()),
            "body": {"card": {"kind": "case", "target_id": "../organisation", "title": "办件"}},
        },
        "invalid-input",
    ),
    ("ops:get", {"conv": str(uuid.uuid4()), "epoch": 1, "after": 10**30}, "invalid-input"),
    ("ops:get", {"conv": str(uuid.uuid4()), "epoch": "1", "after": 0}, "invalid-input"),
    ("rcpt", {"conv": str(uuid.uuid4()), "read": "3"}, "invalid-input"),
    ("rcpt", {"conv": str(uuid.uuid4()), "delivered": True}, "invalid-input"),
    ("conv:open", {"cid": str(uuid.uuid4()), "subject": " "}, "invalid-input"),
    ("conv:open", {"cid": str(uuid.uuid4()), "subject": "咨" * 101}, "too-large"),
]


async def test_what_is_not_understood_is_answered_clearly(connect: Connect, citizen: Caller, office: Office) -> None:
    phone = await connect(citizen)
    answers = [(event, await phone.once(event, payload)) for event, payload, _ in BAD]
    assert [(event, answer and answer["problem"]["code"]) for event, answer in answers] == [
        (event, code) for event, _, code in BAD
    ]
    assert all(answer is not None and answer["retry"] is False for _, answer in answers)


async def test_a_packet_of_nothing_but_mistakes_is_not_answered_with_many_times_its_size(
    connect: Connect, citizen: Caller, office: Office
) -> None:
    phone = await connect(citizen)
    answer = await phone.once("beat", {f"x{number}": 1 for number in range(5_000)})
    assert answer is not None
    problem = answer["problem"]
    assert (problem["code"], len(problem["errors"]), "5000" in problem["detail"]) == ("invalid-input", 50, True)


async def test_numbers_beyond_the_log_do_not_come_back_as_its_end(
    connect: Connect, citizen: Caller, office: Office
) -> None:
    phone = await connect(citizen)
    conv = (await phone.open("咨询", matter_id=office.matter.id))["conv"]
    answer = await phone.once("ops:get", {"conv": conv, "epoch": 1, "after": 1_000})
    assert answer is not None
    assert (answer["recovered"], answer["last_seq"], answer["more"], answer["ops"]) == (False, 2, False, [])


@pytest.mark.parametrize("text", ["", "  \n", "字" * 2001, "a\x00b", "\x1b[31m", "\ud83d"])
async def test_what_cannot_be_said_is_refused_and_the_socket_lives_on(
    connect: Connect, citizen: Caller, office: Office, text: str
) -> None:
    phone = await connect(citizen)
    conv = (await phone.open("咨询", matter_id=office.matter.id))["conv"]
    with pytest.raises(Refused) as refusal:
        await phone.send(conv, text)
    assert refusal.value.code in ("invalid-input", "too-large")
    assert (await phone.send(conv, "您好"))["seq"] == 3


async def test_naughty_strings_come_back_as_they_were(
    connect: Connect, citizen: Caller, clerk: Caller, office: Office, shared_data: Path
) -> None:
    strings = json.loads((shared_data / "bad_inputs" / "strings" / "blns.json").read_text("utf-8"))[:60]
    desk, phone = await connect(clerk), await connect(citizen)
    conv = (await phone.open("咨询", matter_id=office.matter.id))["conv"]
    accepted = []
    for string in strings:
        try:
            await phone.send(conv, string)
        except Refused:
            continue
        accepted.append(string)
    assert await desk.until_texts(conv, *accepted) == accepted
    assert len(accepted) > 50


async def test_who_hammers_is_told_when_to_come_again(settings: Settings, citizen: Caller, office: Office) -> None:
    async with node(settings, chat_events_per_second=2.0) as slow:
        phone: ChatClient = device(citizen, slow)
        async with phone:
            answers = [await phone.once("beat", {}) for _ in range(12)]
    refused = [answer for answer in answers if answer and not answer["ok"]]
    assert refused
    assert refused[0]["problem"]["code"] == "rate-limited"
    assert (refused[0]["retry"], refused[0]["after_ms"]) == (True, 1000)


async def test_an_oversized_packet_closes_only_its_own_socket(
    connect: Connect, citizen: Caller, stranger: Caller, office: Office
) -> None:
    phone, other = await connect(citizen), await connect(stranger)
    await phone.once("msg:send", {"conv": "x", "body": {"text": "字" * 100_000}}, timeout=2)
    await phone.until(lambda: phone.connections == 2)  # closed, and came back by itself
    assert other.connections == 1
    assert (await other.open("咨询", matter_id=office.matter.id))["ok"]
