"""One server process of `run.py serve`: `python -m backend.commands.server_process NAME FD [ANSWER]`.

FD is the listening socket that the supervisor holds; several of these share it, and connections wait in
it while one of them is replaced. The one with ANSWER does before it serves what a start owes the database,
and writes there what the supervisor greets with.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any, Protocol

import structlog
import uvloop
from aiohttp import web

from backend.app import create_app, leave
from backend.commands import checks, orders
from backend.commands.environment import read_settings
from backend.commands.errors import CommandError
from backend.commands.first_start import prepare
from backend.commands.logs import configure_logging
from backend.commands.terminal import complain
from backend.composition import open_services
from backend.domain.errors import DomainError, Unavailable
from config.sample_district import SampleDistrictError
from config.settings import Settings

#: What a process whose successor is there takes for its sockets and kept connections, without BANSHI_DRAIN_SECONDS.
_HAND_OVER_SECONDS = 2.0

log = structlog.get_logger()


def main() -> int:
    """Serve until SIGTERM."""
    orders.receive()
    name, descriptor, *answer = sys.argv[1:]
    try:
        settings = read_settings()
        configure_logging(settings, process=name)
        if few := checks.allow_many_files():
            log.warning("few_open_files", advice=few)
        listener = socket.socket(fileno=int(descriptor))
        uvloop.run(_serve(name, settings, listener, Path(answer[0]) if answer else None))
    except (CommandError, DomainError, SampleDistrictError) as error:
        complain(f"{name}: {error}")
        return 1
    return 0


async def _serve(name: str, settings: Settings, listener: socket.socket, answer: Path | None) -> None:
    stop, succeeded = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def hand_over() -> None:
        succeeded.set()
        stop.set()

    loop.add_signal_handler(orders.HAND_OVER, hand_over)
    async with open_services(settings) as services:
        if answer is not None:
            _hand_over(await prepare(services), answer)
        app = create_app(settings, services, name)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=settings.shutdown_grace)
        await runner.setup()
        try:
            # What the imports left behind lives as long as we do: the collector need not look at it again.
            gc.collect()
            gc.freeze()
            gc.set_threshold(50_000, 20, 20)
            site = web.SockSite(runner, listener, backlog=checks.BACKLOG)
            await site.start()
            log.info("serving")
            orders.say_ready()
            watching = asyncio.create_task(_end_with_the_epoch(services.consultation_epochs, stop), name="epoch")
            await stop.wait()
            watching.cancel()
            log.info("draining", succeeded=succeeded.is_set())
            if succeeded.is_set():
                # Others accept on the same socket: what comes now is theirs. Kept connections end with an answer.
                await site.stop()
                seconds = settings.drain_seconds or _HAND_OVER_SECONDS
                await asyncio.gather(leave(app, unnoticed=0, seconds=seconds), asyncio.sleep(seconds))
            else:
                await leave(app, unnoticed=settings.drain_seconds, seconds=settings.drain_seconds)
        finally:
            # Stops accepting, finishes what was begun, then ends what the application runs.
            await runner.cleanup()
            log.info("stopped")


class Epochs(Protocol):
    async def current(self) -> int: ...


async def _end_with_the_epoch(epochs: Epochs, stop: asyncio.Event, seconds: float = 5.0) -> None:
    """Stop this process when consultations got another epoch under it.

    The database was put back while it ran, which is not how it should be done: all that this process remembers
    is of another history. The supervisor starts it anew, and every client asks where it stands.
    """
    known: int | None = None
    while True:
        try:
            epoch = await epochs.current()
            if known is not None and epoch != known:
                log.error("epoch_changed", known=known, epoch=epoch)
                stop.set()
                return
            known = epoch
        except Unavailable:
            pass  # away, or in the middle of the change
        await asyncio.sleep(seconds)


def _hand_over(prepared: dict[str, Any], answer: Path) -> None:
    partial = answer.with_suffix(f"{answer.suffix}.{os.getpid()}")
    partial.touch(mode=0o600)  # it may hold passwords
    partial.write_text(json.dumps(prepared), encoding="utf-8")
    partial.replace(answer)


if __name__ == "__main__":
    sys.exit(main())
