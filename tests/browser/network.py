"""The network between one browser window and the system: a SOCKS 5 proxy that can be cut, in two ways.

Chromium's own offline switch refuses new requests; what is open stays open in some versions. Here everything of a
window runs through one place: `drop` closes what is open and refuses what is new, as when a phone has no signal;
`freeze` lets nothing through and tells nobody, as when the signal is gone without a word (half-open connections);
`mute` lets through what the window sends and nothing of what it is answered: the answer is lost, the deed is done.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

_CHUNK = 65536


class Network:
    """A proxy on a port of the loopback address, with threads of its own."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._up, self._down = threading.Event(), threading.Event()
        self._up.set()
        self._down.set()
        self._refuses = False
        self._ends = False
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        """What a browser is told."""
        return f"socks5://127.0.0.1:{self._listener.getsockname()[1]}"

    def drop(self) -> None:
        """No signal: open connections end, new ones are refused."""
        self._refuses = True
        with self._lock:
            for end in self._open:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def freeze(self) -> None:
        """Half-open: nothing arrives on either side, nobody is told."""
        self._up.clear()
        self._down.clear()

    def mute(self) -> None:
        """What the window sends arrives; what it is answered does not."""
        self._down.clear()

    def restore(self) -> None:
        """The signal is back. What was frozen flows on; what was dropped stays dropped."""
        self._refuses = False
        self._up.set()
        self._down.set()

    def close(self) -> None:
        """End everything."""
        self._ends = True
        self.drop()
        self._up.set()
        self._down.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while not self._ends:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            try:
                server = self._connect(client)
            except OSError:
                return
            with server:
                ends = {client, server}
                with self._lock:
                    self._open |= ends
                try:
                    self._carry(client, server)
                finally:
                    with self._lock:
                        self._open -= ends

    def _connect(self, client: socket.socket) -> socket.socket:
        """The greeting of SOCKS 5 without authentication, then the connection asked for."""
        _version, methods = _exactly(client, 2)
        _exactly(client, methods)
        client.sendall(b"\x05\x00")
        _version, _command, _reserved, kind = _exactly(client, 4)
        if kind == 3:
            host = _exactly(client, _exactly(client, 1)[0]).decode()
        else:
            host = socket.inet_ntop(
                socket.AF_INET if kind == 1 else socket.AF_INET6, _exactly(client, 4 if kind == 1 else 16)
            )
        port = int.from_bytes(_exactly(client, 2), "big")
        if self._refuses:
            client.sendall(b"\x05\x03\x00\x01\0\0\0\0\0\0")  # network unreachable
            raise OSError("no signal")
        try:
            server = socket.create_connection((host, port), timeout=10)
        except OSError:
            client.sendall(b"\x05\x05\x00\x01\0\0\0\0\0\0")  # refused
            raise
        server.settimeout(None)
        client.sendall(b"\x05\x00\x00\x01\0\0\0\0\0\0")
        return server

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        back = threading.Thread(target=_pour, args=(server, client, self._down), daemon=True)
        back.start()
        _pour(client, server, self._up)
        back.join()


def _pour(source: socket.socket, target: socket.socket, flows: threading.Event) -> None:
    """Carry one direction to its end, then end the other."""
    with suppress(OSError):
        while data := source.recv(_CHUNK):
            flows.wait()
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise OSError("closed in the greeting")
        data += part
    return data
