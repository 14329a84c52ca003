import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.consultation_content import (
    MAX_PREVIEW,
    MAX_TEXT,
    Attachment,
    Card,
    CardKind,
    Content,
    Location,
    checked_content,
    checked_text,
    fingerprint,
    preview_of,
)
from backend.domain.consultation_operations import (
    PAYLOADS,
    Assigned,
    AssignmentCause,
    Audience,
    Closed,
    CloseReason,
    Edit,
    MatterRef,
    Message,
    Note,
    Offered,
    Opened,
    Operation,
    OperationKind,
    Party,
    Payload,
    Rated,
    Recall,
    Reopened,
    Skip,
    Transferred,
    Visibility,
    Waiting,
    view_for,
)
from backend.domain.consultation_threads import Thread, apply_to_thread
from backend.domain.consultations import (
    ConsultationClosed,
    SequenceGap,
    State,
    TooLate,
    apply,
    apply_all,
    check_edit,
    check_open,
    check_rate,
    check_recall,
    check_reopen,
    check_version,
)
from backend.domain.errors import EditConflict, InvalidInput, InvalidTransition, NotFound, TooLarge
from backend.domain.organisation import DutyTier

T0 = datetime(2026, 3, 16, 2, tzinfo=UTC)
CITIZEN = Party("citizen", "c1", "李女士")
CLERK = Party("staff", "s1", "王敏")


def op(seq: int, payload: Payload, sender: Party = CITIZEN, **changes: object) -> Operation:
    base = Operation(
        id=f"id{seq}",
        consultation_id="k1",
        epoch=1,
        seq=seq,
        cid=f"cid{seq}",
        sender=sender,
        at=T0 + timedelta(seconds=seq),
        payload=payload,
        visibility=Visibility.STAFF if isinstance(payload, Note) else Visibility.ALL,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


OPENED = op(1, Opened(CITIZEN, "新生儿落户", MatterRef("m1", 3, "出生登记"), area_code="440100"))


def fold(ops: Sequence[Operation], start: Thread | None = None) -> Thread:
    thread = start or Thread()
    for operation in ops:
        thread = apply_to_thread(thread, operation)
    return thread


texts = st.text(min_size=1, max_size=20).filter(lambda t: bool(t.strip()))
targets = st.integers(1, 12)
payloads = st.one_of(
    st.builds(Message, st.builds(Content, text=texts)),
    st.builds(Message, st.just(Content(attachments=(Attachment("u1"),)))),
    st.builds(Edit, targets, texts),
    st.builds(Recall, targets),
    st.builds(Note, texts),
    st.builds(Offered, st.just(CLERK), st.just(T0)),
    st.builds(
        Assigned,
        st.just(CLERK),
        st.just("p1"),
        st.just("d1"),
        st.sampled_from(DutyTier),
        st.sampled_from(AssignmentCause),
    ),
    st.builds(Waiting, st.just("p1"), st.just("d1"), st.just(T0), texts),
    st.builds(Transferred, st.just("p2"), st.just("d2"), texts),
    st.builds(Closed, st.sampled_from(CloseReason)),
    st.just(Reopened()),
    st.builds(Rated, st.integers(1, 5)),
    st.just(Skip()),
)


def redacted(ops: Sequence[Operation]) -> list[Operation]:
    """The log as the store keeps it: what was recalled later is marked."""
    by = {o.payload.target_seq: o.seq for o in ops if isinstance(o.payload, Recall)}
    return [
        replace(o, recalled_by=by.get(o.payload.target_seq if isinstance(o.payload, Edit) else o.seq))
        if isinstance(o.payload, Message | Edit)
        else o
        for o in ops
    ]


logs = st.lists(st.tuples(payloads, st.sampled_from([CITIZEN, CLERK])), max_size=14).map(
    lambda items: [OPENED, *(op(i, payload, who) for i, (payload, who) in enumerate(items, start=2))]
)


def only_past(ops: Sequence[Operation]) -> bool:
    """Edits and recalls point backwards, at messages, as the rules see to."""
    kinds = {o.seq: o.kind for o in ops}
    return all(
        o.payload.target_seq < o.seq and kinds.get(o.payload.target_seq) is OperationKind.MESSAGE
        for o in ops
        if isinstance(o.payload, Edit | Recall)
    )


@given(logs, st.data())
def test_state_and_operations_equal_fetched_again(ops: list[Operation], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(ops)))
    assert fold(ops[cut:], fold(ops[:cut])) == fold(ops)


messages = st.builds(Message, st.builds(Content, text=texts))
chatty = st.lists(
    st.tuples(st.one_of(messages, messages, payloads), st.sampled_from([CITIZEN, CLERK])), max_size=14
).map(lambda items: [OPENED, *(op(i, payload, who) for i, (payload, who) in enumerate(items, start=2))])


@given(chatty, st.data())
def test_what_is_folded_together_is_what_is_folded_one_by_one(ops: list[Operation], data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(ops)))
    renamed = [replace(o, sender=replace(o.sender, name=f"n{o.seq}")) for o in ops]
    before, after = fold(renamed[:cut]).consultation, fold(renamed).consultation
    assert before is not None
    assert apply_all(before, renamed[cut:]) == after


def test_no_more_than_the_latest_is_kept_when_folded_together() -> None:
    ops = [OPENED, *(op(seq, Message(Content(str(seq)))) for seq in range(2, 260))]
    start = apply(None, OPENED)
    assert apply_all(start, ops[1:]) == apply_all(apply_all(start, ops[1:120]), ops[120:]) == fold(ops).consultation
    with pytest.raises(SequenceGap):
        apply_all(start, ops[2:])


@given(logs.filter(only_past), st.sampled_from(Audience))
def test_who_was_there_and_who_comes_later_see_the_same(ops: list[Operation], audience: Audience) -> None:
    live = fold([view_for(o, audience) for o in ops])
    later = fold([view_for(o, audience) for o in redacted(ops)])
    assert live == later


@given(logs)
def test_a_citizen_view_is_gapless_and_gives_the_same_state(ops: list[Operation]) -> None:
    seen = [view_for(o, Audience.CITIZEN) for o in ops]
    assert [o.seq for o in seen] == [o.seq for o in ops]
    assert fold(seen).consultation == fold(ops).consultation


@given(logs.filter(only_past))
def test_a_citizen_never_sees_a_note_and_nobody_what_was_recalled(ops: list[Operation]) -> None:
    seen = [view_for(o, Audience.CITIZEN) for o in redacted(ops)]
    recalled = {o.payload.target_seq for o in ops if isinstance(o.payload, Recall)}
    assert not any(isinstance(o.payload, Note) for o in seen)
    assert all(o.payload.content == Content() for o in seen if isinstance(o.payload, Message) and o.seq in recalled)
    assert all(not o.payload.text for o in seen if isinstance(o.payload, Edit) and o.payload.target_seq in recalled)


@given(logs)
def test_an_operation_out_of_turn_is_refused(ops: list[Operation]) -> None:
    state = fold(ops).consultation
    assert state is not None
    for wrong in (ops[-1], op(len(ops) + 2, Skip()), op(len(ops) + 1, Skip(), epoch=2)):
        with pytest.raises(SequenceGap):
            apply(state, wrong)


def test_every_kind_has_its_payload() -> None:
    assert set(PAYLOADS) == set(OperationKind)


def test_the_course_of_a_consultation() -> None:
    waiting = fold([OPENED, op(2, Waiting("p1", "d1", T0 + timedelta(hours=4), "现在不是工作时间"))])
    answered = fold(
        [
            op(3, Assigned(CLERK, "p1", "d1", DutyTier.HOLDER, AssignmentCause.TAKEN), CLERK),
            op(4, Message(Content("请带出生医学证明。")), CLERK),
            op(5, Note("材料清单已核对"), CLERK),
            op(6, Closed(CloseReason.ANSWERED), CLERK),
            op(7, Rated(5)),
        ],
        waiting,
    )
    first, last = waiting.consultation, answered.consultation
    assert first is not None
    assert last is not None
    assert (first.state, first.promised_at) == (State.WAITING_ANSWER, T0 + timedelta(hours=4))
    assert (last.state, last.promised_at, last.score) == (State.CLOSED, None, 5)
    assert (last.last_seq, last.version) == (7, 7)
    assert last.first_answered_at == T0 + timedelta(seconds=4)
    assert last.past_staff_ids == {"s1"}


# --- rules ---------------------------------------------------------------------------------------

HELLO = op(2, Message(Content("您好")))


@pytest.mark.parametrize(
    ("target", "who", "after", "error"),
    [
        (None, CITIZEN, 0, NotFound),
        (OPENED, CITIZEN, 0, NotFound),
        (HELLO, CLERK, 0, NotFound),
        (HELLO, Party("staff", "c1"), 0, NotFound),
        (replace(HELLO, recalled_by=3), CITIZEN, 0, InvalidInput),
        (HELLO, CITIZEN, 121, TooLate),
    ],
)
def test_what_cannot_be_recalled(target: Operation | None, who: Party, after: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        check_recall(target, who, HELLO.at + timedelta(seconds=after))


def test_an_edit_has_five_minutes_and_a_recall_two() -> None:
    assert check_recall(HELLO, CITIZEN, HELLO.at + timedelta(minutes=2)) is HELLO
    assert check_edit(HELLO, CITIZEN, HELLO.at + timedelta(minutes=5)) is HELLO
    with pytest.raises(TooLate):
        check_edit(HELLO, CITIZEN, HELLO.at + timedelta(minutes=5, seconds=1))


def test_a_closed_consultation_is_rated_once_and_reopened_in_time() -> None:
    active = fold([OPENED]).consultation
    closed = fold([OPENED, op(2, Closed(CloseReason.ANSWERED))]).consultation
    rated = fold([OPENED, op(2, Closed(CloseReason.ANSWERED)), op(3, Rated(4))]).consultation
    assert active is not None
    assert closed is not None
    assert rated is not None
    check_open(active)
    check_rate(closed, 1)
    check_reopen(closed, T0 + timedelta(days=30))
    with pytest.raises(ConsultationClosed):
        check_open(closed)
    with pytest.raises(InvalidInput):
        check_rate(closed, 6)
    with pytest.raises(InvalidTransition):
        check_rate(active, 5)
    with pytest.raises(InvalidTransition):
        check_rate(rated, 5)
    with pytest.raises(TooLate):
        check_reopen(closed, T0 + timedelta(days=31))
    with pytest.raises(InvalidTransition):
        check_reopen(active, T0)


def test_a_decision_on_an_old_version_is_a_conflict() -> None:
    state = fold([OPENED, HELLO]).consultation
    assert state is not None
    check_version(state, None)
    check_version(state, 1)  # talk alone does not change the version
    with pytest.raises(EditConflict):
        check_version(state, 2)


# --- content -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (Content(), InvalidInput),
        (Content(" \n\u200b\ufeff"), InvalidInput),
        (Content("字" * (MAX_TEXT + 1)), TooLarge),
        (Content("a\x00b"), InvalidInput),
        (Content("a\x1b[31m"), InvalidInput),
        (Content("\ud83d"), InvalidInput),
        (Content(attachments=(Attachment("nonsense"),)), InvalidInput),
        (Content("x", reply_to=0), InvalidInput),
        (Content(location=Location(91, 0)), InvalidInput),
        (Content(location=Location(float("nan"), 0)), InvalidInput),
        (Content(card=Card(CardKind.GUIDE, "m1", "")), InvalidInput),
        (Content(card=Card(CardKind.MATERIAL_REQUEST, "k1", "身份证")), InvalidInput),
    ],
)
def test_what_cannot_be_sent(content: Content, error: type[Exception]) -> None:
    with pytest.raises(error):
        checked_content(content)


@pytest.mark.parametrize(
    "content",
    [
        Content("字" * MAX_TEXT),
        Content("第一行\r\n\t第二行"),
        Content("<script>alert(1)</script> 👨‍👩‍👧 \u202e反"),
        Content(attachments=(Attachment("018f3b5e-0000-7000-8000-000000000001"),)),
        Content(location=Location(23.1, 113.2, "政务服务中心")),
        Content(card=Card(CardKind.GUIDE, "m1", "出生登记", 3)),
    ],
)
def test_what_is_kept_as_it_is(content: Content) -> None:
    assert checked_content(content) is content


def test_naughty_strings_are_kept_or_refused_never_changed(shared_data: Path) -> None:
    strings = json.loads((shared_data / "bad_inputs" / "strings" / "blns.json").read_text("utf-8"))
    refused = []
    for string in strings:
        try:
            assert checked_text(string, field="text") == string
        except InvalidInput:
            refused.append(string)
    assert len(refused) < 12, refused  # the empty ones and those with terminal escapes


@given(st.text())
def test_any_text_is_kept_or_refused(text: str) -> None:
    try:
        kept = checked_text(text, field="text")
    except InvalidInput:
        return
    assert kept == text
    kept.encode()


@given(st.builds(Content, text=st.text(max_size=300)))
def test_a_preview_is_one_short_line(content: Content) -> None:
    preview = preview_of(content)
    assert len(preview) <= MAX_PREVIEW
    assert len(preview.splitlines()) <= 1


def test_a_fingerprint_tells_a_retry_from_a_reuse() -> None:
    assert fingerprint("message", text="好", reply_to=None) == fingerprint("message", reply_to=None, text="好")
    assert fingerprint("message", text="好") != fingerprint("message", text="坏")
    assert fingerprint("message", text="好") != fingerprint("note", text="好")
