"""The background worker as a process: `python -m backend.commands.worker_process NAME`."""

from __future__ import annotations

import sys

import uvloop

from backend.commands import orders
from backend.commands.environment import read_settings
from backend.commands.errors import CommandError
from backend.commands.logs import configure_logging
from backend.commands.terminal import complain
from backend.domain.errors import DomainError
from backend.worker import run_worker


def main() -> int:
    """Work until SIGTERM."""
    orders.receive()
    try:
        settings = read_settings()
        configure_logging(settings, process=sys.argv[1])
        uvloop.run(run_worker(settings, sys.argv[1], orders.say_ready))
    except (CommandError, DomainError) as error:
        complain(f"worker: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
