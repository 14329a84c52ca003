"""Many lean clients in one process, which keep to docs/protocol.md: `python -m tests.bench.storm_clients FILE`.

FILE is JSON: `{"ports", "source", "people": [[token, conv], …]}`. Each person fetches a ticket, opens a socket on a
port taken at random, as behind a balancer, says hello, and comes back for ever, with the pauses of the document.
Commands on standard input, one a line, each answered with one line of JSON: `start`, `cut SEQ` (lose every
connection now), `expect SEQ` (from now on the others count as not resynchronised until they have operation SEQ),
`ports [N, …]`, `status`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
import time
from collections import Counter
from pathlib import Path

import orjson
import uvloop

from tests.bench.generator import allow_many_files

_PATIENCE = 20.0  # seconds for a ticket, an opening, an answer
_UPGRADE = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)
_TICKET = (
    b"POST /api/socket-tickets HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %b\r\n"
    b"Content-Length: 0\r\nConnection: close\r\n\r\n"
)


class Refused(Exception):
    def __init__(self, problem: dict[str, object]) -> None:
        super().__init__(str(problem.get("code")))
        self.problem = problem


class Client:
    """One citizen with one consultation."""

    def __init__(self, crowd: Crowd, token: str, conv: str) -> None:
        self._crowd, self._token, self._conv = crowd, token.encode(), conv
        self.seq = 0
        self.online = False
        self.refusals = 0
        self.told: list[tuple[float, float]] = []  # when, and to wait for how long
        self.final: str | None = None
        self.synced_at: float | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def live(self) -> None:
        failed, held = 0, 0.0
        first = True
        while self.final is None:
            pause = 0.0 if first else min(30.0, 2.0**failed) * random.random()
            first = False
            await asyncio.sleep(max(pause, held * (1 + 0.2 * random.random())))
            held, connected = 0.0, False
            try:
                async with asyncio.timeout(_PATIENCE):
                    reader = await self._connect()
                failed, connected = 0, True
                await self._listen(reader)
            except Refused as refused:
                self.refusals += 1
                failed += 1
                wait = refused.problem.get("retry_after")
                if isinstance(wait, int | float):
                    held = float(wait)
                    self.told.append((time.monotonic(), held))
                    self._crowd.longest = max(self._crowd.longest, held)
                    self._crowd.refused[str(refused.problem["code"])] += 1
                else:
                    self._crowd.refused[f"without a time: {refused}"] += 1
                    if refused.problem.get("code") in ("session-ended", "unsupported-version", "invalid-input"):
                        self.final = str(refused)
            except (OSError, EOFError, TimeoutError) as error:
                failed += 1
                if not connected:  # to lose what one had is no attempt that failed
                    self._crowd.lost[type(error).__name__] += 1
            finally:
                self.online = False
                self._hang_up()

    def cut(self) -> None:
        self._hang_up()

    def _hang_up(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
            self._writer = None

    async def _open(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(
            "127.0.0.1", port, local_addr=(self._crowd.source, 0), limit=2**16, family=2
        )

    async def _connect(self) -> asyncio.StreamReader:
        ticket = await self._ticket()
        port = self._crowd.port()
        reader, self._writer = await self._open(port)
        self._writer.write(_UPGRADE % port)
        if b" 101 " not in await reader.readuntil(b"\r\n\r\n"):
            raise OSError("no socket")
        await self._frame(reader)  # Engine.IO's opening
        self._say(b"40/citizen," + orjson.dumps({"ticket": ticket, "v": 1}))
        while not (data := await self._frame(reader)).startswith((b"40", b"44")):
            pass
        if data.startswith(b"44"):
            raise Refused(orjson.loads(data.partition(b",")[2])["data"])
        hello = {"cursors": {self._conv: [1, self.seq]} if self.seq else {}, "rest": True}
        self._say(b"42/citizen,1" + orjson.dumps(["hello", hello]))
        while not (data := await self._frame(reader)).startswith(b"43/citizen,1["):
            self._take(data)
        answer = orjson.loads(data[len(b"43/citizen,1") :])[0]
        if not answer["ok"]:
            raise Refused(answer["problem"])
        self.online = True
        self._check()
        return reader

    async def _ticket(self) -> str:
        port = self._crowd.port()
        reader, writer = await self._open(port)
        try:
            writer.write(_TICKET % (port, self._token))
            answer = await reader.read(-1)
        finally:
            writer.transport.abort()
        head, _, body = answer.partition(b"\r\n\r\n")
        if not body:
            raise EOFError
        found = orjson.loads(body)
        if b" 201 " not in head[:20]:
            raise Refused(found)
        return str(found["ticket"])

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while True:
            self._take(await self._frame(reader))

    def _take(self, data: bytes) -> None:
        if data == b"2":
            self._say(b"3")
        elif data.startswith(b'42/citizen,["op",'):
            self.seq = max(self.seq, orjson.loads(data[len(b"42/citizen,") :])[1]["seq"])
            self._check()

    def _check(self) -> None:
        if self.synced_at is None and self.online and self.seq >= self._crowd.expected:
            self.synced_at = time.monotonic()

    def expect(self) -> None:
        self.synced_at = None
        self._check()

    async def _frame(self, reader: asyncio.StreamReader) -> bytes:
        """One whole frame; the servers measured send no fragments."""
        head = await reader.readexactly(2)
        size = head[1] & 127
        if size >= 126:
            size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
        data = await reader.readexactly(size)
        if head[0] & 15 == 8:
            raise EOFError
        return data

    def _say(self, data: bytes) -> None:
        assert self._writer is not None
        size = bytes((0x80 | len(data),)) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
        self._writer.write(b"\x81" + size + b"\0\0\0\0" + data)  # a mask of zeros changes nothing


class Crowd:
    """All clients of this process."""

    def __init__(self, ports: list[int], source: str, people: list[tuple[str, str]]) -> None:
        self._ports, self.source = ports, source
        self.expected = 0
        self.longest = 0.0
        self.refused: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.clients = [Client(self, token, conv) for token, conv in people]
        self._tasks: list[asyncio.Task[None]] = []

    def port(self) -> int:
        return random.choice(self._ports)

    def do(self, command: str, argument: str) -> None:
        if command == "start":
            self._tasks = [asyncio.create_task(client.live()) for client in self.clients]
        elif command == "ports":
            self._ports = json.loads(argument)
        elif command in ("cut", "expect"):
            self.expected, self.longest = int(argument), 0.0
            self.refused.clear()
            self.lost.clear()
            for client in self.clients:
                client.refusals = 0
                if command == "cut":
                    client.online = False
                    client.cut()
                client.expect()

    async def stop(self) -> None:
        """Everybody leaves for good."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def status(self, times: bool) -> dict[str, object]:
        found: dict[str, object] = {
            "online": sum(c.online for c in self.clients),
            "synced": sum(c.synced_at is not None for c in self.clients),
            "refused": dict(self.refused),
            "lost": dict(self.lost),
            "longest_told_s": self.longest,
            "most_refusals": max(c.refusals for c in self.clients),
            "final": sum(c.final is not None for c in self.clients),
        }
        if times:
            found["synced_at"] = [c.synced_at for c in self.clients]
        return found


async def _run(file: Path) -> None:
    told = json.loads(file.read_text())
    crowd = Crowd(told["ports"], told["source"], told["people"])
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := (await commands.readline()).decode():
        command, _, argument = line.strip().partition(" ")
        crowd.do(command, argument)
        print(json.dumps(crowd.status(command == "times")), flush=True)


if __name__ == "__main__":
    allow_many_files()
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(_run(Path(sys.argv[1])))
