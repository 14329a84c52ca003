"""How much is under way, and the moment when nothing is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class UnderWay:
    """What was begun and has not ended: counted, no more. Belongs to one event loop."""

    __slots__ = ("_none", "count")

    def __init__(self) -> None:
        self.count = 0
        self._none: asyncio.Event | None = None  # once somebody waits for it

    def begin(self) -> None:
        self.count += 1

    def end(self) -> None:
        """Once for every `begin`."""
        self.count -= 1
        if not self.count and self._none is not None:
            self._none.set()
            self._none = None

    @contextmanager
    def one(self) -> Iterator[None]:
        """Something is under way within."""
        self.begin()
        try:
            yield
        finally:
            self.end()

    async def all_ended(self) -> None:
        """Return at a moment when nothing is under way, whatever was begun while this waited."""
        while self.count:
            if self._none is None:
                self._none = asyncio.Event()
            await self._none.wait()
