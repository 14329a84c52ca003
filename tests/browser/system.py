"""The whole system as people start it, that a test may kill."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from backend.commands.browser.fresh_system import FreshSystem
from tests.embedded.machine import processes_below, wait_until

ROOT = Path(__file__).parent.parent.parent


class System(FreshSystem):
    """A system of this test process alone."""

    def kill(self) -> None:
        """kill -9 of everything at once: servers, worker, databases, stand-in."""
        assert self.process
        for line in [str(self.process.pid), *processes_below(self.var)]:
            try:
                os.kill(int(line.split()[0]), signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait(10)
        wait_until(lambda: not processes_below(self.var), "all gone")

    def stop(self) -> None:
        """End it; nobody waits for it to tidy up."""
        if self.process and (self.process.poll() is None or processes_below(self.var)):
            self.kill()
