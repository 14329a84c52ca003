"""What must hold before anything is started: a writable var, room on the disk, a port, reachable servers."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import socket
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from backend.commands.errors import CommandError
from backend.domain.errors import DomainError

FREE_BYTES = 200 * 2**20
"""Below this much room nothing is started: photographs and logs need some, too."""

BACKLOG = 256
"""Connections that may wait to be accepted. The event loop takes all that wait in one turn, and whoever talks waits for
that turn; when everybody comes back at once the others wait in the kernel, which tries again after a second."""

_MOST_FILES = 262_144
_ENOUGH_FILES = 16_384
"""Open files for 10,000 sockets and the requests of those who come."""

DEFAULT_PORT = 8080
_PORTS_TRIED = 200


def make_writable(var: Path) -> None:
    """Create `var` and make sure that files can be written in it.

    Raises:
        CommandError: it cannot be written, or its disk is full.

    """
    try:
        var.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=var) as probe:
            probe.write(b"\0" * 4096)
            probe.flush()
        free = shutil.disk_usage(var).free
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise CommandError(_full(var, 0)) from None
        raise CommandError(
            f"{var} cannot be written ({error.strerror}): fix its permissions or point BANSHI_VAR elsewhere"
        ) from None
    if free < FREE_BYTES:
        raise CommandError(_full(var, free))


def allow_many_files() -> str | None:
    """Let this process have as many open files as it may. What to do when they are few for a node, else None."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    if soft == resource.RLIM_INFINITY or soft >= _ENOUGH_FILES:
        return None
    return f"at most {soft} open files, one for each socket: raise the hard limit (LimitNOFILE=65536 in the unit)"


def _full(var: Path, free: int) -> str:
    return (
        f"the disk of {var} is full: {free // 2**20} MB free, {FREE_BYTES // 2**20} MB needed; "
        "free some space or point BANSHI_VAR elsewhere"
    )


def listen(host: str, port: int | None) -> socket.socket:
    """The one listening socket: on `port` when it was set, else on 8080 or the next free one.

    Raises:
        CommandError: the port that was set is taken, or the address is not ours.

    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port or DEFAULT_PORT, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise CommandError(f"BANSHI_HOST {host!r} is not an address of this machine: {error.strerror}") from None
    ports = [port] if port is not None else range(DEFAULT_PORT, DEFAULT_PORT + _PORTS_TRIED)
    for candidate in ports:
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address[0], candidate, *address[2:]))
            # At once: until someone listens, another starting system could bind the same port.
            listener.listen(BACKLOG)
        except OSError as error:
            listener.close()
            if error.errno == errno.EADDRINUSE:
                continue
            raise CommandError(f"cannot listen on {host}:{candidate}: {os.strerror(error.errno or 0)}") from None
        listener.setblocking(False)
        return listener
    if port is not None:
        raise CommandError(f"port {port} is taken by another program: choose another, or leave the port unset")
    raise CommandError(f"no free port from {DEFAULT_PORT} on")


async def reach_mongo(url: str, database: str) -> None:
    """Make sure that a primary with transactions answers at `url` within a few seconds.

    Raises:
        CommandError: it does not.

    """
    # Imported here: a start without MONGO_URL need not wait for the driver's import.
    from backend.storage.database import Database

    try:
        connected = Database.connect(url, database, timeout=4)
    except Exception as error:  # noqa: BLE001 - the driver has a dozen classes for a malformed address
        raise CommandError(f"MONGO_URL is not a MongoDB address: {_first_line(error)}") from None
    try:
        await connected.ping()
        hello = await connected.raw.command("hello")
        if not hello.get("setName") and hello.get("msg") != "isdbgrid":
            raise CommandError(
                f"MONGO_URL is a single server at {without_password(url)}: transactions need a replica set or mongos"
            )
    except DomainError:
        raise CommandError(
            f"MONGO_URL does not answer: no writable MongoDB at {without_password(url)} within 4 s"
        ) from None
    finally:
        await connected.close()


def without_password(url: str) -> str:
    """The address for people: scheme, hosts and path, without who logs in."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(malformed address)"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _first_line(error: Exception) -> str:
    # Not the message: it may quote the address with its password.
    return type(error).__name__
