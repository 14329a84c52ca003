"""Processes a test may kill, freeze and start again; whatever happens to the test, none of them outlives it."""

from __future__ import annotations

import itertools
import os
import random
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from backend.embedded.ports import is_free
from backend.embedded.process import die_with_parent
from tests.embedded.machine import wait_until

ROOT = Path(__file__).parents[2]
LOOPBACK = "127.0.0.1"

# Below the ports that Linux gives to outgoing connections, one of which may else sit on the port of a program
# that was killed when it comes back. What is played side by side takes them from different shares.
_PORTS = range(10_000, 21_000)
_SHARES = 8

# The kernel ends a child with the *thread* that started it, and a test's threads end with its event loop.
_SPAWNER = ThreadPoolExecutor(1, thread_name_prefix="spawner")


def _own_share() -> Iterator[int]:
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    mine = list(_PORTS[process % _SHARES :: _SHARES])
    random.Random().shuffle(mine)  # where no test's seed leads to
    return itertools.cycle(mine)


_own_ports = _own_share()


def free_port() -> int:
    """A port nobody listens on now, and that nobody was given lately."""
    return next(port for port in _own_ports if is_free(port))


def listens(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
        return True
    return False


class Program:
    """One process with a log. Subclasses say what its command is and when it is ready."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.log_file = folder / f"{name}.log"
        self.port = free_port()
        self._child: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def pid(self) -> int | None:
        """Its process id while it lives."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    @property
    def running(self) -> bool:
        return self.pid is not None

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs, or before its first start."""
        return self._child.poll() if self._child is not None else None

    def start(self, seconds: float = 60.0) -> None:
        """Start it, on the same port as before, and return when it is ready."""
        self.launch()
        self.wait_ready(seconds)

    def launch(self) -> None:
        """Start it without waiting."""
        assert not self.running, f"{self.name} runs already"
        with self.log_file.open("ab") as log:
            self._child = _SPAWNER.submit(self._spawn, log.fileno()).result()

    def _spawn(self, log: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command(),
            cwd=ROOT,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=die_with_parent(os.getpid(), signal.SIGKILL),
        )

    def wait_ready(self, seconds: float = 60.0) -> None:
        """Return when it serves; fail with its last words when it ended instead."""

        def ready() -> bool:
            assert self.running, f"{self.name} ended ({self.exit_code}): {self.last_words()}"
            return self._is_ready()

        wait_until(ready, f"{self.name} is ready: see {self.log_file}", seconds)

    def last_words(self, size: int = 2000) -> str:
        """The end of its log."""
        return self.log_file.read_text(errors="replace")[-size:] if self.log_file.exists() else ""

    # --- faults ---------------------------------------------------------------------------

    def pids(self) -> list[int]:
        """It and everything it started."""
        return [self.pid] if self.pid is not None else []

    def kill(self) -> None:
        """kill -9 of it and of everything it started, at once; return when they are gone."""
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._child is not None:
            self._child.wait(30)

    def freeze(self) -> None:
        """SIGSTOP: alive for the kernel, silent for everybody else."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def ask_to_stop(self) -> None:
        """SIGTERM, without waiting."""
        if self._child is not None and self.running:
            self._child.terminate()

    def wait_stopped(self, seconds: float = 60.0) -> int:
        """Wait for its end by itself; its exit code."""
        assert self._child is not None
        return self._child.wait(seconds)

    def stop(self, seconds: float = 60.0) -> int:
        """SIGTERM and its graceful end."""
        self.ask_to_stop()
        return self.wait_stopped(seconds)

    # --- for subclasses -------------------------------------------------------------------

    def _command(self) -> Sequence[str]:
        raise NotImplementedError

    def _environment(self) -> Mapping[str, str]:
        return os.environ

    def _is_ready(self) -> bool:
        return listens(self.port)
