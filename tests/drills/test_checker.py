"""The judge is judged: hand-made histories, a good one and one bad one for each invariant."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.drills.checker import check, fold
from tests.drills.history import Entry, History

CONV = "c"
AT = datetime(2026, 3, 16, 2, 0, 0, 123000, tzinfo=UTC)
TS = "2026-03-16T10:00:00.123+08:00"
TEXTS = ["您好", "请问", "谢谢"]


def entries() -> list[Entry]:
    first = Entry(1, "id1", "cid1", "citizen a", "opened", AT)
    said = [Entry(n, f"id{n}", f"cid{n}", "citizen a", "message", AT, text) for n, text in enumerate(TEXTS, 2)]
    return [first, *said, Entry(5, "id5", "cid5", "staff b", "note", AT, "内部", staff_only=True)]


def op(entry: Entry, **changes: Any) -> dict[str, Any]:
    body = {} if entry.text is None else {"text": entry.text}
    shown = {"seq": entry.seq, "id": entry.id, "cid": entry.cid, "kind": entry.kind, "body": body, "epoch": 1}
    return shown | changes


def good() -> tuple[History, list[Entry]]:
    """A phone that sent three messages and saw everything, and a desk that saw it too."""
    history, log = History(), entries()
    history.audiences = {"phone": "citizen", "desk": "staff"}
    for entry in log[1:4]:
        history.note("phone", "sent", CONV, cid=entry.cid, event="msg:send")
    for entry in log:
        if entry.kind == "message":
            history.note("phone", "acked", CONV, cid=entry.cid, seq=entry.seq, ts=TS, dup=False)
        hidden = {"seq": entry.seq, "kind": "skip", "epoch": 1}
        history.note("phone", "shown", CONV, op=hidden if entry.staff_only else op(entry))
        history.note("desk", "shown", CONV, op=op(entry))
    for read in (1, 3, 3):
        history.note("desk", "receipt", CONV, reader="citizen a", delivered=4, read=read)
    history.note("phone", "watermark", CONV, floor=(2, 2), now=(4, 3))
    history.note("phone", "refused", CONV, cid="cid9", code="too-late")
    return history, log


def broken(history: History, log: list[Entry]) -> set[str]:
    return {violation.invariant for violation in check(history, {CONV: log})}


def test_a_good_history_is_good() -> None:
    history, log = good()
    assert broken(history, log) == set()
    assert "3 sent, 3 acknowledged, 1 refused" in history.summary()


def test_an_acknowledged_message_that_is_not_there() -> None:
    history, log = good()
    history.note("phone", "acked", CONV, cid="cid7", seq=6, ts=TS, dup=False)
    assert broken(history, log) == {"acknowledged"}


@pytest.mark.parametrize("told", [{"seq": 3}, {"ts": "2026-03-16T10:00:00.124+08:00"}])
def test_an_acknowledged_message_elsewhere_or_at_another_time(told: dict[str, Any]) -> None:
    history, log = good()
    history.note("phone", "acked", CONV, **({"cid": "cid2", "seq": 2, "ts": TS, "dup": True} | told))
    assert broken(history, log) == {"acknowledged"}


def test_the_same_client_id_twice() -> None:
    history, log = good()
    assert broken(history, [*log, replace(log[1], seq=6, id="id6")]) >= {"once"}


def test_a_number_that_is_missing() -> None:
    history, log = good()
    assert "gapless" in broken(history, [*log[:3], *log[4:]])


def test_a_refused_one_that_is_there() -> None:
    history, log = good()
    history.note("phone", "refused", CONV, cid="cid3", code="too-late")
    assert broken(history, log) == {"refused"}


def test_two_of_one_sender_that_changed_places() -> None:
    history, log = good()
    two, three = log[1], log[2]
    log[1], log[2] = replace(three, seq=2), replace(two, seq=3)
    assert "own order" in broken(history, log)


def test_one_that_overtook_what_had_to_be_sent_again() -> None:
    history, log = good()
    history.note("phone", "sent", CONV, cid="cid8", event="msg:send")
    history.note("phone", "retry", CONV, cid="cid8", code="temporarily-unavailable")
    history.note("phone", "sent", CONV, cid="cid6", event="msg:send")
    log += [Entry(6, "id6", "cid6", "citizen a", "message", AT, "一"), Entry(7, "id7", "cid8", "citizen a", "edit", AT)]
    assert broken(history, log) == {"own order"}


def test_a_gap_that_was_shown() -> None:
    history, log = good()
    log += [Entry(n, f"id{n}", f"cid{n}", "staff b", "message", AT, "答") for n in (6, 7)]
    history.note("desk", "shown", CONV, op=op(log[6]))
    assert broken(history, log) == {"no gap shown"}


def test_something_shown_that_never_was() -> None:
    history, log = good()
    history.note("desk", "shown", CONV, op=op(Entry(6, "id6", "cid6", "citizen a", "message", AT, "想说")))
    assert broken(history, log) == {"only the log"}


@pytest.mark.parametrize("change", [{"id": "other"}, {"kind": "edit"}, {"body": {"text": "别的"}}])
def test_something_shown_that_is_otherwise_in_the_log(change: dict[str, Any]) -> None:
    history, log = good()
    log.append(Entry(6, "id6", "cid6", "citizen a", "message", AT, "想说"))
    history.note("desk", "shown", CONV, op=op(log[5], **change))
    assert broken(history, log) >= {"only the log"}


def test_a_note_shown_to_a_citizen() -> None:
    history, log = good()
    history.note("phone", "shown", CONV, op=op(log[4]))
    assert broken(history, log) == {"only the log"}


def test_a_client_told_to_begin_again() -> None:
    history, log = good()
    history.note("phone", "reset", CONV, epoch=2)
    assert broken(history, log) == {"prefix"}


@pytest.mark.parametrize("now", [{"delivered": 4, "read": 2}, {"delivered": 3, "read": 3}])
def test_a_receipt_that_goes_back(now: dict[str, int]) -> None:
    history, log = good()
    history.note("desk", "receipt", CONV, reader="citizen a", **now)
    assert broken(history, log) == {"receipts grow"}


def test_a_watermark_that_goes_back() -> None:
    history, log = good()
    history.note("phone", "watermark", CONV, floor=(4, 4), now=(4, 3))
    assert broken(history, log) == {"receipts grow"}


def test_a_client_that_is_late() -> None:
    history, log = good()
    history.note("desk", "late", CONV, have="4 of 5", seconds=5.1)
    assert broken(history, log) == {"converged"}


def test_two_clients_that_draw_different_things() -> None:
    history, log = good()
    history.audiences["other desk"] = "staff"
    for entry in log:
        gone = {"recalled_by": 4, "body": {}} if entry.seq == 2 else {}
        history.note("other desk", "shown", CONV, op=op(entry, **gone))
    assert broken(history, log) == {"same state"}


def test_live_and_later_views_of_edits_and_recalls_are_the_same() -> None:
    def said(seq: int, text: str, **more: Any) -> dict[str, Any]:
        return {"seq": seq, "kind": "message", "body": {"text": text}, **more}

    edit = {"seq": 3, "kind": "edit", "body": {"target_seq": 1, "text": "改"}}
    recall = {"seq": 4, "kind": "recall", "body": {"target_seq": 2}}
    live = fold([said(1, "一"), said(2, "二"), edit, recall])
    later = fold([said(1, "一"), {"seq": 2, "kind": "message", "body": {}, "recalled_by": 4}, edit, recall])
    assert live == later
    assert [s["text"] for s in live["said"].values()] == ["改", ""]
