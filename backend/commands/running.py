"""`var/run.json`: where a running system is. And the lock by which one checkout runs only once."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from backend.commands.errors import CommandError

_LOCK, _INFO = "serve.lock", "run.json"


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A running system. The addresses may hold passwords: the file is its owner's alone."""

    pid: int
    url: str
    mode: str
    workers: int
    mongo_url: str
    redis_url: str
    mongo_embedded: bool
    redis_embedded: bool
    wechat_standin_url: str | None
    started_at: str
    """RFC 3339 with +08:00."""
    restarts: int | None = None
    """Rolling restarts that came to an end, well or not; None: a release that knows of none."""
    restart_problem: str = ""
    """Why the last one was broken off."""


@contextmanager
def only_once(var: Path) -> Iterator[None]:
    """Hold the checkout's lock; the kernel frees it however we end.

    Raises:
        CommandError: a system runs in this `var` already.

    """
    with (var / _LOCK).open("a+", encoding="ascii") as lock:
        for attempt in range(20):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                info = read(var)
                if info is not None or attempt == 19:
                    where = f" at {info.url} (process {info.pid})" if info else ""
                    raise CommandError(f"this checkout runs already{where}: stop it first") from None
                time.sleep(0.05)  # `doctor` holds it for an instant, a starting system for longer
        yield


def running_system(var: Path) -> RunInfo | None:
    """What runs in `var`, None when nothing does, whatever a run.json left behind says."""
    info = read(var)
    if info is None:
        return None
    try:
        with (var / _LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return info
    except OSError:
        pass
    return None


def read(var: Path) -> RunInfo | None:
    """The file as it stands, None when absent or unreadable."""
    try:
        document = json.loads((var / _INFO).read_text(encoding="utf-8"))
        # a system that was started by an earlier release does not say everything
        known = {field.name for field in fields(RunInfo)}
        return RunInfo(**{name: value for name, value in document.items() if name in known})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write(var: Path, info: RunInfo) -> None:
    """Replace the file at once: a reader sees the old one or the new one."""
    partial = var / f".{_INFO}.{os.getpid()}"
    partial.touch(mode=0o600)
    partial.write_text(json.dumps(asdict(info), indent=2) + "\n", encoding="utf-8")
    partial.replace(var / _INFO)


def remove(var: Path) -> None:
    """Take the file away; nothing runs any more."""
    (var / _INFO).unlink(missing_ok=True)


def forget_processes(folder: Path) -> None:
    """Take away the sockets of processes that were killed, who would be said to be down for ever."""
    for file in folder.glob("*.sock"):
        file.unlink(missing_ok=True)
