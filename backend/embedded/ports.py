"""Loopback ports that stay the same from one start to the next."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

LOOPBACK = "127.0.0.1"

# Below Linux's ephemeral range (32768 and up), so that no outgoing connection of some other
# program sits on the port when the server comes back to it.
_FIRST, _COUNT = 21_000, 11_000


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do: a port in TIME_WAIT is free, a listening one is not.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def kept_port(file: Path) -> int | None:
    """The port of the last start, if the file tells one."""
    try:
        port = int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return port if 1024 <= port <= 65_535 else None


def keep_port(file: Path, port: int) -> None:
    """Remember the port for the next start."""
    partial = file.with_suffix(".new")
    partial.write_text(f"{port}\n", encoding="ascii")
    partial.replace(file)


def candidates(file: Path) -> Iterator[int]:
    """Free ports to try, best first: the kept one, then others that depend on the folder.

    Two checkouts begin their search at different places, so that starting side by side they do
    not race for the same port.
    """
    kept = kept_port(file)
    if kept is not None and is_free(kept):
        yield kept
    seed = int.from_bytes(hashlib.sha256(str(file.resolve()).encode()).digest()[:8], "big")
    for step in range(_COUNT):
        port = _FIRST + (seed + step * 7) % _COUNT
        if port != kept and is_free(port):
            yield port
