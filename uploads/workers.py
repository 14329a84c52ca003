"""A pool of processes that decode photographs and may be killed one by one.

Processes of our own, spoken to over pipes by the event loop itself, rather than a pool library: no threads
beside the loop, no fork of a process that has them, no import of the server's modules in the child (20 MB
each), and a child that hangs is killed where its caller waits.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import structlog

from backend.domain.errors import DomainError
from backend.domain.photos import NormalisedPhoto
from uploads.errors import BY_CODE, DamagedPhoto, PhotosBusy, UnreasonablePhoto

log = structlog.get_logger()

_ROOT: Final = Path(__file__).resolve().parent.parent
_MAX_HEAD: Final = 64 * 1024
_MAX_BODY: Final = 32 * 1024 * 1024
_START_SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """What decoding may take.

    `wait_seconds` (for a free process) and `decode_seconds` together bound a photograph's whole time.
    `memory_bytes` limits the address space of a process, hence its resident memory too; `max_bytes` the file.
    """

    processes: int = 2
    wait_seconds: float = 2.0
    decode_seconds: float = 3.0
    memory_bytes: int = 290 * 1000 * 1000
    max_bytes: int = 12 * 1024 * 1024
    max_waiting: int = 32
    idle_seconds: float = 30.0
    photos_per_process: int = 1000


class _Gone(Exception):
    """The process ended, or says what it never should."""


class PhotoWorkers:
    """Normalises photographs outside the event loop: `async with PhotoWorkers() as workers: …`.

    Processes start when they are needed, up to the limit (`start` has one ready before the first
    photograph); those that idle end, but for the last one.
    """

    def __init__(self, limits: WorkerLimits | None = None) -> None:
        self._limits = limits or WorkerLimits()
        self._free = asyncio.Semaphore(self._limits.processes)
        self._idle: list[_Process] = []
        self._busy: set[_Process] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting = 0
        self._closed = False
        self._reaper: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def pids(self) -> frozenset[int]:
        """Process ids of all living processes."""
        return frozenset(process.pid for process in (*self._idle, *self._busy))

    @property
    def waiting(self) -> int:
        """Photographs that wait for a free process."""
        return self._waiting

    @property
    def busy(self) -> int:
        """Photographs that are being decoded."""
        return len(self._busy)

    async def start(self) -> None:
        """Have a process ready before the first photograph. Raises `PhotosBusy` when it cannot run."""
        self._idle.append(await self._spawn())

    async def stop(self) -> None:
        """Take no more, let what is being decoded finish (or reach its limit), end all processes."""
        if self._closed:
            return
        self._closed = True
        if self._reaper is not None:
            self._reaper.cancel()
        for _ in range(self._limits.processes):
            await self._free.acquire()
        await asyncio.gather(*self._tasks)
        await asyncio.gather(*(process.close() for process in self._idle))
        self._idle.clear()

    async def normalise(self, path: Path) -> NormalisedPhoto:
        """Make the photograph at `path` a page (`uploads.normalise` says what that is).

        Raises what `normalise_file` raises; `UnreasonablePhoto` when it takes too long, `DamagedPhoto` when
        it ends the process, and `PhotosBusy` (with `retry_after` seconds) when no process is free in time.
        """
        process = await self._take()
        self._busy.add(process)
        healthy = False
        try:
            async with asyncio.timeout(self._limits.decode_seconds):
                photo = await process.normalise(path)
            healthy = True
            return photo
        except DomainError as error:
            healthy = True
            log.info("photo_refused", code=error.code, kind=error.extra.get("kind"))
            raise
        except TimeoutError as error:
            log.warning("photo_worker_killed", pid=process.pid, why="time")
            raise UnreasonablePhoto("处理这张照片用时过长，请重新拍摄后上传。") from error
        except _Gone as error:
            log.warning("photo_worker_died", pid=process.pid, why=str(error))
            raise DamagedPhoto("这张照片无法处理，请重新拍摄后上传。") from error
        finally:
            # Not healthy also when the caller was cancelled: the process is in the middle of a reply.
            self._give_back(process, healthy=healthy)

    async def _take(self) -> _Process:
        if self._closed or self._waiting >= self._limits.max_waiting:
            raise PhotosBusy
        self._waiting += 1
        acquired = False
        try:
            async with asyncio.timeout(self._limits.wait_seconds):
                await self._free.acquire()
                acquired = True
                if self._closed:
                    raise PhotosBusy
                while self._idle:
                    process = self._idle.pop()
                    if process.alive:
                        return process
                    self._dispose(process)
                starting = asyncio.get_running_loop().create_task(self._spawn())
                try:
                    return await asyncio.shield(starting)
                except (TimeoutError, asyncio.CancelledError):
                    acquired = False  # the place is given back when the start is over, for the next one
                    self._background(self._adopt(starting))
                    raise
        except TimeoutError as error:
            if acquired:
                self._free.release()
            raise PhotosBusy from error
        except BaseException:
            if acquired:
                self._free.release()
            raise
        finally:
            self._waiting -= 1

    async def _adopt(self, starting: asyncio.Task[_Process]) -> None:
        """Keep a process whose start took longer than its caller could wait."""
        try:
            self._idle.append(await starting)
        except PhotosBusy:
            log.exception("photo_worker_not_started")
        finally:
            self._free.release()

    def _give_back(self, process: _Process, *, healthy: bool) -> None:
        self._busy.discard(process)
        if healthy and process.photos < self._limits.photos_per_process:
            self._idle.append(process)
            self._free.release()
        else:
            # The slot stays taken until the successor runs, so that nobody waits for its start in vain.
            self._background(self._replace(process))
        if self._reaper is None and len(self._idle) > 1 and not self._closed:
            loop = asyncio.get_running_loop()
            self._reaper = loop.call_later(self._limits.idle_seconds, self._reap)

    async def _replace(self, process: _Process) -> None:
        try:
            await process.kill()
            if not self._closed:
                self._idle.append(await self._spawn())
        except PhotosBusy:
            log.exception("photo_worker_not_started")  # the next photograph tries again
        finally:
            self._free.release()

    def _reap(self) -> None:
        """End the processes that nobody needed for a while; the one used last stays warm."""
        self._reaper = None
        loop = asyncio.get_running_loop()
        long_ago = loop.time() - self._limits.idle_seconds
        for process in [one for one in self._idle[:-1] if one.used_at <= long_ago]:
            self._idle.remove(process)
            self._dispose(process)
        if len(self._idle) > 1:
            self._reaper = loop.call_later(self._limits.idle_seconds, self._reap)

    def _dispose(self, process: _Process) -> None:
        self._background(process.kill())

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _spawn(self) -> _Process:
        return await _Process.start(self._limits)


class _Process:
    """One decoding process and its two pipes."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        assert child.stdin is not None
        assert child.stdout is not None
        self._child = child
        self._requests = child.stdin
        self._replies = child.stdout
        self.photos = 0
        self.used_at = asyncio.get_running_loop().time()

    @classmethod
    async def start(cls, limits: WorkerLimits) -> Self:
        """Start a process and wait until it is ready. Raises `PhotosBusy` when it ends instead."""
        try:
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "uploads.decoder", str(limits.memory_bytes), str(int(limits.decode_seconds) + 2)),
                str(limits.max_bytes),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                cwd=_ROOT,
                # Nothing of ours leaks into a process that meets hostile bytes; one arena, since each
                # further one reserves address space that counts against the limit.
                env={"PATH": os.environ.get("PATH", ""), "LANG": "C.UTF-8", "MALLOC_ARENA_MAX": "1"},
                limit=1024 * 1024,
            )
        except OSError as error:
            raise PhotosBusy from error
        process = cls(child)
        try:
            async with asyncio.timeout(_START_SECONDS):
                await process._read_frame()
        except (_Gone, TimeoutError) as error:
            await process.kill()
            raise PhotosBusy from error
        except BaseException:
            await process.kill()
            raise
        return process

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def alive(self) -> bool:
        return self._child.returncode is None and not self._replies.at_eof()

    async def normalise(self, path: Path) -> NormalisedPhoto:
        self.photos += 1
        try:
            self._requests.write(_request(path))
            await self._requests.drain()
        except (ConnectionError, RuntimeError) as error:
            raise _Gone("pipe closed") from error
        head = await self._read_frame()
        self.used_at = asyncio.get_running_loop().time()
        try:
            if "error" in head:
                raise BY_CODE[head["error"]](head["detail"], **head["extra"])
            return NormalisedPhoto(
                page=await self._read_body(head["page"]),
                thumbnail=await self._read_body(head["thumbnail"]),
                width=head["width"],
                height=head["height"],
                sha256=head["sha256"],
                media_type=head["media_type"],
            )
        except (KeyError, TypeError) as error:
            raise _Gone("head not understood") from error

    async def close(self) -> None:
        """Let it end by itself; kill it when it does not."""
        self._requests.close()
        try:
            async with asyncio.timeout(2):
                await self._child.wait()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        with suppress(ProcessLookupError):
            self._child.kill()
        await self._child.wait()
        self._requests.close()

    async def _read_frame(self) -> dict[str, Any]:
        size = int.from_bytes(await self._read(4), "big")
        if size > _MAX_HEAD:
            raise _Gone("oversized head")
        try:
            head: dict[str, Any] = json.loads(await self._read(size))
        except ValueError as error:
            raise _Gone("head not readable") from error
        return head

    async def _read_body(self, size: int) -> bytes:
        if size > _MAX_BODY:
            raise _Gone("oversized body")
        return await self._read(size)

    async def _read(self, size: int) -> bytes:
        try:
            return await self._replies.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise _Gone("stream ended") from error


def _request(path: Path) -> bytes:
    return json.dumps({"path": str(path.absolute())}).encode() + b"\n"  # its working directory is another
