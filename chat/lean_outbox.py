"""What waits to be written to one socket."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from chat.wire import frame

#: Waiting packets and bytes above which a socket is given up. The pumps stop at a quarter of it.
MAX_WAITING = 1024
MAX_WAITING_BYTES = 4 * 1024 * 1024
#: Bytes, and frames, that are joined into one write.
_JOIN = 64 * 1024
_FRAMES_AT_ONCE = 64


class Outbox:
    """In the place of the queue of an Engine.IO socket: writes what a turn of the loop brought at its end, and
    keeps what the socket does not take."""

    __slots__ = ("_draining", "_loop", "_over", "_overflowed", "_protocol", "_size", "_waiting")

    def __init__(self, overflowed: Callable[[], None]) -> None:
        """`overflowed` is told when more waits than may, before the socket is cut."""
        self._size = 0
        self._overflowed = overflowed
        self._waiting: deque[bytes] = deque()
        self._protocol: Any = None
        self._draining: asyncio.Task[None] | None = None
        self._over = False
        self._loop = asyncio.get_running_loop()

    def open(self, protocol: Any) -> None:
        """The WebSocket is there: write what came before it."""
        self._protocol = protocol
        self._flush()

    @property
    def is_stuck(self) -> bool:
        """Whether the socket takes nothing at present."""
        return self._draining is not None or (self._protocol is not None and self._protocol.writing_paused)

    def qsize(self) -> int:
        """Packets the socket does not take. What only waits for the end of this turn is none of them."""
        return len(self._waiting) if self.is_stuck else 0

    @property
    def waiting_bytes(self) -> int:
        """Bytes of these."""
        return self._size if self.is_stuck else 0

    def put_nowait(self, packet: Any) -> None:
        ready: bytes | None = getattr(packet, "frame", None)
        self.lay(ready if ready is not None else frame(packet.encode().encode()))

    async def put(self, packet: Any) -> None:
        """As the library sends."""
        self.put_nowait(packet)

    def lay(self, data: bytes) -> None:
        """Write whole frames soon, or as soon as the socket takes them, in this order. Never waits."""
        if self._over:
            return
        self._waiting.append(data)
        self._size += len(data)
        count = len(self._waiting)
        if self._draining is not None or self._protocol is None:
            if count > MAX_WAITING or self._size > MAX_WAITING_BYTES:
                self._overflowed()
                self.cut()
        elif count >= _FRAMES_AT_ONCE or self._size >= _JOIN:
            self._flush()
        elif count == 1:
            self._loop.call_soon(self._flush)

    def end(self) -> None:
        """Take nothing more: a close frame is the last that is written."""
        self._flush()
        self._over = True
        self._waiting.clear()
        self._size = 0

    def cut(self) -> None:
        """End, and hold on to the connection no longer. Wakes whoever waits for it to drain."""
        self.end()
        if self._protocol is not None and self._protocol.transport is not None:
            self._protocol.transport.abort()

    def _flush(self) -> None:
        """Write all that waits, or begin to wait for the socket."""
        protocol = self._protocol
        if not self._waiting or self._draining is not None or protocol is None:
            return
        if protocol.transport is None or protocol.transport.is_closing():
            self._waiting.clear()
            self._size = 0
        elif protocol.writing_paused:
            self._draining = asyncio.create_task(self._drain(protocol), name="drain-socket")
        else:
            waiting, self._waiting, self._size = self._waiting, deque(), 0
            protocol.transport.write(waiting[0] if len(waiting) == 1 else b"".join(waiting))

    async def _drain(self, protocol: Any) -> None:
        """Only there while the socket is full."""
        try:
            while self._waiting:
                await protocol._drain_helper()
                if protocol.transport is None or protocol.transport.is_closing():
                    break
                joined, size = [], 0
                while self._waiting and size < _JOIN:
                    joined.append(self._waiting.popleft())
                    size += len(joined[-1])
                self._size -= size
                if joined:
                    protocol.transport.write(b"".join(joined))
        except OSError:
            self.end()  # the connection is lost
        finally:
            self._draining = None
