"""The canonical serialisation of operations, over which a transcript's SHA-256 is made.

Defined in docs/protocol.md: one JSON object a line, as RFC 8785 writes it. `v` and `epoch` are left out: they
belong to the way operations travel, and a new epoch does not change what was said.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from backend.domain.consultation_operations import Audience, Operation, Skip, view_for
from backend.domain.transcripts import SHANGHAI
from backend.storage.documents import to_value


def canonical_line(operation: Operation, audience: Audience) -> bytes:
    """One operation as a reader sees it, with the line feed that ends it."""
    seen = view_for(operation, audience)
    found: dict[str, Any] = {"conv": seen.consultation_id, "seq": seen.seq, "kind": seen.kind.value}
    if not isinstance(seen.payload, Skip):
        body = to_value(seen.payload)
        found |= {
            "id": seen.id,
            "cid": seen.cid,
            "from": {"kind": seen.sender.kind, "id": seen.sender.id, "name": seen.sender.name},
            "ts": _moment(seen.at),
            "vis": seen.visibility.value,
            "body": body["content"] if set(body) == {"content"} else body,
        }
        if seen.recalled_by is not None:
            found["recalled_by"] = seen.recalled_by
    return canonical_json(found).encode() + b"\n"


def canonical_json(value: Any) -> str:
    """`value` as RFC 8785 writes it: members by name, no spaces, characters as they are, numbers as ECMAScript."""
    match value:
        case Mapping():
            members = sorted(value.items(), key=lambda item: str(item[0]).encode("utf-16-be"))
            return "{" + ",".join(f"{_string(name)}:{canonical_json(member)}" for name, member in members) + "}"
        case list() | tuple():
            return "[" + ",".join(canonical_json(member) for member in value) + "]"
        case str():
            return _string(value)
        case bool() | None:
            return {True: "true", False: "false", None: "null"}[value]
        case float():
            return _number(value)
        case datetime():
            return _string(_moment(value))
    return str(value)


def _moment(moment: datetime) -> str:
    return moment.astimezone(SHANGHAI).isoformat(timespec="milliseconds")


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _number(value: float) -> str:
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    shortest = repr(value)
    if "e" not in shortest:
        return shortest
    if 1e-7 <= abs(value) < 1e21:
        return format(Decimal(shortest), "f")
    mantissa, _, exponent = shortest.partition("e")
    power = int(exponent)
    return f"{mantissa}e{'+' if power > 0 else '-'}{abs(power)}"
