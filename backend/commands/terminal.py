"""What the commands write: results to stdout, complaints to stderr."""

from __future__ import annotations

import contextlib
import sys


def say(line: str = "") -> None:
    """A line for the person at the terminal. A closed pipe is not our failure."""
    with contextlib.suppress(BrokenPipeError, ValueError):
        print(line, flush=True)


def complain(line: str) -> None:
    """A line on stderr."""
    with contextlib.suppress(BrokenPipeError, ValueError):
        print(f"banshi: {line}", file=sys.stderr, flush=True)
