"""A device of a drill: speaks docs/protocol.md on a bare WebSocket and writes down what it hears as it hears it.

Unlike `chat.client` it hides nothing: an operation that comes too early, twice or changed is recorded, not
put right. Its outbox outlives every connection, and up to `window` of its events are unanswered at once.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from tests.drills.history import History, Kind

ANSWER_TIMEOUT = 8.0  # seconds without an answer after which a connection is given up, as the protocol says
GetTicket = Callable[[], Awaitable[str]]


@dataclass
class Item:
    """Something to be done until there is a definite answer."""

    event: str
    payload: dict[str, Any]
    answer: asyncio.Future[dict[str, Any]]
    tries: int = 0

    @property
    def cid(self) -> str:
        return str(self.payload["cid"])


@dataclass
class Waiting:
    """An event in flight. `item` None: asked once, for itself."""

    item: Item | None
    answer: asyncio.Future[dict[str, Any] | None]
    since: float


@dataclass
class View:
    """What the device has of one consultation."""

    epoch: int = 0
    ops: list[dict[str, Any]] = field(default_factory=list)

    @property
    def seq(self) -> int:
        return len(self.ops)

    def own(self, person: str, kind: str = "message") -> list[dict[str, Any]]:
        return [op for op in self.ops if op["kind"] == kind and op["from"]["id"] == person]


class Device:
    """One device of one person. `url` may be changed between two connections."""

    def __init__(
        self,
        name: str,
        url: str,
        get_ticket: GetTicket,
        history: History,
        *,
        namespace: str,
        person: str,
        window: int = 8,
        views: dict[str, View] | None = None,
        longest_pause: float = 1.0,
    ) -> None:
        self.name = name
        self.url = url
        self.namespace = namespace
        self.person = person
        self.views = views if views is not None else {}
        self.outbox: OrderedDict[str, Item] = OrderedDict()
        self.headers: dict[str, dict[str, Any]] = {}
        self.connections = 0
        self.online = asyncio.Event()
        self.reading = asyncio.Event()
        self.last_error: Exception | None = None
        self.doing = "nothing yet"
        self.kicks: list[str] = []
        self.get_ticket = get_ticket
        self._history = history
        self._window = window
        self._longest = longest_pause
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._waiting: dict[int, Waiting] = {}
        self._numbers = 0
        self._hold_until = 0.0
        self._told: dict[str, tuple[int, int]] = {}
        self._task: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self.reading.set()
        history.audiences[name] = "citizen" if namespace == "/citizen" else "staff"

    # --- life ------------------------------------------------------------------------------------

    async def __aenter__(self) -> Device:
        self.start()
        async with asyncio.timeout(30):
            await self.online.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def start(self) -> None:
        self._task = asyncio.create_task(self._stay(), name=self.name)

    async def stop(self) -> None:
        """Away for good, or until `start`. The outbox stays."""
        tasks = [task for task in (self._task, *self._tasks) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._task = None

    async def drop(self) -> None:
        """Lose the connection; a started device comes back."""
        if (socket := self._socket) is not None:
            with suppress(Exception):
                await asyncio.wait_for(socket.close(), 2)

    def freeze(self) -> None:
        """Read nothing more, answer nothing more; the connection stays open."""
        self.reading.clear()

    def thaw(self) -> None:
        self.reading.set()

    @property
    def watched(self) -> bool:
        """Whether it is to have everything: started and reading."""
        return self._task is not None and self.reading.is_set()

    # --- doing -----------------------------------------------------------------------------------

    def put(self, event: str, conv: str, *, cid: str | None = None, **members: Any) -> Item:
        """Into the outbox; sent as soon as the window allows, again and again until it is answered."""
        payload = {"conv": conv, "cid": cid or str(uuid.uuid4()), **members}
        item = Item(event, payload, asyncio.get_running_loop().create_future())
        item.answer.add_done_callback(lambda future: future.cancelled() or future.exception())
        self.outbox[item.cid] = item
        self._later(self._flush())
        return item

    def say(self, conv: str, text: str, *, cid: str | None = None) -> Item:
        return self.put("msg:send", conv, cid=cid, body={"text": text})

    async def ask(self, event: str, payload: dict[str, Any], timeout: float = ANSWER_TIMEOUT) -> dict[str, Any] | None:
        """Ask once. None: no answer."""
        future: asyncio.Future[dict[str, Any] | None] = asyncio.get_running_loop().create_future()
        if not await self._emit(event, payload, Waiting(None, future, asyncio.get_running_loop().time())):
            return None
        with suppress(TimeoutError):
            return await asyncio.wait_for(future, timeout)
        return None

    async def open(self, subject: str, **members: Any) -> str:
        """Open a consultation; its id."""
        cid = str(uuid.uuid4())
        async with asyncio.timeout(60):
            while True:
                answer = await self.ask("conv:open", {"cid": cid, "subject": subject, **members})
                if answer is not None and answer["ok"]:
                    conv = str(answer["conv"])
                    self.views.setdefault(conv, View())
                    return conv
                assert answer is None or answer["retry"], answer
                await self.online.wait()
                await asyncio.sleep(0.05)

    async def mark(self, conv: str, *, delivered: int, read: int) -> None:
        """Tell how far this device has read."""
        floor = self._told.get(conv, (0, 0))
        answer = await self.ask("rcpt", {"conv": conv, "delivered": delivered, "read": read})
        if answer is not None and answer["ok"]:
            now = (answer["delivered"], answer["read"])
            self._history.note(self.name, "watermark", conv, floor=floor, now=now)
            self._told[conv] = max(self._told.get(conv, (0, 0)), now)

    # --- the connection --------------------------------------------------------------------------

    async def _stay(self) -> None:
        pause = 0.05
        while True:
            try:
                async with aiohttp.ClientSession() as http:
                    await self._connect(http)
                    pause = 0.05
                    await self._listen()
            except Exception as error:  # whatever it was, the next attempt begins anew
                self.last_error = error
            finally:
                self._lost()
            self.doing = f"about to connect after {self.last_error!r}"
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(self._longest, pause * 2)

    async def _connect(self, http: aiohttp.ClientSession) -> None:
        async with asyncio.timeout(6):
            before = f"after {self.last_error!r}" if self.last_error is not None else "for the first time"
            self.doing = f"fetching a ticket {before}"
            ticket = await self.get_ticket()
            self.doing = f"connecting {before}"
            url = f"{self.url}/socket.io/?EIO=4&transport=websocket"
            socket = await http.ws_connect(url, max_msg_size=0, autoclose=True)
            auth = orjson.dumps({"ticket": ticket, "device": self.name, "v": 1}).decode()
            await socket.send_str(f"40{self.namespace},{auth}")
            while not (text := await self._receive(socket)).startswith("40"):
                if text.startswith("44"):
                    raise ConnectionError(text)
        self._socket = socket
        self.doing = f"saying hello {before}"
        cursors = {conv: [view.epoch, view.seq] for conv, view in self.views.items()}
        listening = asyncio.ensure_future(self._greet(cursors))
        self._tasks.add(listening)
        listening.add_done_callback(self._tasks.discard)

    async def _greet(self, cursors: dict[str, list[int]]) -> None:
        answer = await self.ask("hello", {"cursors": cursors, "rest": True})
        if answer is None or not answer["ok"]:
            self.last_error = ConnectionError(f"hello: {answer}")
            await self.drop()
            return
        self.connections += 1
        self.doing = "listening"
        self.online.set()
        await self._flush()

    async def _listen(self) -> None:
        socket = self._socket
        assert socket is not None
        watching = asyncio.create_task(self._watch(socket))
        try:
            while True:
                await self.reading.wait()
                self._hear(await self._receive(socket))
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _watch(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Give the connection up when something was not answered in time."""
        while True:
            await asyncio.sleep(0.5)
            now = asyncio.get_running_loop().time()
            if self.reading.is_set() and any(now - w.since > ANSWER_TIMEOUT for w in self._waiting.values()):
                if (transport := socket.get_extra_info("socket")) is not None:
                    transport.shutdown(2)
                return

    @staticmethod
    async def _receive(socket: aiohttp.ClientWebSocketResponse) -> str:
        message = await socket.receive()
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise ConnectionError(str(message.type))
        return str(message.data)

    def _lost(self) -> None:
        self._socket = None
        self.online.clear()
        waiting, self._waiting = self._waiting, {}
        for entry in waiting.values():
            if not entry.answer.done():
                entry.answer.set_result(None)

    async def _emit(self, event: str, payload: dict[str, Any], waiting: Waiting) -> bool:
        socket = self._socket
        if socket is None or socket.closed:
            return False
        self._numbers += 1
        self._waiting[self._numbers] = waiting
        text = f"42{self.namespace},{self._numbers}{orjson.dumps([event, payload]).decode()}"
        with suppress(ConnectionError, RuntimeError):
            await socket.send_str(text)
            return True
        return False

    async def _flush(self) -> None:
        """Send what is in the outbox, in order, as far as the window goes."""
        loop = asyncio.get_running_loop()
        if not self.online.is_set() or loop.time() < self._hold_until:
            return
        in_flight = {w.item.cid for w in self._waiting.values() if w.item is not None}
        for item in list(self.outbox.values()):
            if len(in_flight) >= self._window:
                return
            if item.cid in in_flight:
                continue
            in_flight.add(item.cid)
            item.tries += 1
            if item.tries == 1:
                self._history.note(self.name, "sent", item.payload["conv"], cid=item.cid, event=item.event)
            answer: asyncio.Future[dict[str, Any] | None] = loop.create_future()
            # the number is given and the packet handed over without a pause in between: the order stays
            if not await self._emit(item.event, item.payload, Waiting(item, answer, loop.time())):
                return

    # --- hearing ---------------------------------------------------------------------------------

    def _hear(self, text: str) -> None:
        if text == "2":
            self._later(self._say_raw("3"))
        elif text.startswith("42"):
            self._heard_event(text[2:].removeprefix(f"{self.namespace},"))
        elif text.startswith("43"):
            rest = text[2:].removeprefix(f"{self.namespace},")
            number, _, body = rest.partition("[")
            self._answered(int(number), orjson.loads("[" + body)[0])
        elif text.startswith(("1", "41")):
            raise ConnectionError("closed by the server")

    def _heard_event(self, rest: str) -> None:
        number, _, body = rest.partition("[")
        event, data = orjson.loads("[" + body)
        if event == "op":
            self._heard_op(data)
        elif event == "conv":
            self._heard_header(data["id"], data)
            if not data["joined"]:
                self._later(self._follow(data["id"]))
        elif event == "rcpt":
            # on one connection: two nodes may know different things for a moment
            who = f"{data['reader']['kind']} {data['reader']['id']} on connection {self.connections}"
            now = {"delivered": data["delivered"], "read": data["read"]}
            self._history.note(self.name, "receipt", data["conv"], reader=who, **now)
        elif event == "kick":
            self.kicks.append(data["code"])
        if number:  # it wants to be acknowledged
            self._later(self._say_raw(f"43{self.namespace},{number}[{{}}]"))

    def _heard_op(self, op: dict[str, Any]) -> None:
        view = self.views.setdefault(op["conv"], View())
        view.epoch = op["epoch"]
        self._history.note(self.name, "shown", op["conv"], op=op)
        if op["seq"] == view.seq + 1:
            view.ops.append(op)

    def _heard_header(self, conv: str, header: dict[str, Any]) -> None:
        self.headers[conv] = header
        self.views.setdefault(conv, View())

    def _answered(self, number: int, answer: dict[str, Any]) -> None:
        waiting = self._waiting.pop(number, None)
        if waiting is None:
            return
        if waiting.item is not None:
            self._settle(waiting.item, answer)
        elif answer.get("ok") and "convs" in answer:
            self._greeted(answer)
        if not waiting.answer.done():
            waiting.answer.set_result(answer)
        self._later(self._flush())

    def _greeted(self, answer: dict[str, Any]) -> None:
        """Before the first operation is heard, which follows the answer at once."""
        for entry in answer["convs"]:
            conv = entry["conv"]
            known = self.views.get(conv)
            self._heard_header(conv, entry["consultation"])
            if entry["joined"] and not entry["recovered"] and known is not None and known.seq:
                self._history.note(self.name, "reset", conv, epoch=entry["epoch"])
                known.ops.clear()
            self.views[conv].epoch = entry["epoch"]
            if not entry["joined"]:
                self._later(self._follow(conv))

    async def _follow(self, conv: str) -> None:
        view = self.views[conv]
        await self.ask("hello", {"cursors": {conv: [view.epoch, view.seq]}, "rest": False})

    def _settle(self, item: Item, answer: dict[str, Any]) -> None:
        conv = item.payload["conv"]
        if answer["ok"]:
            told = {"seq": answer["seq"], "ts": answer["ts"], "dup": answer["dup"]}
            self._history.note(self.name, "acked", conv, cid=item.cid, **told)
        elif answer["retry"]:
            self._history.note(self.name, "retry", conv, cid=item.cid, code=answer["problem"]["code"])
            pause = min(1.0, answer.get("after_ms", 1000) / 1000)
            self._hold_until = asyncio.get_running_loop().time() + pause
            self._later(self._flush_after(pause + 0.01))
            return
        else:
            code = answer["problem"]["code"]
            kind: Kind = "conflict" if code == "idempotency-conflict" else "refused"
            self._history.note(self.name, kind, conv, cid=item.cid, code=code)
        if self.outbox.get(item.cid) is item:
            del self.outbox[item.cid]
        if not item.answer.done():
            item.answer.set_result(answer)

    async def _flush_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._flush()

    async def _say_raw(self, text: str) -> None:
        if self._socket is not None:
            with suppress(ConnectionError, RuntimeError):
                await self._socket.send_str(text)

    def _later(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
