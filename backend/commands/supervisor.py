"""Keeps the parts of one system alive together: database, cache, stand-in, servers, worker."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from types import FrameType

from backend.commands.children import Keeper, Process, Unit
from backend.commands.errors import CommandError
from backend.commands.terminal import complain

_TICK = 0.5


class Interrupted(Exception):
    """Someone asked us to stop while we were still starting."""


class Tier(IntEnum):
    """What leans on what: a higher tier stops before a lower one, whichever was started first."""

    STANDIN = 0
    STORES = 1
    WORKER = 2
    SERVERS = 3


class Supervisor:
    """Units by tier: watched together, stopped from the top."""

    def __init__(self) -> None:
        self._tiers: dict[Tier, list[Keeper]] = {tier: [] for tier in Tier}
        self._leaving: Process | None = None
        self._signals = 0
        self._restarts_asked = False
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
        before[ROLL] = signal.signal(ROLL, self._ask_restart)
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

    def start(self, tier: Tier, units: Iterable[Unit]) -> None:
        """Start units, in this order.

        Raises:
            Interrupted: a signal came first.

        """
        self._check()
        for unit in units:
            keeper = Keeper(unit, complain)
            self._tiers[tier].append(keeper)
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

    def take_restart(self) -> bool:
        """Whether a rolling restart was asked for since the last call."""
        asked, self._restarts_asked = self._restarts_asked, False
        return asked

    def replace(self, old: Process, new: Process, seconds: float) -> None:
        """Start `new` beside `old`, which ends when `new` is ready. Nothing changes when it does not become so.

        Raises:
            CommandError: `new` is not ready within `seconds`, or ended; `old` goes on.
            Interrupted: a signal came first.

        """
        keeper = next(keeper for keepers in self._tiers.values() for keeper in keepers if keeper.unit is old)
        try:
            new.start()
            self.wait_for(lambda: new.ready or not new.running, seconds, f"the new {new.name} is not ready")
            if not new.ready:
                why = new.last_words().removeprefix("banshi: ") or f"exit code {new.exit_code}"
                raise CommandError(f"the new {new.name} ended: {why[:300]}")
        except BaseException:
            new.ask_to_stop(hasten=True)
            new.wait_stopped(lambda: True)
            raise
        keeper.succeed(new)
        self._leaving = old  # whoever stops everything meanwhile stops it, too
        old.ask_to_hand_over()
        while old.running and not old.overdue:
            self._tend()
            self.pause(0.05)
            self._check()
        old.wait_stopped(lambda: True)
        self._leaving = None

    def restart_above(self, tier: Tier) -> None:
        """Stop what leans on `tier`, and start it again with what it knows now."""
        above = [higher for higher in Tier if higher > tier]
        self._stop(above)
        for higher in above:
            keepers, self._tiers[higher] = self._tiers[higher], []
            self.start(higher, [keeper.unit for keeper in keepers])

    def stop(self) -> None:
        """Stop every tier, the top first; within a tier all at once."""
        self._stop(list(Tier))
        self._tiers = {tier: [] for tier in Tier}

    def _stop(self, tiers: list[Tier]) -> None:
        for tier in reversed(tiers):
            units = [keeper.unit for keeper in self._tiers[tier]]
            if self._leaving is not None and tier is Tier.SERVERS:
                units.append(self._leaving)
                self._leaving = None
            for unit in units:
                unit.ask_to_stop(hasten=self.hastened)
            for unit in units:
                unit.wait_stopped(lambda: self.hastened)

    def pause(self, seconds: float = _TICK) -> None:
        """Sleep, unless a signal comes."""
        select.select([self._wakened], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            while self._wakened.recv(512):
                pass

    def _tend(self) -> None:
        for keepers in self._tiers.values():
            for keeper in keepers:
                if self.stopping:
                    return
                keeper.look()

    def _check(self) -> None:
        if self.stopping:
            raise Interrupted

    def _count(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1
        self.signal_name = self.signal_name or signal.Signals(number).name

    def _ask_restart(self, number: int, frame: FrameType | None) -> None:
        self._restarts_asked = True

    def _ignore(self, number: int, frame: FrameType | None) -> None:
        """SIGCHLD only has to wake us."""


#: Asks for a rolling restart. SIGHUP is not it: that comes when a terminal is closed, and then everything stops.
ROLL = signal.SIGUSR2
_STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
