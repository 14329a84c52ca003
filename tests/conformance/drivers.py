"""Both clients behind one interface: commands as in `web/packages/chat/tests/driver.ts`, answered with JSON."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import time
from pathlib import Path
from typing import Any, Protocol

import aiohttp

from chat.client import ChatClient, Refused

Answer = dict[str, Any]

#: Seconds: pauses between attempts, without an acknowledgement, between beats, to connect. Apps wait longer.
TIMING = {"first": 0.02, "longest": 0.2, "answer": 2.0, "beat": 0.4, "connect": 2.0}


class Host(Protocol):
    """Hosts clients of one implementation."""

    async def do(self, client: str, command: str, **arguments: Any) -> Answer: ...

    async def close(self) -> None: ...


class TypeScriptHost:
    """The browser's client, in a Node process that listens on `port`."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ids = itertools.count()
        self._answers: dict[int, asyncio.Future[Answer]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None

    async def do(self, client: str, command: str, **arguments: Any) -> Answer:
        if self._writer is None:
            reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**24)
            self._reading = asyncio.create_task(self._read(reader))
        number = next(self._ids)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        line = json.dumps({"id": number, "do": command, "client": client, **arguments})
        self._writer.write(line.encode() + b"\n")
        found: Answer = await asyncio.wait_for(answer, 30)
        assert found["ok"], f"{command}: {found['error']}"
        return found

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            answer = json.loads(line)
            self._answers.pop(answer["id"]).set_result(answer)

    async def close(self) -> None:
        if self._writer is not None and self._reading is not None:
            self._writer.close()
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)


class TicketRefused(Exception):
    """No ticket: the server's `problem`, and what `Retry-After` said."""

    def __init__(self, problem: Answer, retry_after: float) -> None:
        super().__init__(problem["code"])
        self.problem = {"retry_after": retry_after} | problem


class PythonHost:
    """The Python client, in this process. `folder` has what its devices keep."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._clients: dict[str, ChatClient] = {}
        self._offsets: dict[str, float] = {}

    async def close(self) -> None:
        await asyncio.gather(*(client.stop() for client in self._clients.values()))

    async def do(self, client: str, command: str, **arguments: Any) -> Answer:
        if command == "new":
            self._create(client, **arguments)
            return {}
        chat = self._clients[client]
        match command:
            case "start":
                chat.start()
            case "stop":
                await chat.stop()
            case "crash":
                chat.crash()
                await chat.sleep()
            case "sleep":
                await chat.sleep()
            case "wake":
                chat.wake()
            case "clock":
                self._offsets[client] = arguments["offset"]
            case "open":
                entry = chat.begin(**arguments["payload"])
                return {"conv": entry.conv, "cid": entry.cid}
            case "follow":
                await chat.follow(arguments["conv"])
            case "read":
                chat.mark_read(**arguments)
            case "typing":
                await chat.typing(arguments["conv"])
            case "retry":
                chat.outbox.retry(arguments["cid"])
            case "discard":
                chat.outbox.discard(arguments["cid"])
            case "view":
                return self._view(chat, arguments.get("conv"), self._folder / f"{client}.json")
            case "act":
                return await self._act(chat, **arguments)
            case _:
                return self._put(chat, command, **arguments)
        return {}

    @staticmethod
    def _put(chat: ChatClient, command: str, conv: str, **arguments: Any) -> Answer:
        event = {"send": "msg:send", "edit": "msg:edit", "recall": "msg:recall", "note": "note:add"}[command]
        if "seq" in arguments:
            arguments["target_seq"] = arguments.pop("seq")
        return {"cid": chat.put(event, conv, **arguments).cid}

    @staticmethod
    async def _act(chat: ChatClient, name: str, conv: str, args: list[Any]) -> Answer:
        events: dict[str, tuple[str, Answer]] = {
            "close": ("conv:close", {"reason": "citizen_left", "remark": ""}),
            "reopen": ("conv:reopen", {}),
            "rate": ("conv:rate", {"score": args and args[0], "comment": ""}),
        }
        event, payload = events[name]
        try:
            await chat.act(event, chat.resolve(conv), **payload)
        except Refused as error:
            return {"problem": error.code}
        return {"problem": None}

    def _create(self, client: str, *, url: str, token: str, person: Answer, namespace: str, **options: Any) -> None:
        async def ticket() -> str:
            headers = {"Authorization": f"Bearer {token}"}
            async with aiohttp.ClientSession() as http, http.post(f"{url}/api/socket-tickets", headers=headers) as got:
                body = await got.json(content_type=None) if "json" in got.content_type else {}
                if got.ok:
                    return str(body["ticket"])
                problem = {"code": f"http-{got.status}"} | body | {"status": got.status}
                raise TicketRefused(problem, float(got.headers.get("Retry-After", 0)))

        kept = self._folder / f"{client}.json"
        if (before := options.get("from")) is not None:
            shutil.copy(self._folder / f"{before}.json", kept)
        self._offsets[client] = 0.0
        timing = options["timing"]
        self._clients[client] = ChatClient(
            url,
            ticket,
            namespace=namespace,
            me=person["id"],
            kept=kept,
            tells_receipts=True,
            first_pause=timing["first"],
            longest_pause=timing["longest"],
            answer_timeout=timing["answer"],
            beat_every=timing["beat"],
            connect_timeout=timing["connect"],
            now=lambda: time.time() + self._offsets[client],
        )

    @staticmethod
    def _view(chat: ChatClient, conv: str | None, kept: Path) -> Answer:
        link = chat.connection
        status = {
            "online": chat.connected.is_set(),
            "reason": link.reason,
            "problem": (link.problem or {}).get("code"),
            "ended": int(link.reason == "session-ended"),
        }
        if conv is None:
            return {"status": status, "convs": list(chat.logs)}
        entries = chat.outbox.of(chat.resolve(conv))
        log = chat.logs.get(chat.resolve(conv))
        stored = json.loads(kept.read_text())["logs"] if kept.exists() else {}
        return {
            "kept": len(stored.get(chat.resolve(conv), {"ops": []})["ops"]),
            "status": status,
            "conv": chat.resolve(conv),
            "header": chat.header(conv),
            "pending": len(entries),
            "failed": sum(entry.problem is not None for entry in entries),
            "typing": log.typing if log else None,
            "thread": [_item(item) for item in chat.thread(conv)],
            "ops": log.ops if log else [],
        }


def _item(item: Answer) -> Answer:
    if item["type"] == "system":
        return {name: item[name] for name in ("type", "seq", "kind")}
    found = {name: item[name] for name in ("type", "cid", "mine", "content", "note", "recalled", "state", "seq")}
    quote = item.get("quote")
    return found | {
        "from": item["from"]["kind"],
        "edited": item["edited_at"] is not None,
        "quote": {name: quote[name] for name in ("seq", "text", "recalled")} if quote else None,
        "problem": (item.get("problem") or {}).get("code"),
        "changing": item.get("changing"),
    }
