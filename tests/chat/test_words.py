"""Messages of words alone are read without a model: exactly as the model reads them, or not at all."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from backend.rest.consultation_bodies import LONG, SEQ_MAX
from chat.payloads import ReadReceipt, Send, plain_receipt, plain_words

ID = "01919c6e-7f2b-7c3a-9a51-2f6d1c0b7e11"
OTHER = "01919c6e-7f2b-7c3a-9a51-2f6d1c0b7e12"


def said(body: Any, **changes: Any) -> dict[str, Any]:
    return {"conv": ID, "cid": OTHER, "body": body} | changes


@pytest.mark.parametrize(
    "data",
    [
        said({"text": "您好"}),
        said({"text": "x" * LONG}),
        said({"text": "好的", "reply_to": 3}),
        said({"text": "好的", "reply_to": None}),
        said({"text": "好的", "reply_to": SEQ_MAX}),
    ],
)
def test_words_are_read_as_the_model_reads_them(data: Any) -> None:
    read = plain_words(data)
    assert read is not None
    conv, cid, words = read
    sent = Send.model_validate(data)
    assert (conv, cid, words) == (sent.conv, sent.cid, (sent.conv, sent.cid, sent.body.text, sent.body.reply_to))


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        said({}),
        said("您好"),
        said({"text": 1}),
        said({"text": "x" * (LONG + 1)}),
        said({"text": "您好", "more": 1}),
        said({"text": "您好", "reply_to": 0}),
        said({"text": "您好", "reply_to": True}),
        said({"text": "您好", "reply_to": 1.0}),
        said({"text": "您好", "reply_to": SEQ_MAX + 1}),
        said({"text": "您好"}, more=1),
        said({"text": "您好"}, conv=ID + "\n"),
        said({"text": "您好"}, conv=ID.upper()),
        said({"text": "您好"}, cid=1),
        {"conv": ID, "cid": OTHER, "text": "您好"},
    ],
)
def test_what_the_model_refuses_or_changes_is_left_to_it(data: Any) -> None:
    assert plain_words(data) is None


def test_photographs_are_left_to_the_model() -> None:
    data = said({"text": "看", "attachments": [{"upload_id": ID}]})
    assert plain_words(data) is None
    try:
        Send.model_validate(data)
    except ValidationError:
        pytest.fail("the model reads it")


@pytest.mark.parametrize(
    "data",
    [
        {"conv": ID, "delivered": 3, "read": 2},
        {"conv": ID, "delivered": 3},
        {"conv": ID, "read": SEQ_MAX},
        {"conv": ID},
    ],
)
def test_receipts_are_read_as_the_model_reads_them(data: Any) -> None:
    read = plain_receipt(data)
    assert read is not None
    sent = ReadReceipt.model_validate(data)
    assert read == (sent.conv, "", (sent.conv, sent.delivered, sent.read))


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"conv": ID.upper(), "read": 1},
        {"conv": ID, "read": True},
        {"conv": ID, "read": -1},
        {"conv": ID, "read": 1.0},
        {"conv": ID, "delivered": SEQ_MAX + 1},
        {"conv": ID, "read": 1, "more": 1},
        {"conv": ID, "read": None},
    ],
)
def test_receipts_the_model_refuses_or_changes_are_left_to_it(data: Any) -> None:
    assert plain_receipt(data) is None
