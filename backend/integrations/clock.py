"""The clock of the product."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path


class SystemClock:
    """The machine's time. What production uses."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class WarpedClock:
    """The machine's time plus one offset in seconds that all processes read from one file.

    For tests and demonstrations only. The file is looked at at most once a second; Redis' times to live
    and the database's own clock are not warped.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._offset = timedelta()
        self._looked = float("-inf")

    def now(self) -> datetime:
        if time.monotonic() - self._looked > 1:
            self._read()
        return datetime.now(UTC) + self._offset

    def _read(self) -> None:
        self._looked = time.monotonic()
        try:
            self._offset = timedelta(seconds=float(self._file.read_text()))
        except (FileNotFoundError, ValueError):
            self._offset = timedelta()

    def warp(self, offset: timedelta) -> None:
        """Set the offset for every process that reads the same file."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(str(offset.total_seconds()))
        self._read()
