"""What a node tells another: read back as it was told, and refused when it is anything else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from backend.domain.consultation_content import Content
from backend.domain.consultation_operations import Message, Note, Operation, Party, Recall, Visibility
from backend.rest.consultation_encoding import encoded_operation
from chat.hint_messages import Garbled, Outgoing, opened, packed, sealed, unpacked

CONV, NODE = (f"01a20569-1bf0-7645-b48f-00000000000{n}" for n in (1, 2))  # the same in every process
CITIZEN, T0 = Party("citizen", "c", "李"), datetime(2026, 3, 16, tzinfo=UTC)
SAID = Operation("i", CONV, 1, 5, "c", CITIZEN, T0, Message(Content(text='"vis":"staff"')))
NOTED = replace(SAID, seq=6, payload=Note("内部"), visibility=Visibility.STAFF)
RECALLED = replace(SAID, seq=8, payload=Recall(5))
OPERATIONS = [encoded_operation(o) for o in (SAID, NOTED, RECALLED)]


def test_what_is_told_is_read_back() -> None:
    receipt = {"reader": {"kind": "staff", "id": "s", "name": "王"}, "delivered": 5, "read": 4}
    outgoing = Outgoing(list(OPERATIONS), {("staff", "s"): receipt}, {"citizen"})
    found = unpacked(CONV, opened(sealed(NODE, packed(outgoing, 12.5))))
    assert found.operations == tuple(OPERATIONS)
    assert (found.sent_at, found.receipts, found.typing) == (12.5, (receipt,), ("citizen",))
    assert b"\xe5\x86\x85\xe9\x83\xa8" not in found.operations[1].citizen  # the note stays with staff


def test_a_message_with_any_byte_changed_is_refused() -> None:
    message = sealed(NODE, packed(Outgoing(list(OPERATIONS)), 1.0))
    for place in range(len(NODE) + 1, len(message)):
        broken = bytearray(message)
        broken[place] ^= 0x15
        with pytest.raises(Garbled):
            unpacked(CONV, opened(bytes(broken)))
    for length in range(len(message)):
        with pytest.raises(Garbled):
            opened(message[:length])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"t":"soon"}',
        b'{"t":1,"e":1,"s":[5]}',
        b'{"t":1,"e":1,"s":["5"]}\n' + OPERATIONS[0].citizen + b"\n",
        b'{"t":1,"e":1,"s":[6]}\n' + OPERATIONS[0].citizen + b"\n",  # another number
        b'{"t":1,"e":2,"s":[5]}\n' + OPERATIONS[0].citizen + b"\n",  # another epoch
        b'{"t":1,"e":1,"s":[6]}\n' + OPERATIONS[1].staff + b"\n",  # a note where citizens read
        b'{"t":1,"e":1,"s":[5]}\n' + OPERATIONS[0].citizen.replace(CONV.encode(), NODE.encode()) + b"\n",
    ],
)
def test_what_no_node_sends_is_refused(content: bytes) -> None:
    with pytest.raises(Garbled):
        unpacked(CONV, content)
