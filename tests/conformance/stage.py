"""What a scenario acts on: a citizen's devices behind a proxy, a desk beside it, and a record of what was shown."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from chat.client import ChatClient
from tests.conformance.drivers import TIMING, Answer, Host
from tests.conformance.proxy import Proxy

#: Seconds within which everything must have happened on a busy machine.
PATIENCE = 20.0

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*\+08:00")
_EVENT = re.compile(r"^42/\w+,(\d*)(\[.*\])$", re.DOTALL)
#: What both clients say by the clock, or depending on what came first.
_BY_THE_CLOCK = frozenset({"hello", "ops:get", "beat", "rcpt", "typing"})


@dataclass
class World:
    """What all scenarios share."""

    url: str
    command: Callable[..., Awaitable[Answer]]
    matter_id: str
    desk: ChatClient
    clerk: Answer


@dataclass
class Device:
    """One device of the citizen (or of the clerk) in this scenario."""

    stage: Stage
    name: str
    person: Answer
    through: Proxy
    namespace: str = "/citizen"

    async def do(self, command: str, **arguments: Any) -> Answer:
        return await self.stage.host.do(self.name, command, **arguments)

    async def send(self, text: str, **body: Any) -> str:
        """Type a message; returns its `cid`."""
        answer = await self.do("send", conv=self.stage.conv, body={"text": text, **body})
        return str(answer["cid"])

    async def view(self) -> Answer:
        return await self.do("view", conv=self.stage.conv)

    async def until(self, condition: Callable[[Answer], Any]) -> Answer:
        """Wait until what is shown is so."""
        found: Answer = {}
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while not condition(found := await self.view()):
                    await asyncio.sleep(0.02)
                return found
        raise AssertionError(f"{self.name} ({self.stage.kind}) shows {json.dumps(found, ensure_ascii=False)[:6000]}")

    async def until_texts(self, *texts: str) -> Answer:
        """Wait until exactly these bubbles are shown and nothing is on its way."""
        return await self.until(lambda view: texts_of(view) == list(texts) and not view["pending"])

    async def until_online(self, online: bool = True) -> Answer:
        return await self.until(lambda view: view["status"]["online"] is online)

    def said(self, event: str) -> list[Answer]:
        """The payloads of this event in the order in which they were sent, again and again where they were."""
        return [payload for name, payload in events(self.through) if name == event]


class Meeting:
    """Where the players of one scenario wait for each other."""

    def __init__(self, players: int) -> None:
        self._players = players
        self._convs: list[str] = []
        self._over = asyncio.Event()

    async def restored(self, world: World, conv: str) -> None:
        """The server goes down and comes back, once for all players, with a database that was restored."""
        self._convs.append(conv)
        if len(self._convs) == self._players:
            await world.command("kill")
            for each in self._convs:
                await world.command("epoch", each)
            await world.command("start")
            self._over.set()
        async with asyncio.timeout(2 * PATIENCE):
            await self._over.wait()


@dataclass
class Stage:
    """One scenario on one kind of client."""

    kind: str
    meeting: Meeting
    host: Host
    world: World
    citizen: Answer
    proxies: list[Proxy] = field(default_factory=list)
    devices: list[Device] = field(default_factory=list)
    conv: str = ""
    record: list[Any] = field(default_factory=list)

    async def device(
        self,
        name: str = "phone",
        *,
        before: Device | None = None,
        clerk: bool = False,
        timing: Mapping[str, float] = TIMING,
    ) -> Device:
        """A device that is not started. `before`: the same device after it went down."""
        if before is None:
            host, port = self.world.url.removeprefix("http://").split(":")
            through = Proxy(host, int(port))
            await through.start()
            self.proxies.append(through)
        else:
            through = before.through
        person = self.world.clerk if clerk else self.citizen
        found = Device(self, name, person, through, "/clerk" if clerk else "/citizen")
        await found.do(
            "new",
            url=through.url,
            token=person["token"],
            person={"id": person["id"], "name": person.get("name", "")},
            namespace=found.namespace,
            timing=timing,
            **({} if before is None else {"from": before.name}),
        )
        self.devices = [d for d in self.devices if d is not before] + [found]
        return found

    async def phone(self, text: str = "您好", *, timing: Mapping[str, float] = TIMING) -> Device:
        """A connected phone with one consultation, which the desk has too."""
        phone = await self.device(timing=timing)
        await phone.do("start")
        await phone.until_online()
        payload = {"subject": "结婚登记", "matter_id": self.world.matter_id, "text": text}
        self.conv = (await phone.do("open", payload=payload))["conv"]
        await self.answered_by_desk(phone)
        await phone.until_texts(text)
        return phone

    async def answered_by_desk(self, phone: Device) -> None:
        """The consultation has an id, and the desk follows it."""
        view = await phone.until(lambda view: not view["conv"].startswith("new:") and view["header"].get("staff"))
        self.conv = view["conv"]
        await self.world.desk.until(lambda: self.desk_log() and self.desk_log().seq >= 3, PATIENCE)

    def desk_log(self) -> Any:
        return self.world.desk.logs.get(self.conv)

    async def reload(self, device: Device) -> Device:
        """The page goes down without a word, and another one opens on what was stored at that moment."""
        await device.do("crash")
        return await self.device(f"{device.name}+", before=device)

    async def answer(self, text: str, **options: Any) -> Answer:
        """The desk says something."""
        return await self.world.desk.send(self.conv, text, **options)

    def note(self, label: str, view: Answer) -> None:
        """Record what is shown, to be compared between the clients."""
        self.record.append({"step": label} | {name: view[name] for name in ("thread", "pending", "failed", "typing")})

    async def converged(self, *texts: str) -> None:
        """Every device shows these bubbles and has exactly what the server has: log, header, nothing on its way."""
        for device in self.devices:
            await device.until_texts(*texts)
            await self._as_fetched(device)
            self.note(f"{device.name} at the end", await device.view())
        self.record.append(["sent", *sent(self.devices)])

    async def _as_fetched(self, device: Device) -> None:
        headers = {"Authorization": f"Bearer {device.person['token']}"}
        path = f"{self.world.url}/api/consultations/{self.conv}"
        last: tuple[Any, Any] = (None, None)
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE), aiohttp.ClientSession(headers=headers) as http:
                while True:
                    log: list[Answer] = []
                    more = True
                    while more:
                        async with http.get(f"{path}/ops?after={len(log)}") as response:
                            page = await response.json()
                        log += page["ops"]
                        more = page["more"]
                    async with http.get(path) as response:
                        header = await response.json()
                    view = await device.view()
                    last = ([_plain(op) for op in log], header)
                    if ([_plain(op) for op in view["ops"]], view["header"]) == last:
                        return
                    await asyncio.sleep(0.05)
        view = await device.view()
        assert ([_plain(op) for op in view["ops"]], view["header"]) == last, self.kind

    async def close(self) -> None:
        """End the consultation, so that the desk has room for the next one."""
        try:
            if self.world.desk.header(self.conv).get("state") == "active":
                await self.world.desk.act("conv:close", self.conv, reason="answered")
        finally:
            await self.host.close()
            for proxy in self.proxies:
                await proxy.stop()


def texts_of(view: Answer) -> list[str]:
    return [item["content"].get("text", "") for item in view["thread"] if item["type"] == "bubble"]


def states_of(view: Answer) -> list[str]:
    return [item["state"] for item in view["thread"] if item["type"] == "bubble"]


def bubble_of(view: Answer, text: str) -> Answer:
    return next(item for item in view["thread"] if item["type"] == "bubble" and item["content"].get("text") == text)


def events(proxy: Proxy) -> list[tuple[str, Answer]]:
    """What a device sent, as (event, payload)."""
    found = (_EVENT.match(text) for way, text in proxy.frames if way == "up")
    return [(name, payload) for match in found if match for name, payload in [json.loads(match[2])]]


def sent(devices: list[Device]) -> list[Any]:
    """What each device asked to be done, in order; what was sent again is there once."""
    found: list[Any] = []
    for device in devices:
        for each in events(device.through):
            if each[0] not in _BY_THE_CLOCK and each not in found:
                found.append(each)
    return found


def comparable(record: Any) -> str:
    """A record as text in which ids are numbered as they appear and moments are alike."""
    text = json.dumps(record, ensure_ascii=False, sort_keys=True, indent=1)
    labels: dict[str, str] = {}
    text = _UUID.sub(lambda match: labels.setdefault(match[0], f"id-{len(labels) + 1}"), text)
    return _MOMENT.sub("moment", text)


def _plain(op: Answer) -> Answer:
    """Over HTTP a skip has members with nothing in them."""
    if op["kind"] == "skip":
        return {name: op[name] for name in ("v", "conv", "epoch", "seq", "kind")}
    return {name: value for name, value in op.items() if value is not None}
