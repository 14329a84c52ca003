"""Interfaces with more than one implementation."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The time of the product. Real in production; one offset shared by all processes elsewhere."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""
        ...
