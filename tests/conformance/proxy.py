"""A TCP proxy that sees WebSocket frames as text, and can cut, freeze, drop, hold, repeat, replace and delay them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

Fate = Literal["pass", "drop", "cut-before", "cut-after", "freeze", "swallow", "hold", "twice", "replace", "answer"]
#: `freeze` stops one direction from this frame on, `swallow` both, and neither ever closes anything.
Way = Literal["up", "down"]


@dataclass
class Rule:
    """What becomes of the next frames that match, `times` of them. `text` is what stands in their place."""

    way: Way
    pattern: str
    fate: Fate
    times: int = 1
    text: Callable[[str], str] | str = ""
    done: int = 0

    def replacement(self, text: str) -> str:
        return self.text if isinstance(self.text, str) else self.text(text)


@dataclass
class Proxy:
    """Between one device and the server. `frames` has every text frame of either way, in order."""

    host: str
    port: int
    rules: list[Rule] = field(default_factory=list)
    frames: list[tuple[Way, str]] = field(default_factory=list)
    refuse: bool = False
    delay: float = 0.0  # seconds that each piece waits, either way
    connections: int = 0
    cut_after_bytes: int | None = None  # of the client, once
    _pairs: set[_Pair] = field(default_factory=set)
    _server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def on(self, way: Way, pattern: str, fate: Fate, times: int = 1, text: Callable[[str], str] | str = "") -> Rule:
        """Decide what becomes of the next frames that match."""
        rule = Rule(way, pattern, fate, times, text)
        self.rules.append(rule)
        return rule

    def cut(self) -> None:
        """All connections are gone."""
        for pair in list(self._pairs):
            pair.cut()

    def heal(self) -> None:
        """Everything passes again. What was frozen stays so until it is cut."""
        self.rules.clear()
        self.refuse, self.delay = False, 0.0

    def release(self) -> None:
        """What was held goes on, in its order."""
        for pair in self._pairs:
            pair.release()

    def say(self, text: str) -> None:
        """Say something in the server's place."""
        for pair in self._pairs:
            pair.say(text)

    def fate_of(self, way: Way, text: str) -> Rule | None:
        """The first rule that matches, counted."""
        for rule in self.rules:
            if rule.way == way and rule.done < rule.times and re.search(rule.pattern, text):
                rule.done += 1
                return rule
        return None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuse:
            writer.transport.abort()
            return
        self.connections += 1
        try:
            there = await asyncio.open_connection(self.host, self.port)
        except OSError:
            writer.transport.abort()
            return
        pair = _Pair(self, writer, there[1])
        self._pairs.add(pair)
        try:
            await asyncio.gather(pair.forward("up", reader), pair.forward("down", there[0]))
        finally:
            pair.cut()
            self._pairs.discard(pair)


class _Pair:
    """One connection of a client and the one behind it."""

    def __init__(self, proxy: Proxy, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._to: dict[Way, asyncio.StreamWriter] = {"up": server, "down": client}
        self._frozen: set[Way] = set()
        self._held: list[tuple[Way, bytes]] = []
        self._upgraded = False
        self._sent = 0

    def cut(self) -> None:
        for writer in self._to.values():
            writer.transport.abort()

    def release(self) -> None:
        held, self._held = self._held, []
        for way, data in held:
            self._to[way].write(data)

    def say(self, text: str) -> None:
        if self._upgraded:
            self._to["down"].write(encode(text))

    async def forward(self, way: Way, reader: asyncio.StreamReader) -> None:
        frames = _Frames()
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                if self._proxy.delay:
                    await asyncio.sleep(self._proxy.delay)
                if way == "up" and self._limit(data):
                    break
                for raw, text in frames.take(data):
                    self._upgraded = self._upgraded or text == "HTTP upgrade"
                    if text and not text.startswith("HTTP"):
                        self._proxy.frames.append((way, text))
                    if way not in self._frozen:
                        self._apply(way, raw, self._proxy.fate_of(way, text) if text else None)
        if not self._frozen:
            self.cut()

    def _limit(self, data: bytes) -> bool:
        """Whether the limit of bytes is reached: what lies before it goes out, then the connection is cut."""
        most = self._proxy.cut_after_bytes
        if most is None or self._sent + len(data) < most:
            self._sent += len(data)
            return False
        self._proxy.cut_after_bytes = None
        self._to["up"].write(data[: most - self._sent])
        self._to["up"].close()
        self._to["down"].transport.abort()
        return True

    def _apply(self, way: Way, raw: bytes, rule: Rule | None) -> None:
        fate = rule.fate if rule else "pass"
        if fate == "freeze":
            self._frozen.add(way)
        elif fate == "swallow":
            self._frozen |= {"up", "down"}
        elif fate == "hold":
            self._held.append((way, raw))
        elif fate == "cut-before":
            self.cut()
        elif fate == "answer" and rule:  # in the server's place, to what was asked over HTTP
            self._to["down"].write(rule.replacement("").encode())
            self._to["down"].close()
            self._to["up"].transport.abort()
        elif fate == "replace" and rule:
            self._to[way].write(encode(rule.replacement(decode(raw))))
        elif fate != "drop":
            self._to[way].write(raw * (2 if fate == "twice" else 1))
        if fate == "cut-after":
            self._to[way].close()
            self._to["down" if way == "up" else "up"].transport.abort()


def encode(text: str) -> bytes:
    """A text frame as servers write it (RFC 6455, 5.2)."""
    data = text.encode()
    if len(data) < 126:
        return bytes([0x81, len(data)]) + data
    return bytes([0x81, 126]) + len(data).to_bytes(2, "big") + data


def decode(raw: bytes) -> str:
    """The text of one whole frame."""
    return next(_Frames(upgraded=True).take(raw))[1]


class _Frames:
    """Splits one way of a connection: HTTP as it comes, then frames. Texts of HTTP begin with `HTTP`."""

    def __init__(self, *, upgraded: bool = False) -> None:
        self._rest = b""
        self._upgraded = upgraded

    def take(self, data: bytes) -> Iterator[tuple[bytes, str]]:
        self._rest += data
        if not self._upgraded:
            head, end, rest = self._rest.partition(b"\r\n\r\n")
            self._upgraded = bool(end) and b"upgrade: websocket" in head.lower()
            whole, self._rest = (head + end, rest) if self._upgraded else (self._rest, b"")
            yield whole, "HTTP upgrade" if self._upgraded else f"HTTP {head.decode(errors='replace')}"
        while self._upgraded and (frame := self._frame()):
            yield frame

    def _frame(self) -> tuple[bytes, str] | None:
        data = self._rest
        if len(data) < 2:
            return None
        length, at = data[1] & 0x7F, 2
        if length >= 126:
            size = 2 if length == 126 else 8
            length, at = int.from_bytes(data[2 : 2 + size], "big"), 2 + size
        mask = data[at : at + 4] if data[1] & 0x80 else b""
        at += len(mask)
        if len(data) < at + length:
            return None
        body = data[at : at + length]
        if mask:
            body = bytes(byte ^ mask[i % 4] for i, byte in enumerate(body))
        raw, self._rest = data[: at + length], data[at + length :]
        return raw, body.decode() if data[0] & 0x0F == 1 else ""
