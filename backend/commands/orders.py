"""What passes between the supervisor and a process of the system.

Addresses come as one line of JSON on its standard input; it says by a file that it does its work, and learns by a
signal that another does it now.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

#: To a process whose successor is ready. SIGTERM is for one without: it goes on taking work while balancers notice.
HAND_OVER = signal.SIGUSR2
READY_FILE = "BANSHI_READY_FILE"


def receive() -> None:
    """Wait for the supervisor's line and put it into this process's environment.

    Without a line (the supervisor is gone) the process ends here.
    """
    line = sys.stdin.readline()
    if not line:
        raise SystemExit(0)
    os.environ.update(json.loads(line))


def say_ready() -> None:
    """Tell the supervisor that this process does its work now."""
    if path := os.environ.get(READY_FILE):
        Path(path).touch()
