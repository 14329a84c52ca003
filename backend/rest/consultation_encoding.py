"""Operations as bytes: encoded once per process, however many sockets and nodes they go to.

What is said most often (messages, edits, recalls, notes) is written by hand, without looking at the fields of
a class; everything else goes the way of `operation_json`. Both make the same object, member for member:
`tests/rest/test_consultation_encoding.py`.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import orjson

from backend.domain.consultation_content import EMPTY
from backend.domain.consultation_operations import Audience, Edit, Message, Note, Operation, Recall, Skip, Visibility
from backend.rest.consultation_views import PROTOCOL_VERSION, moment, operation_json


class Encoded(NamedTuple):
    """An operation as each side sees it, in JSON of one line. Both are one object where they are equal."""

    consultation_id: str
    epoch: int
    seq: int
    citizen: bytes
    staff: bytes
    recalls: bool
    """Whether it empties an earlier message: what was encoded before must not be shown any more."""


def encoded_operation(operation: Operation) -> Encoded:
    """The operation for both sides."""
    staff = _staff(operation)
    hidden = operation.visibility is Visibility.STAFF and not isinstance(operation.payload, Skip)
    return Encoded(
        operation.consultation_id,
        operation.epoch,
        operation.seq,
        _skip(operation) if hidden else staff,
        staff,
        isinstance(operation.payload, Recall),
    )


def opening_of(consultation_id: str, epoch: int, seq: int) -> bytes:
    """How every encoded operation of this number begins."""
    return b'{"v":%d,"conv":"%s","epoch":%d,"seq":%d,' % (PROTOCOL_VERSION, consultation_id.encode(), epoch, seq)


def json_bytes(value: object) -> bytes:
    """`value` in JSON; half characters and numbers beyond 64 bits included."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode()


def _skip(operation: Operation) -> bytes:
    return opening_of(operation.consultation_id, operation.epoch, operation.seq) + b'"kind":"skip"}'


def _staff(operation: Operation) -> bytes:
    payload = operation.payload
    body: Any
    if isinstance(payload, Message):
        body = payload.content if operation.recalled_by is None else EMPTY
    elif isinstance(payload, Edit):
        text = payload.text if operation.recalled_by is None else ""
        body = {"target_seq": payload.target_seq, "text": text}
    elif isinstance(payload, Recall | Note):
        body = payload
    else:
        return json_bytes(operation_json(operation, Audience.STAFF))
    found = {
        "v": PROTOCOL_VERSION,
        "conv": operation.consultation_id,
        "epoch": operation.epoch,
        "seq": operation.seq,
        "kind": payload.KIND,
        "id": operation.id,
        "cid": operation.cid,
        "from": operation.sender,
        "ts": moment(operation.at),
        "vis": operation.visibility,
        "body": body,
    }
    if operation.recalled_by is not None:
        found["recalled_by"] = operation.recalled_by
    try:
        return orjson.dumps(found)
    except TypeError:
        return json_bytes(operation_json(operation, Audience.STAFF))
