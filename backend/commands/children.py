"""The processes of one system: started, watched, brought back, stopped."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from backend.commands.environment import ROOT
from backend.commands.errors import CommandError
from backend.commands.orders import HAND_OVER, READY_FILE
from backend.embedded import EmbeddedError
from backend.embedded.process import ServerProcess, die_with_parent

QUICK_DEATH_SECONDS = 10.0
QUICK_DEATHS = 5
_FIRST_PAUSE = 0.2


class Unit(Protocol):
    """Something that runs beside us."""

    name: str

    @property
    def running(self) -> bool:
        """Whether it is alive."""
        ...

    def start(self) -> None:
        """Start it. Raises `EmbeddedError` or OSError."""
        ...

    def ask_to_stop(self, *, hasten: bool) -> None:
        """Begin its end, without waiting."""
        ...

    def wait_stopped(self, hastened: Callable[[], bool]) -> None:
        """Return when it is gone."""
        ...

    def last_words(self) -> str:
        """The last line it said, for the person at the terminal."""
        ...


class Process:
    """A Python process of our own, in a session of its own; its words go to `log` or to our terminal.

    It reads what it must know as one line of JSON from its standard input (see `orders.receive`): so
    it can import its modules before the addresses are known, and no secret stands in a command line.
    """

    def __init__(
        self,
        name: str,
        arguments: Callable[[], Sequence[str]],
        environment: Callable[[], Mapping[str, str]],
        *,
        log: Path | None,
        listener: int | None = None,
        ready_file: Path | None = None,
        stop_seconds: float = 10.0,
    ) -> None:
        """`arguments` and `environment` are asked at every start: addresses may have changed.

        `ready_file` is where the process says by `orders.say_ready` that it does its work.
        """
        self.name = name
        self._arguments = arguments
        self._environment = environment
        self._log = log
        self._listener = listener
        self._ready_file = ready_file
        self._stop_seconds = stop_seconds
        self._child: subprocess.Popen[bytes] | None = None
        self._asked_at = 0.0
        self._waiting = False

    @property
    def running(self) -> bool:
        """Whether it is alive."""
        return self._child is not None and self._child.poll() is None

    @property
    def ready(self) -> bool:
        """Whether it said that it does its work."""
        return self._ready_file is not None and self.running and self._ready_file.exists()

    @property
    def exit_code(self) -> int | None:
        """How it ended, None while it runs."""
        return self._child.poll() if self._child else None

    def start(self) -> None:
        """Start it, or let the warmed-up process go on; nothing when it was started already."""
        if self.running and not self._waiting:
            return
        if not self._waiting or not self.running:
            self.warm_up()
        self._waiting = False
        assert self._child
        assert self._child.stdin
        told = dict(self._environment())
        if self._ready_file is not None:
            self._ready_file.unlink(missing_ok=True)
            told[READY_FILE] = str(self._ready_file)
        with contextlib.suppress(BrokenPipeError):  # it ended already: the keeper will see
            self._child.stdin.write(json.dumps(told).encode() + b"\n")
            self._child.stdin.close()

    def warm_up(self) -> None:
        """Start it up to the point where it waits for its orders."""
        self._waiting = True
        with contextlib.ExitStack() as stack:
            output = stack.enter_context(self._log.open("ab")) if self._log else None
            self._child = subprocess.Popen(
                [sys.executable, *self._arguments()],
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                pass_fds=() if self._listener is None else (self._listener,),
                start_new_session=True,
                preexec_fn=die_with_parent(os.getpid()),
            )

    def ask_to_stop(self, *, hasten: bool) -> None:
        """SIGTERM, or SIGKILL in haste."""
        self._asked_at = time.monotonic()
        if self._child is not None and self.running:
            self._child.send_signal(signal.SIGKILL if hasten else signal.SIGTERM)

    def ask_to_hand_over(self) -> None:
        """Another does its work now: it takes nothing new, sends its sockets away, and ends."""
        self._asked_at = time.monotonic()
        if self._child is not None and self.running:
            self._child.send_signal(HAND_OVER)

    @property
    def overdue(self) -> bool:
        """Whether it was asked to end longer ago than its end may take."""
        return time.monotonic() > self._asked_at + self._stop_seconds

    def wait_stopped(self, hastened: Callable[[], bool]) -> None:
        """Wait for its graceful end as long as that may take, then kill it."""
        if self._child is None:
            return
        while self._child.poll() is None:
            if hastened() or self.overdue:
                self._child.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(0.05)

    def last_words(self) -> str:
        """The last line of its log."""
        if self._log is None:
            return ""
        try:
            with self._log.open("rb") as stream:
                stream.seek(max(0, self._log.stat().st_size - 8192))
                lines = stream.read().decode(errors="replace").split("\n")
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


class Embedded:
    """An embedded server as a unit."""

    def __init__(self, server: ServerProcess) -> None:
        self.name = server.program.name
        self._server = server

    @property
    def running(self) -> bool:
        """Whether it is alive."""
        return self._server.running

    def start(self) -> None:
        """Start it and wait until it serves."""
        # What is left of a dead child (its lock) goes first.
        self._server.stop()
        self._server.start()

    def ask_to_stop(self, *, hasten: bool) -> None:
        """Nothing yet: it goes last, and needs no time of its own."""

    def wait_stopped(self, hastened: Callable[[], bool]) -> None:
        """Stop it cleanly; in haste the journal has to do."""
        self._server.stop(patience=1.0 if hastened() else None)

    def last_words(self) -> str:
        """Where it says more."""
        return f"see {self._server.log_file}"


class Keeper:
    """Brings one unit back whenever it dies, with growing pauses; gives up on one that dies at once."""

    def __init__(self, unit: Unit, complain: Callable[[str], None], *, first_pause: float = _FIRST_PAUSE) -> None:
        self.unit = unit
        self._complain = complain
        self._first_pause = first_pause
        self._started_at = 0.0
        self._quick = 0
        self._not_before: float | None = None

    def start(self) -> None:
        """The first start; its failure is the caller's."""
        self.unit.start()
        self._started_at = time.monotonic()

    def succeed(self, unit: Unit) -> None:
        """Keep `unit`, which runs already, from now on."""
        self.unit, self._started_at, self._quick, self._not_before = unit, time.monotonic(), 0, None

    def look(self) -> None:
        """Notice a death, start again when its pause is over.

        Raises:
            CommandError: it died five times in a row soon after its start.

        """
        now = time.monotonic()
        if self.unit.running:
            return
        if self._not_before is None:
            self._note_death("ended", now)
        if self._not_before is not None and now < self._not_before:
            return
        self._not_before = None
        try:
            self.start()
        except (EmbeddedError, OSError) as error:
            self._started_at = time.monotonic()
            self._note_death(f"cannot start again: {error}", self._started_at)

    def _note_death(self, how: str, now: float) -> None:
        self._quick = self._quick + 1 if now - self._started_at < QUICK_DEATH_SECONDS else 1
        words = self.unit.last_words()
        detail = f"{self.unit.name} {how}" + (f" ({words[:300]})" if words else "")
        if self._quick >= QUICK_DEATHS:
            raise CommandError(f"{detail}; it died {self._quick} times in a row, giving up")
        pause = self._first_pause * 2 ** (self._quick - 1)
        self._not_before = now + pause
        self._complain(f"{detail}; starting it again in {pause:.1f} s")
