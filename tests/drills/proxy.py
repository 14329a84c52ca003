"""A TCP proxy that can lose, hold and slow each direction on its own: network faults without privileges.

`down` is what the server says, `up` what the client says. Holding a direction is what TCP makes of lost
packets: nothing arrives until it heals, then everything does. Swallowing is what a half-open connection
looks like: the other end thinks it was heard. After that only a new connection helps, so healing aborts.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Literal, Self

Direction = Literal["up", "down"]
_CHUNK = 64 * 1024


class Proxy:
    """Listens on a port of its own and passes everything on to `host:port`."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._open = {"up": asyncio.Event(), "down": asyncio.Event()}
        self._swallowed: set[str] = set()
        self._rate: float | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._stranded: list[asyncio.Event] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._tainted = False
        self.refusing = False
        self.stranded: list[bytes] = []
        """What was said on stranded connections and has not arrived."""
        self.port = 0
        for event in self._open.values():
            event.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.abort()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def hold(self, *directions: Direction) -> None:
        """Nothing of these directions arrives until `heal`."""
        for direction in directions:
            self._open[direction].clear()

    def swallow(self, *directions: Direction) -> None:
        """What is said in these directions is gone, and nobody is told."""
        self._swallowed.update(directions)
        self._tainted = True

    def strand(self) -> None:
        """What is said on the present connections from now on arrives only with `deliver`; new ones are free."""
        gate, self._open["up"] = self._open["up"], asyncio.Event()
        self._open["up"].set()
        gate.clear()
        self._stranded.append(gate)

    def deliver(self) -> None:
        """What was said on stranded connections arrives, whether or not who said it is still there."""
        stranded, self._stranded, self.stranded = self._stranded, [], []
        for gate in stranded:
            gate.set()

    def slow(self, bytes_per_second: float | None) -> None:
        """How fast the server's words arrive; None: at once."""
        self._rate = bytes_per_second

    def heal(self) -> None:
        """Pass everything on again; connections of which something was lost for good are aborted."""
        self._swallowed.clear()
        self._rate = None
        self.refusing = False
        if self._tainted:
            self.abort()
        self._tainted = False
        for event in self._open.values():
            event.set()

    def abort(self) -> None:
        """Reset every connection."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.transport.abort()
            return
        try:
            there_reader, there_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, there_writer}
        tasks = [
            asyncio.create_task(self._pass_on(reader, there_writer, "up")),
            asyncio.create_task(self._pass_on(there_reader, writer, "down")),
        ]
        self._tasks.update(tasks)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.difference_update(tasks)
        for end in (writer, there_writer):
            self._writers.discard(end)
            end.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Direction) -> None:
        gate = self._open[way]
        with suppress(OSError):
            while True:
                await gate.wait()  # not read while held: the sender's buffers fill as on a real line
                data = await reader.read(_CHUNK if self._rate is None or way == "up" else 512)
                if gate in self._stranded:
                    self.stranded.append(data)
                await gate.wait()
                if not data:
                    return
                if way in self._swallowed:
                    continue
                if way == "down" and self._rate is not None:
                    await asyncio.sleep(len(data) / self._rate)
                writer.write(data)
                await writer.drain()
