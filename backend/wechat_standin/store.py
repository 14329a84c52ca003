"""The file in which created users outlive a restart."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


class StateFileError(Exception):
    """The state file cannot be read or written; the message is one clear line."""


class StateFile:
    """A JSON document, replaced as a whole: a crash leaves the old one or the new one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = asyncio.Lock()
        self._changed = 0
        self._saved = 0

    def read(self) -> dict[str, Any] | None:
        """The document, None when there is none yet. Raises `StateFileError`."""
        try:
            document = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise StateFileError(f"state file {self.path} cannot be read: {error}") from error
        if not isinstance(document, dict):
            raise StateFileError(f"state file {self.path} is not a JSON object")
        return document

    def write(self, document: dict[str, Any]) -> None:
        """Replace the document. Raises `StateFileError`."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    json.dump(document, file, ensure_ascii=False, indent=1)
                    file.flush()
                    os.fsync(file.fileno())
                Path(temporary).replace(self.path)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise StateFileError(f"state file {self.path} cannot be written: {error}") from error

    async def save(self, snapshot: Callable[[], dict[str, Any]]) -> None:
        """Return once a document that holds what was true at the call is on disk.

        Calls that arrive during a write share the next one, so that making a thousand users does not
        write a thousand files.
        """
        self._changed += 1
        wanted = self._changed
        async with self._lock:
            if self._saved >= wanted:
                return
            covers = self._changed
            await asyncio.to_thread(self.write, snapshot())
            self._saved = covers
