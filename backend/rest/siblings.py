"""The processes of one machine find each other's figures over sockets in a folder of their own.

Several processes share one port, and a scrape reaches one of them: that one asks the others. Each listens on
a UNIX socket named for it and says everything to whoever connects; only the owner of the folder may.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from aiohttp import web
from prometheus_client.core import Metric

from backend.rest.exposition import Exposition, unpacked

#: A process that takes longer stands still, and is said to be down.
ANSWER_SECONDS = 1.0
#: Bytes of a UNIX socket's path in Linux, with room.
_LONGEST_PATH = 100
_SUFFIX = ".sock"


class Siblings:
    def __init__(self, folder: Path, exposition: Exposition) -> None:
        self._folder = folder
        self._exposition = exposition

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Answer the others. Whoever had this name before is gone, or about to go and no longer asked."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        own = self._folder / f"{self._exposition.process}{_SUFFIX}"
        own.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        with _short(own) as path:
            listener.bind(path)
        own.chmod(0o600)
        mine = own.stat().st_ino
        server = await asyncio.start_unix_server(self._answer, sock=listener)
        try:
            yield
        finally:
            with suppress(FileNotFoundError):
                if own.stat().st_ino == mine:  # else a successor answers by this name already
                    own.unlink()
            server.close()

    async def _answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(self._exposition.packed())
            async with asyncio.timeout(ANSWER_SECONDS):
                await writer.drain()
        except (OSError, TimeoutError):
            pass
        finally:
            writer.close()

    async def collect(self) -> Mapping[str, list[Metric] | None]:
        """Everybody's figures by name, our own included; None for who does not answer in time."""
        names = {file.name.removesuffix(_SUFFIX) for file in self._folder.glob(f"*{_SUFFIX}")}
        others = sorted(names - {self._exposition.process})
        answers = await asyncio.gather(*(self._ask(name) for name in others))
        here = {self._exposition.process: self._exposition.collect()}
        return here | {
            name: answer
            for name, answer in zip(others, answers, strict=True)
            if answer is not None or (self._folder / f"{name}{_SUFFIX}").exists()  # it ended meanwhile, in order
        }

    async def _ask(self, name: str) -> list[Metric] | None:
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                with _short(self._folder / f"{name}{_SUFFIX}") as path:
                    reader, writer = await asyncio.open_unix_connection(path)
                return unpacked(await reader.read())
        except (OSError, TimeoutError, ValueError):
            return None
        finally:
            if writer is not None:
                writer.close()


SIBLINGS = web.AppKey("siblings", Siblings)


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name of `path` that fits into the address of a UNIX socket."""
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
