"""Everybody talks and asks while hosts, or the processes of one, are restarted one after the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import aiohttp

from chat.client import ChatClient
from chat.client_losses import Loss
from tests.cluster.deployment import Deployment, People, Person
from tests.cluster.nodes import ServeNode


class Entrance(Protocol):
    """What everybody goes through: a balancer, or a host by itself."""

    @property
    def url(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted while everybody talked."""

    messages: int
    requests: int
    losses: list[tuple[str, Loss]]  # of whom
    began: float

    @property
    def told(self) -> int:
        return sum(loss.told for loss in self._lost)

    @property
    def reconnections(self) -> int:
        """Connections that ended; each was followed by another one."""
        return len(self._lost)

    @property
    def _lost(self) -> list[Loss]:
        return [loss for _, loss in self.losses if loss.greeted]

    def check_told(self) -> None:
        """Whoever was connected was told to go, and nobody was just cut off."""
        assert self.told == self.reconnections, f"somebody lost a connection without being told: {self}"

    def __str__(self) -> str:
        """Everything, with the reason of each end in the order of time."""
        lines = [f"{self.messages} messages, {self.requests} requests, told {self.told} of {self.reconnections}"]
        for who, loss in sorted(self.losses, key=lambda each: each[1].at):
            lines.append(f"{loss.at - self.began:7.2f} s {who} {loss}")
        return "\n".join(lines)


Restart = Callable[[ServeNode], Awaitable[None]]


class Talk:
    """One consultation in which both sides send all the time, and what was acknowledged of it."""

    def __init__(self, name: str, conv: str, phone: ChatClient, desk: ChatClient, pause: float) -> None:
        self.name = name
        self.conv = conv
        self.sides = {"问": phone, "答": desk}
        self.pause = pause
        self.acked: dict[str, int] = {}
        self.stop = asyncio.Event()

    async def send(self, side: str) -> None:
        number = 0
        while not self.stop.is_set():
            text = f"{side}{number}"
            answer = await self.sides[side].send(self.conv, text)
            assert text not in self.acked
            self.acked[text] = answer["seq"]
            number += 1
            await asyncio.sleep(self.pause)  # the pace of the talk, not a wait for anything

    async def goes_on(self) -> None:
        """Wait until both sides are there again and have sent more."""
        enough = len(self.acked) + 10
        for client in self.sides.values():
            await client.until(lambda: len(self.acked) > enough, timeout=60)

    async def check(self) -> None:
        """Every acknowledged message is there once, in one gapless order, the same for both sides."""
        order = [text for text, _ in sorted(self.acked.items(), key=lambda item: item[1])]
        for side, client in self.sides.items():
            assert await client.until_texts(self.conv, *order, timeout=30) == order, (self.name, side)
            log = client.logs[self.conv]
            assert [op["seq"] for op in log.ops] == list(range(1, log.seq + 1)), (self.name, side)
            placed = {op["body"]["text"]: op["seq"] for op in log.ops if op["kind"] == "message"}
            assert placed == self.acked, (self.name, side)
            assert client.refusal is None, client.refusal
        for side in self.sides:
            sent = [text for text in order if text.startswith(side)]
            assert sent == [f"{side}{i}" for i in range(len(sent))], (self.name, side)


class Asker:
    """HTTP requests without any retry, reading and writing; each must be answered."""

    def __init__(self, person: Person, url: str, *, keeps: bool = True) -> None:
        self._keeps = keeps
        self._person = person
        self._url = url
        self.answered = 0
        self.failed: list[str] = []
        self.stop = asyncio.Event()

    async def ask(self) -> None:
        # connections of its own, which are kept as browsers keep theirs
        connector = aiohttp.TCPConnector(force_close=not self._keeps)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=30)) as http:
            person = Person(http, self._person.namespace, self._person.token, self._person.actor_id)
            while not self.stop.is_set():
                for method, path in (("GET", "/api/consultations"), ("POST", "/api/socket-tickets")):
                    try:
                        status, answer = await person.request(method, self._url + path)
                    except (aiohttp.ClientError, TimeoutError) as error:
                        self.failed.append(f"{method} {path}: {error!r}")
                        continue
                    if status in (200, 201):
                        self.answered += 1
                    else:
                        self.failed.append(f"{method} {path}: {status} {answer}")
                await asyncio.sleep(0.1)


async def talk_through_restarts(
    deployment: Deployment,
    entrance: Entrance,
    restart: Restart,
    nodes: Iterable[ServeNode],
    *,
    talks: int = 2,
    pause: float = 0.1,
    keeps: bool = True,
) -> Counted:
    """Restart `nodes` in turn under load; what was counted. Fails when anything was lost, doubled or refused.

    Without `keeps` every request has a connection of its own. Each side of each of the `talks` sends, is
    answered, and sends again after `pause` seconds.
    """
    began = time.time()
    async with deployment.people() as people:
        begun = [await _begin(deployment, people, entrance.url, f"talker-{i}", pause) for i in range(talks)]
        clients = [client for talk in begun for client in talk.sides.values()]
        asker = Asker(await people.citizen("asker", entrance.url), entrance.url, keeps=keeps)
        work = [asyncio.create_task(talk.send(side)) for talk in begun for side in talk.sides]
        work.append(asyncio.create_task(asker.ask()))
        try:
            for node in nodes:
                await restart(node)
                await asyncio.gather(*(talk.goes_on() for talk in begun))
            for talk in begun:
                talk.stop.set()
            asker.stop.set()
            await asyncio.wait_for(asyncio.gather(*work), 60)
            for talk in begun:
                await talk.check()
            assert not asker.failed, asker.failed[:5]
            return Counted(
                messages=sum(len(talk.acked) for talk in begun),
                requests=asker.answered,
                losses=[
                    (f"{talk.name} {side}", loss)
                    for talk in begun
                    for side, client in talk.sides.items()
                    for loss in client.losses
                ],
                began=began,
            )
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            for client in clients:
                await client.stop()


async def _begin(deployment: Deployment, people: People, url: str, name: str, pause: float) -> Talk:
    assert deployment.office
    citizen, clerk = await people.citizen(name, url), await people.clerk(url=url)
    phone, desk = citizen.device(url, first_pause=0.2), clerk.device(url, first_pause=0.2)
    for client in (phone, desk):
        await client.__aenter__()
    conv = (await phone.open("咨询", matter_id=deployment.office.matter.id))["conv"]
    await desk.follow(conv)
    await desk.until(lambda: conv in desk.logs, timeout=30)
    return Talk(name, conv, phone, desk, pause)


async def stop_and_start(node: ServeNode) -> None:
    """As `systemctl restart` does it."""
    assert await asyncio.to_thread(node.stop, 90) == 0, node.last_words()
    await asyncio.to_thread(node.start, 120)
