"""Operations as bytes: the same object as the dictionary, for every kind and both sides."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domain.consultation_content import Content
from backend.domain.consultation_operations import (
    PAYLOADS,
    Audience,
    Message,
    Note,
    Offered,
    Operation,
    OperationKind,
    Party,
    Payload,
    Recall,
    Visibility,
    Waiting,
)
from backend.rest.consultation_encoding import encoded_operation, opening_of
from backend.rest.consultation_views import operation_json

T0 = datetime(2026, 3, 16, 2, 3, 4, 567_890, tzinfo=UTC)
moments = st.datetimes(datetime(1971, 1, 1), datetime(2199, 1, 1), timezones=st.just(UTC))
numbers = st.integers(0, 2**53)


def payloads_of(kind: OperationKind) -> st.SearchStrategy[Payload]:
    if kind is OperationKind.OFFERED:
        return st.builds(Offered, expires_at=moments)
    if kind is OperationKind.WAITING:
        return st.builds(Waiting, promised_at=moments)
    return st.from_type(PAYLOADS[kind])


def operations_of(kind: OperationKind) -> st.SearchStrategy[Operation]:
    return st.builds(
        Operation,
        id=st.uuids().map(str),
        consultation_id=st.uuids().map(str),
        epoch=numbers,
        seq=numbers,
        cid=st.uuids().map(str),
        at=moments,
        payload=payloads_of(kind),
        recalled_by=st.none() | numbers,
    )


@pytest.mark.parametrize("kind", list(OperationKind))
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_bytes_and_dictionary_are_the_same_object(kind: OperationKind, data: st.DataObject) -> None:
    operation = data.draw(operations_of(kind))
    encoded = encoded_operation(operation)
    for audience, body in ((Audience.CITIZEN, encoded.citizen), (Audience.STAFF, encoded.staff)):
        assert read(body) == read(json.dumps(operation_json(operation, audience)))
        assert body.startswith(opening_of(operation.consultation_id, operation.epoch, operation.seq))
        assert b"\n" not in body  # one line of a hint
    assert encoded.recalls == isinstance(operation.payload, Recall)
    assert (encoded.citizen is encoded.staff) == (encoded.citizen == encoded.staff)


def read(text: str | bytes) -> object:
    """JSON has no infinities: orjson writes null for them, the standard library a word of its own."""
    return json.loads(text, parse_constant=lambda _: None)


@given(data=st.data(), text=st.text(), quoted=st.none() | numbers)
def test_words_alone_are_the_same_object(data: st.DataObject, text: str, quoted: int | None) -> None:
    said = replace(data.draw(operations_of(OperationKind.MESSAGE)), payload=Message(Content(text, reply_to=quoted)))
    encoded = encoded_operation(said)
    assert read(encoded.staff) == read(json.dumps(operation_json(said, Audience.STAFF)))
    assert b"\n" not in encoded.staff


@given(text=st.text(min_size=1))
def test_of_what_is_for_staff_a_citizen_gets_the_number_alone(text: str) -> None:
    note = Operation("i", "k", 1, 7, "c", Party("staff", "s", text), T0, Note(text), Visibility.STAFF)
    assert encoded_operation(note).citizen == b'{"v":1,"conv":"k","epoch":1,"seq":7,"kind":"skip"}'


def test_a_recalled_message_has_no_text_and_half_a_character_is_no_obstacle() -> None:
    said = Operation("i", "k", 1, 7, "c", Party("citizen", "s", "半\ud83d"), T0, Message(Content(text="秘密")))
    assert json.loads(encoded_operation(said).citizen)["from"]["name"] == "半\ud83d"
    assert "秘密" not in encoded_operation(replace(said, recalled_by=8)).staff.decode()
