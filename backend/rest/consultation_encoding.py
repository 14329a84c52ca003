"""Operations as bytes: encoded once per process, however many sockets and nodes they go to.

What is said most often (messages, edits, recalls, notes) is written by hand, without looking at the fields of
a class; everything else goes the way of `operation_json`. Both make the same object, member for member:
`tests/rest/test_consultation_encoding.py`.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from backend.domain.consultation_content import EMPTY, Content
from backend.domain.consultation_operations import (
    Audience,
    Edit,
    Message,
    Note,
    Operation,
    Party,
    Recall,
    Skip,
    Visibility,
)
from backend.rest.consultation_views import PROTOCOL_VERSION, moment, operation_json, party_json


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


def _words(operation: Operation, content: Content) -> bytes | None:
    """A message of words alone, which nearly all are; None for any other."""
    if content.attachments or content.location or content.card or operation.visibility is not Visibility.ALL:
        return None
    try:
        text = orjson.dumps(content.text)
    except TypeError:  # half characters
        return None
    return (
        b'{"v":%d,"conv":"%b","epoch":%d,"seq":%d,"kind":"message","id":"%b","cid":"%b","from":%b,"ts":"%b","vis":"all",'
        b'"body":{"text":%b,"attachments":[],"location":null,"card":null,"reply_to":%b}}'
        % (
            PROTOCOL_VERSION,
            operation.consultation_id.encode(),
            operation.epoch,
            operation.seq,
            operation.id.encode(),
            operation.cid.encode(),
            _party(operation.sender),
            (moment(operation.at) or "").encode(),
            text,
            b"null" if content.reply_to is None else b"%d" % content.reply_to,
        )
    )


@lru_cache(maxsize=4096)  # who talks now
def _party(party: Party) -> bytes:
    return json_bytes(party_json(party))


def _staff(operation: Operation) -> bytes:
    payload = operation.payload
    body: Any
    if isinstance(payload, Message):
        if operation.recalled_by is None and (words := _words(operation, payload.content)):
            return words
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
