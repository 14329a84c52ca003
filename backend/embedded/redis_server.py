"""redis-server as a child. It is a cache: nothing of it is written to disk."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from backend.embedded.binaries import REDIS_SERVER
from backend.embedded.ports import LOOPBACK
from backend.embedded.process import ServerProcess


class EmbeddedRedis(ServerProcess):
    """A Redis on loopback, empty at every start; see `url` while it runs."""

    program = REDIS_SERVER
    needed_free_bytes = 8 * 2**20
    stop_seconds = 5.0

    @property
    def url(self) -> str:
        """Where it is, as redis-py wants it."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    def _arguments(self) -> Sequence[str]:
        return (
            *("--bind", LOOPBACK),
            *("--port", str(self.port)),
            *("--dir", str(self.folder / "data")),
            *("--logfile", str(self.log_file)),
            *("--daemonize", "no"),
            *("--appendonly", "no"),
            *("--save", ""),
            # Only what has an expiry may go when the memory of one machine gets short.
            *("--maxmemory", "256mb"),
            *("--maxmemory-policy", "volatile-lru"),
        )

    def _wait_until_ready(self) -> None:
        self._wait_for(self._answers, "answer")

    def _answers(self) -> bool:
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False
