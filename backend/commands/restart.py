"""`run.py restart`: let the running system replace its processes one by one, by what lies on the disk now."""

from __future__ import annotations

import argparse
import fcntl
import os
import time

from backend.commands.environment import read_settings
from backend.commands.errors import CommandError
from backend.commands.running import RunInfo, running_system
from backend.commands.supervisor import ROLL
from backend.commands.terminal import say
from config.settings import Settings

_LOCK = "restart.lock"


def add_arguments(_: argparse.ArgumentParser) -> None:
    """There are no options: how long a process takes to leave is BANSHI_DRAIN_SECONDS."""


def run(_: argparse.Namespace) -> int:
    """Return 0 when everything is replaced.

    Raises:
        CommandError: nothing runs here, another restart is under way, or a new process did not become ready.

    """
    settings = read_settings()
    before = _running(settings)
    with (settings.var / _LOCK).open("a+", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError("a restart is under way") from None
        before = _running(settings)  # another may have ended in between
        if before.restarts is None:
            raise CommandError("the running system is of a release that cannot do this: stop and start it")
        os.kill(before.pid, ROLL)
        while (now := _running(settings)).restarts == before.restarts:
            time.sleep(0.1)
    if now.restart_problem:
        raise CommandError(f"{now.restart_problem}; what was not replaced goes on as it was")
    say(f"已逐个更换 / replaced: {now.workers} server process(es) and the worker")
    return 0


def _running(settings: Settings) -> RunInfo:
    info = running_system(settings.var)
    if info is None:
        raise CommandError(
            f"nothing runs here ({settings.var / 'run.json'} is absent or stale): start it with `make run`"
        )
    return info
