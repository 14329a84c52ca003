"""Keeps the parts of one system alive together: database, cache, stand-in, servers, worker."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

from backend.commands.children import Keeper, Unit
from backend.commands.errors import CommandError
from backend.commands.terminal import complain

_TICK = 0.5


class Interrupted(Exception):
    """Someone asked us to stop while we were still starting."""


class Supervisor:
    """Units in the order of their start; they stop in tiers, the last started first."""

    def __init__(self) -> None:
        self._tiers: list[list[Keeper]] = []
        self._signals = 0
        self.signal_name = ""
        """The first signal that asked us to stop."""
        self._waker, self._wakened = socket.socketpair()

    @property
    def stopping(self) -> bool:
        """Whether someone asked us to stop."""
        return self._signals > 0

    @property
    def hastened(self) -> bool:
        """Whether someone asked twice."""
        return self._signals > 1

    @contextmanager
    def attentive(self) -> Iterator[None]:
        """Handle signals within: they are counted, and wake whatever waits in `pause`."""
        for end in (self._waker, self._wakened):
            end.setblocking(False)
        before = {number: signal.signal(number, self._count) for number in _STOP}
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, self._ignore)
        descriptor = signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(descriptor)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._waker.close()
            self._wakened.close()

    def start(self, units: Iterable[Unit]) -> None:
        """Start units that belong together, as one tier.

        Raises:
            Interrupted: a signal came first.

        """
        self._check()
        tier: list[Keeper] = []
        self._tiers.append(tier)
        for unit in units:
            keeper = Keeper(unit, complain)
            tier.append(keeper)
            keeper.start()
            self._check()

    def wait_for(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Keep the units alive until `condition()`.

        Raises:
            CommandError: it did not come true in time, or a unit was given up.
            Interrupted: a signal came first.

        """
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise CommandError(f"{what} within {seconds:.0f} s")
            self._tend()
            self.pause(0.05)
            self._check()

    def watch(self, each_time: Callable[[], None]) -> None:
        """Keep the units alive until a signal comes. Raises `CommandError` when one is given up."""
        while not self.stopping:
            self._tend()
            each_time()
            self.pause()

    def restart_from(self, number: int) -> None:
        """Stop the tiers from `number` on, and start them again with what they know now."""
        later, self._tiers = self._tiers[number:], self._tiers[:number]
        self._stop(later)
        for tier in later:
            self.start(keeper.unit for keeper in tier)

    def stop(self) -> None:
        """Stop every tier, the last first; within a tier all at once."""
        tiers, self._tiers = self._tiers, []
        self._stop(tiers)

    def _stop(self, tiers: list[list[Keeper]]) -> None:
        for tier in reversed(tiers):
            for keeper in tier:
                keeper.unit.ask_to_stop(hasten=self.hastened)
            for keeper in tier:
                keeper.unit.wait_stopped(lambda: self.hastened)

    @property
    def tiers(self) -> int:
        """How many tiers were started."""
        return len(self._tiers)

    def pause(self, seconds: float = _TICK) -> None:
        """Sleep, unless a signal comes."""
        select.select([self._wakened], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            while self._wakened.recv(512):
                pass

    def _tend(self) -> None:
        for tier in self._tiers:
            for keeper in tier:
                if self.stopping:
                    return
                keeper.look()

    def _check(self) -> None:
        if self.stopping:
            raise Interrupted

    def _count(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1
        self.signal_name = self.signal_name or signal.Signals(number).name

    def _ignore(self, number: int, frame: FrameType | None) -> None:
        """SIGCHLD only has to wake us."""


_STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
