"""Why the Python client lost its connections: what tests and drills say when one should not have been lost."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Loss:
    """How a connection, or an attempt that gave none, ended that was not ended by who uses the client."""

    at: float  # as of `time.time`
    lasted: float  # seconds since the greeting, or since the attempt began
    greeted: bool  # whether it was a connection
    node: str  # the server process, as `hello` named it
    why: str

    @property
    def told(self) -> bool:
        """Whether the server sent it to another node."""
        return self.why == "told restarting"

    @property
    def unheard(self) -> bool:
        """Whether the client itself gave up, since nothing came for as long as it has patience."""
        return self.why.startswith("nothing heard")

    def __str__(self) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(self.at)) + f"{self.at % 1:.2f}"[1:]
        what = f"connected to {self.node[-12:]}" if self.greeted else "not connected"
        return f"{clock} {what} for {self.lasted:.2f} s: {self.why}"


def failure(stage: str, error: BaseException) -> str:
    """Why an attempt did not become a connection."""
    problem: Any = getattr(error, "problem", None)
    if isinstance(problem, dict):
        later = problem.get("retry_after")
        return f"refused with {problem.get('code')}" + (f", retry_after {later}" if later else "") + f" ({stage})"
    return f"{stage}: {error.__cause__ or error!r}"
