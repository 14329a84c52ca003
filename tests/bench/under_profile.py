"""A server process of ours under cProfile: `python -m tests.bench.under_profile FILE NAME FD`.

SIGUSR1 begins the count, so that starting and connecting are not in it; SIGALRM ends it and writes FILE (SIGUSR2
is the supervisor's).
"""

from __future__ import annotations

import cProfile
import signal
import sys
from pathlib import Path

from backend.commands import server_process


def main() -> int:
    """Serve until SIGTERM."""
    found = cProfile.Profile()
    target = Path(sys.argv.pop(1))

    def write(*_: object) -> None:
        found.disable()
        partial = target.with_suffix(".partial")
        found.dump_stats(partial)
        partial.replace(target)

    signal.signal(signal.SIGUSR1, lambda *_: found.enable())
    signal.signal(signal.SIGALRM, write)
    return server_process.main()


if __name__ == "__main__":
    sys.exit(main())
