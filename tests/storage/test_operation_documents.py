"""What is written by hand for speed is the same as what the general way makes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from backend.domain.consultation_content import (
    Attachment,
    Card,
    CardKind,
    Content,
    Location,
    fingerprint,
    text_fingerprint,
)
from backend.domain.consultation_operations import Message, Note, Opened, Operation, Party, Payload, Visibility
from backend.domain.consultations import Consultation, apply
from backend.services.consultation_base import content_fingerprint
from backend.storage.documents import to_document, to_value
from backend.storage.operation_documents import (
    general_document,
    operation_from_document,
    operation_to_document,
    talk_value,
)

T0 = datetime(2026, 3, 16, 2, tzinfo=UTC)
texts = st.text(max_size=30)
numbers = st.integers(1, 10_000)
parties = st.builds(Party, st.sampled_from(["citizen", "staff", "system"]), texts, texts)
attachments = st.builds(Attachment, texts, texts, texts, numbers, numbers, numbers)
contents = st.builds(
    Content,
    texts,
    st.lists(attachments, max_size=3).map(tuple),
    st.none() | st.builds(Location, st.floats(-90, 90), st.floats(-180, 180), texts, texts),
    st.none() | st.builds(Card, st.sampled_from(CardKind), texts, texts, st.none() | numbers, st.none() | texts),
    st.none() | numbers,
)
payloads: st.SearchStrategy[Payload] = st.builds(Message, contents) | st.builds(Note, texts)
operations = st.builds(
    Operation,
    texts,
    texts,
    numbers,
    numbers,
    texts,
    parties,
    st.just(T0),
    payloads,
    st.sampled_from(Visibility),
    texts,
    st.none() | numbers,
)


@given(operations)
def test_an_operation_is_stored_as_its_dataclass_says_and_read_back(operation: Operation) -> None:
    document = operation_to_document(operation)
    assert document == general_document(operation)
    assert list(document) == list(general_document(operation))
    assert operation_from_document(document) == operation


@pytest.mark.parametrize(
    "wrong",
    [
        {"sender": {"kind": "robot", "id": "x"}},
        {"sender": {"kind": "citizen", "id": 5}},
        {"payload": {"content": {"text": 5}}},
        {"payload": {"content": {"text": "x", "reply_to": "y"}}},
        {"payload": {"content": {"text": "x", "attachments": [{}]}}},
    ],
)
def test_a_document_that_does_not_fit_is_an_error_where_it_is_read(wrong: dict[str, Any]) -> None:
    operation = Operation("i", "k", 1, 2, "c", Party("citizen", "c1"), T0, Message(Content("您好")))
    with pytest.raises(ValidationError):
        operation_from_document(operation_to_document(operation) | wrong)


@given(contents)
def test_the_fingerprint_of_a_text_is_that_of_its_content(content: Content) -> None:
    body = dict(to_value(content))
    body["attachments"] = [attachment.upload_id for attachment in content.attachments]
    assert content_fingerprint("message", content) == fingerprint("message", body=body)
    bare = Content(content.text, reply_to=content.reply_to)
    assert text_fingerprint("message", content.text, content.reply_to) == fingerprint("message", body=to_value(bare))


@given(st.lists(st.tuples(parties, payloads), max_size=8))
def test_what_lists_lack_after_talk_is_all_that_talk_changes(said: list[tuple[Party, Payload]]) -> None:
    asker = Party("citizen", "c1", "李女士")
    before: Consultation = apply(None, Operation("i", "k", 1, 1, "c", asker, T0, Opened(asker, "咨询")))
    after = before
    for seq, (sender, payload) in enumerate(said, start=2):
        visibility = Visibility.STAFF if isinstance(payload, Note) else Visibility.ALL
        moment = T0 + timedelta(seconds=seq)
        after = apply(after, Operation("i", "k", 1, seq, "c", sender, moment, payload, visibility))
    assert to_document(before) | talk_value(after) == to_document(after)
