"""`run.py doctor --canary`: a consultation between two nodes of a running deployment, over real sockets."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from backend.commands.findings import Finding
from backend.composition import Services
from backend.domain.access import Actor
from backend.domain.errors import DomainError
from chat.client import ChatClient, LocalLog, Refused

#: The sweep comes every two seconds. Without hints, what the one side waits for its node's sweep and the other for
#: its own are two seconds together, so that one of the two medians is above one second.
_HINTED_SECONDS = 0.7
_ARRIVE_SECONDS = 10.0
_CONNECT_SECONDS = 15.0
_MESSAGES = 3  # in each direction
_TRIES = 12  # connections until the two sides are on different processes behind one address
_SKEW_SECONDS = 2.0


class _Away(Exception):
    """Something did not come; the text says what."""


@dataclass
class _Side:
    """One of the two and the process that serves it."""

    name: str
    url: str
    client: ChatClient
    node: str = ""
    skew: float = 0.0  # seconds by which its node's clock is ahead of ours


async def play(services: Services, urls: tuple[str, str]) -> list[Finding]:
    """Talk between the two addresses, and say what came how fast. What was made for it is deleted."""
    findings: list[Finding] = []
    try:
        async with services.canaries.opened() as canary, AsyncExitStack() as stack:
            talk = _Talk(services, canary.consultation.id, stack, findings)
            try:
                await talk.connect(canary.citizen, canary.clerk, urls)
                await talk.run(canary.citizen)
            except _Away as away:
                findings.append(Finding("canary", "failed", str(away)))
            except Refused as refused:
                findings.append(Finding("canary", "failed", f"refused: {refused}"))
    except DomainError as error:
        findings.append(Finding("canary", "failed", f"{error.code}: {error}"))
    return findings


class _Talk:
    """The steps, one after the other; the first that fails ends it."""

    def __init__(self, services: Services, conv: str, stack: AsyncExitStack, findings: list[Finding]) -> None:
        self._services = services
        self._conv = conv
        self._stack = stack
        self._findings = findings
        self._loop = asyncio.get_running_loop()
        self._hints = True

    def _found(self, check: str, detail: str, *, ok: bool = True) -> None:
        self._findings.append(Finding(check, "ok" if ok else "failed", detail))

    async def connect(self, citizen: Actor, clerk: Actor, urls: tuple[str, str]) -> None:
        """Open both sockets, on different processes where there are several."""
        begun = self._loop.time()
        self._phone = await self._open("the citizen's side", citizen, urls[0])
        self._desk = await self._open("the clerk's side", clerk, urls[1])
        for _ in range(_TRIES):
            if self._desk.node != self._phone.node:
                break
            await self._desk.client.stop()
            self._desk = await self._open("the clerk's side", clerk, urls[1])
        apart = self._desk.node != self._phone.node
        where = "two processes" if apart else "one process: nothing went between nodes"
        self._found("canary sockets", f"{urls[0]} and {urls[1]}, {where} ({_ms(self._loop.time() - begun)})")
        self._apart = apart
        between = abs(self._phone.skew - self._desk.skew)
        if between > _SKEW_SECONDS:
            self._found("canary clocks", f"the two nodes' clocks are {between:.1f} s apart: check NTP", ok=False)
        else:
            self._found("canary clocks", f"the two nodes' clocks are {between:.1f} s apart")

    async def _open(self, name: str, actor: Actor, url: str, logs: dict[str, LocalLog] | None = None) -> _Side:
        async def ticket() -> str:
            return await self._services.socket_tickets.issue(actor)

        namespace = "/citizen" if actor.kind == "citizen" else "/clerk"
        client = ChatClient(url, ticket, namespace=namespace, device="canary", logs=logs, longest_pause=1.0)
        self._stack.push_async_callback(client.stop)
        client.start()
        side = _Side(name, url, client)
        try:
            await asyncio.wait_for(client.connected.wait(), _CONNECT_SECONDS)
        except TimeoutError:
            why = client.refusal or client.connection.last_error
            raise _Away(f"{name} cannot open a socket at {url}: {why}") from None
        asked = self._services.clock.now()
        answer = await client.once("hello", {"cursors": {}, "rest": False})
        answered = self._services.clock.now()
        if answer is None or not answer["ok"]:
            raise _Away(f"{name} is not greeted at {url}: {answer}")
        side.node = str(answer.get("node", ""))
        middle = asked + (answered - asked) / 2
        side.skew = (datetime.fromisoformat(answer["server_ts"]) - middle).total_seconds()
        return side

    async def run(self, citizen: Actor) -> None:
        """Everything a talk has, in both directions."""
        phone, desk = self._phone, self._desk
        await self._messages()
        ack = await phone.client.send(self._conv, "edit me")
        await self._step(
            "canary edit",
            lambda: phone.client.act("msg:edit", self._conv, target_seq=ack["seq"], text="edited"),
            desk,
            lambda: _has(desk, self._conv, "edit"),
        )
        await self._step(
            "canary recall",
            lambda: phone.client.act("msg:recall", self._conv, target_seq=ack["seq"]),
            desk,
            lambda: _has(desk, self._conv, "recall"),
        )
        await self._receipt()
        await self._reconnect(citizen)

    async def _messages(self) -> None:
        acks: list[float] = []
        arrivals: dict[str, list[float]] = {}
        for number in range(_MESSAGES):
            for sender, reader in ((self._phone, self._desk), (self._desk, self._phone)):
                text, begun = f"{sender.name} {number}", self._loop.time()
                arrived = asyncio.create_task(self._arrives(reader, text))
                await sender.client.send(self._conv, text)
                acks.append(self._loop.time() - begun)
                await arrived
                arrivals.setdefault(reader.name, []).append(self._loop.time() - begun)
        medians = {name: statistics.median(seconds) for name, seconds in arrivals.items()}
        shown = ", ".join(f"{_ms(seconds)} to {name}" for name, seconds in medians.items())
        self._found(
            "canary messages",
            f"{len(acks)} both ways: acknowledged by the majority in {_ms(statistics.median(acks))}, "
            f"shown in {shown}, slowest {_ms(max(max(seconds) for seconds in arrivals.values()))}",
        )
        if self._apart:
            self._hints = max(medians.values()) < _HINTED_SECONDS
            words = (
                "messages come by hints"
                if self._hints
                else (
                    "messages come by the sweep alone: hints between the nodes are lost; "
                    "is Redis there, and the same for all nodes?"
                )
            )
            self._found("canary hints", words, ok=self._hints)

    async def _arrives(self, reader: _Side, text: str) -> None:
        try:
            await reader.client.until_texts(self._conv, text, timeout=_ARRIVE_SECONDS)
        except TimeoutError:
            raise _Away(f"a message did not come to {reader.name} within {_ARRIVE_SECONDS:.0f} s") from None

    async def _step(
        self, check: str, act: Callable[[], Awaitable[Any]], reader: _Side, shown: Callable[[], bool]
    ) -> None:
        begun = self._loop.time()
        await act()
        acked = self._loop.time() - begun
        try:
            await reader.client.until(shown, timeout=_ARRIVE_SECONDS)
        except TimeoutError:
            raise _Away(f"{check}: it did not come to {reader.name} within {_ARRIVE_SECONDS:.0f} s") from None
        self._found(check, f"acknowledged in {_ms(acked)}, shown in {_ms(self._loop.time() - begun)}")

    async def _receipt(self) -> None:
        phone, desk = self._phone, self._desk
        read = desk.client.logs[self._conv].seq
        begun = self._loop.time()
        await desk.client.call("rcpt", {"conv": self._conv, "read": read})
        if self._apart and not self._hints:
            # receipts between nodes travel as hints; without them a client learns of them when it comes back
            self._findings.append(Finding("canary receipt", "warning", "not shown live while hints are lost"))
            return

        def shown() -> bool:
            return bool(phone.client.logs[self._conv].receipts.get("staff", {}).get("read", 0) >= read)

        try:
            await phone.client.until(shown, timeout=_ARRIVE_SECONDS)
        except TimeoutError:
            raise _Away(f"a receipt did not come to {phone.name} within {_ARRIVE_SECONDS:.0f} s") from None
        self._found("canary receipt", f"shown in {_ms(self._loop.time() - begun)}")

    async def _reconnect(self, citizen: Actor) -> None:
        """The citizen is away for two messages and comes back with a cursor, on the other node."""
        logs = self._phone.client.logs
        await self._phone.client.stop()
        for text in ("missed 1", "missed 2"):
            await self._desk.client.send(self._conv, text)
        before, begun = logs[self._conv].doubles, self._loop.time()
        back = await self._open(self._phone.name, citizen, self._desk.url, logs)
        await self._arrives(back, "missed 2")
        took = self._loop.time() - begun
        here, there = logs[self._conv], self._desk.client.logs[self._conv]
        await self._desk.client.until(lambda: there.seq >= here.seq, timeout=_ARRIVE_SECONDS)
        same = [(op["seq"], op["id"]) for op in here.ops] == [(op["seq"], op["id"]) for op in there.ops]
        if not same:
            self._found("canary reconnect", "the two sides do not have the same operations", ok=False)
        elif here.doubles > before:
            self._found("canary reconnect", "operations came again that the cursor had", ok=False)
        else:
            self._found("canary reconnect", f"resumed from its cursor in {_ms(took)}; both sides have the same log")


def _has(side: _Side, conv: str, kind: str) -> bool:
    return any(op["kind"] == kind for op in side.client.logs[conv].ops)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
