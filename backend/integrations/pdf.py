"""PDFs, made by a process of their own: nothing is laid out on the event loop, and what hangs is killed."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
import structlog

from backend.domain.errors import Unavailable

log = structlog.get_logger()

_ROOT: Final = Path(__file__).resolve().parents[2]
_BUSY = "正在生成的文件太多，请稍后重试。"


@dataclass(frozen=True, slots=True)
class PrinterLimits:
    """How many at once and in waiting, how long each may wait and take (seconds), how much memory (bytes)."""

    processes: int = 2
    max_waiting: int = 16
    wait_seconds: float = 20.0
    make_seconds: float = 60.0
    memory_bytes: int = 1_000_000_000


class PdfPrinter:
    """Starts a process for each PDF; they are rare, and a start costs a fifth of a second."""

    def __init__(self, limits: PrinterLimits | None = None) -> None:
        self._limits = limits or PrinterLimits()
        self._free = asyncio.Semaphore(self._limits.processes)
        self._waiting = 0

    async def make(self, *, title: str, foot: str, lines: Sequence[tuple[str, str]]) -> bytes:
        """The PDF of lines, each a style of `pdf_pages.LOOKS` and a text.

        Raises `Unavailable` when too many are being made, or when it cannot be made within the limits.
        """
        if self._waiting >= self._limits.max_waiting:
            raise Unavailable(_BUSY)
        self._waiting += 1
        try:
            async with asyncio.timeout(self._limits.wait_seconds):
                await self._free.acquire()
        except TimeoutError as error:
            raise Unavailable(_BUSY) from error
        finally:
            self._waiting -= 1
        try:
            document = await asyncio.to_thread(orjson.dumps, {"title": title, "foot": foot, "lines": lines})
            return await self._run(document)
        finally:
            self._free.release()

    async def _run(self, document: bytes) -> bytes:
        limits = self._limits
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "backend.integrations.pdf_pages", str(limits.memory_bytes), str(int(limits.make_seconds))),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=_ROOT,
            env={"PATH": os.environ.get("PATH", ""), "LANG": "C.UTF-8", "MALLOC_ARENA_MAX": "1"},
        )
        try:
            async with asyncio.timeout(limits.make_seconds):
                pdf, _ = await child.communicate(document)
        except TimeoutError as error:
            log.warning("pdf_not_made", why="time", lines_bytes=len(document))
            raise Unavailable("文件太大，没能及时生成，请下载文本格式。") from error
        finally:
            if child.returncode is None:
                with suppress(ProcessLookupError):
                    child.kill()
                await child.wait()
        if child.returncode != 0 or not pdf.startswith(b"%PDF"):
            log.warning("pdf_not_made", why=f"exit {child.returncode}", lines_bytes=len(document))
            raise Unavailable("文件没有生成，请稍后重试，或下载文本格式。")
        return pdf
