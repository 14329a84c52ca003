"""What goes over a socket: our JSON, packets without binary, events encoded once for many sockets."""

from __future__ import annotations

import json
from typing import Any

import orjson
from engineio.packet import MESSAGE
from engineio.packet import Packet as EnginePacket
from socketio.packet import Packet


class TextPacket(Packet):  # type: ignore[misc]  # python-socketio has no types
    """Socket.IO's packet for what is never binary: python-socketio need not search every value for bytes."""

    uses_binary_events = False


class Json:
    """orjson with the signature python-socketio calls."""

    @staticmethod
    def dumps(value: object, **_: object) -> str:
        return encode(value).decode()

    @staticmethod
    def loads(text: str | bytes, **_: object) -> Any:
        """orjson refuses half characters; they get through here, so that validation can say what is wrong."""
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            return json.loads(text if isinstance(text, str) else text.decode())


def encode(value: object) -> bytes:
    """JSON as bytes."""
    try:
        return orjson.dumps(value)
    except TypeError:  # half characters and numbers beyond 64 bits
        return json.dumps(value, separators=(",", ":")).encode()


def frame(payload: bytes) -> bytes:
    """A text message as one WebSocket frame of a server: not masked, not compressed, not split (RFC 6455, 5.2)."""
    size = len(payload)
    if size < 126:
        return b"\x81%c%b" % (size, payload)
    if size < 65_536:
        return b"\x81\x7e%b%b" % (size.to_bytes(2, "big"), payload)
    return b"\x81\x7f%b%b" % (size.to_bytes(8, "big"), payload)


class EventPacket(EnginePacket):  # type: ignore[misc]  # python-engineio has no types
    """An event whose one argument is encoded already: one packet for any number of sockets of a namespace."""

    def __init__(self, namespace: str, event: str, body: bytes) -> None:
        super().__init__(MESSAGE)
        self._payload = b'42%b,["%b",%b]' % (namespace.encode(), event.encode(), body)
        self.size = len(self._payload)
        self._frame = b""
        self._text = ""

    def encode(self, b64: bool = False) -> str:
        """For the library's own writer."""
        self._text = self._text or self._payload.decode()
        return self._text

    @property
    def frame(self) -> bytes:
        """For the lean writer."""
        self._frame = self._frame or frame(self._payload)
        return self._frame
