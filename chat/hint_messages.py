"""What one node tells another in one message over Redis.

```
<node id> <CRC-32 of what follows, 8 hexadecimal digits>\\n
{"t": when it left, "e": epoch, "s": [numbers], "r": [numbers of recalls], "rcpt": […], "typing": […]}\\n
<operation as citizens see it>\\n
<the same for staff, empty where it is equal>\\n
…
```

The operations are laid into sockets as they are, without being decoded. So what is read here is distrusted:
every operation must begin as its number and consultation say, and nothing that only staff may see stands
on a citizen's line. What does not fit is dropped whole: the log tells.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from backend.rest.consultation_encoding import Encoded, opening_of

_NODE = 36
_STAFF_ONLY = b'"vis":"staff"'  # inside a text its quotation marks would be escaped


class Garbled(ValueError):
    """A message that no node of this version sends."""


@dataclass(slots=True)
class Outgoing:
    """What is to be told about one consultation with the next round trip."""

    operations: list[Encoded] = field(default_factory=list)
    receipts: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    typing: set[str] = field(default_factory=set)
    count: int = 0
    """How many hints it stands for."""
    size: int = 0
    """Bytes of the operations."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """What another node told about one consultation. `sent_at` is in seconds of its clock."""

    sent_at: float
    operations: tuple[Encoded, ...]
    receipts: tuple[dict[str, Any], ...]
    typing: tuple[str, ...]


def sealed(node: str, content: bytes) -> bytes:
    """A message of a node."""
    return b"%s %08x\n%s" % (node.encode(), zlib.crc32(content), content)


def opened(data: bytes) -> bytes:
    """The content of a message. Raises `Garbled`."""
    if len(data) < _NODE + 10 or data[_NODE + 9] != 0x0A:
        raise Garbled
    content = data[_NODE + 10 :]
    if b"%08x" % zlib.crc32(content) != data[_NODE + 1 : _NODE + 9]:
        raise Garbled
    return content


def packed(outgoing: Outgoing, now: float) -> bytes:
    """What is to be told, at `now` seconds of this clock."""
    header: dict[str, Any] = {"t": now}
    lines = [b""]
    if outgoing.operations:
        epoch = outgoing.operations[-1].epoch
        told = [o for o in outgoing.operations if o.epoch == epoch]
        header["e"] = epoch
        header["s"] = [o.seq for o in told]
        if recalls := [o.seq for o in told if o.recalls]:
            header["r"] = recalls
        for operation in told:
            lines.append(operation.citizen)
            lines.append(b"" if operation.staff is operation.citizen else operation.staff)
    if outgoing.receipts:
        header["rcpt"] = list(outgoing.receipts.values())
    if outgoing.typing:
        header["typing"] = sorted(outgoing.typing)
    lines[0] = orjson.dumps(header)
    return b"\n".join(lines)


def unpacked(consultation_id: str, content: bytes) -> Incoming:
    """What was told about a consultation. Raises `Garbled`."""
    first, *bodies = content.split(b"\n")
    try:
        header = orjson.loads(first)
        seqs, recalls = header.get("s", ()), header.get("r", ())
        return Incoming(
            float(header["t"]),
            _operations(consultation_id, header.get("e", 0), seqs, recalls, bodies),
            tuple(header.get("rcpt", ())),
            tuple(header.get("typing", ())),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Garbled from error


def _operations(
    consultation_id: str, epoch: int, seqs: Sequence[int], recalls: Sequence[int], bodies: Sequence[bytes]
) -> tuple[Encoded, ...]:
    if len(bodies) != 2 * len(seqs):
        raise Garbled
    found = []
    for index, seq in enumerate(seqs):
        citizen, staff = bodies[2 * index], bodies[2 * index + 1] or bodies[2 * index]
        opening = opening_of(consultation_id, epoch, seq)
        if not (citizen.startswith(opening) and staff.startswith(opening)) or _STAFF_ONLY in citizen:
            raise Garbled
        found.append(Encoded(consultation_id, epoch, seq, citizen, staff, seq in recalls))
    return tuple(found)
