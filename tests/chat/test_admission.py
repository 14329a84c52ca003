"""The queue before a node: its promises hold whatever clients do, and nobody stays outside."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domain.access import Actor
from backend.services.socket_tickets import holder_of
from chat.admission import LONGEST, Admission, Busy, Queue


def storm(queue: Queue, clients: int, *, seed: int, newcomers: float = 0.0, seconds: float = 600.0) -> dict[str, float]:
    """`clients` come at 0 and keep to what they are told, as ours do, while `newcomers` a second come too.

    Returns when each came in.
    """
    chance = random.Random(seed)
    events = [(chance.random() * 0.5, f"c{n}") for n in range(clients)]
    at = 0.0
    while newcomers and at < seconds / 4:
        at += chance.expovariate(newcomers)
        events.append((at, f"n{at}"))
    entered: dict[str, float] = {}
    events.sort()
    while events:
        now, key = events.pop(0)
        assert now < seconds, "somebody stays outside"
        wait = queue.ask(key, now)
        if not wait:
            entered[key] = now
            continue
        assert 0 < wait <= LONGEST
        events.append((now + wait * (1 + 0.2 * chance.random()) + chance.random() * 0.2, key))
        events.sort()
    return entered


@settings(max_examples=30, deadline=None)
@given(
    rate=st.floats(2, 80),
    clients=st.integers(1, 300),
    newcomers=st.sampled_from([0.0, 0.2, 0.5, 0.8]),
    seed=st.integers(0, 1000),
)
def test_everybody_comes_in_at_the_rate_and_nobody_is_asked_away_twice(
    rate: float, clients: int, newcomers: float, seed: int
) -> None:
    queue = Queue(rate, burst=max(1.0, rate / 2))
    asked: dict[str, int] = {}

    class Counting:
        def ask(self, key: str, now: float) -> float:
            asked[key] = asked.get(key, 0) + 1
            return queue.ask(key, now)

    entered = storm(Counting(), clients, seed=seed, newcomers=newcomers * rate)  # type: ignore[arg-type]
    storming = sorted(at for key, at in entered.items() if key.startswith("c"))
    assert len(storming) == clients
    assert storming[-1] <= 1.25 * clients / rate + 1.5  # newcomers do not push those back who wait
    for count, at in enumerate(sorted(entered.values()), 1):
        assert count <= 2 * queue.burst + rate * at + 1
    longest = clients / rate
    if longest < LONGEST:
        assert max(asked.values()) <= 2  # sent away once at most, and then let in
    assert len(queue) == 0


@settings(max_examples=50, deadline=None)
@given(rate=st.floats(1, 50), ahead=st.integers(10, 100), asks=st.integers(1, 40))
def test_who_does_not_wait_gains_nothing_and_keeps_the_place(rate: float, ahead: int, asks: int) -> None:
    queue = Queue(rate, burst=1)
    for n in range(ahead + 2):
        queue.ask(f"c{n}", 0.0)
    promised = queue.ask("eager", 0.0)
    assert promised == pytest.approx(min(LONGEST, (ahead + 2) / rate))
    due = (ahead + 2) / rate
    for n in range(asks):
        now = (due - 0.1) * n / asks
        assert queue.ask("eager", now) == pytest.approx(min(LONGEST, max(0.05, due - now)))
    assert queue.ask("eager", due) == 0.0


def test_a_slot_is_kept_for_whom_it_was_promised_to() -> None:
    queue = Queue(10, burst=1)
    assert queue.ask("first", 0.0) == 0.0
    wait = queue.ask("waiting", 0.0)
    assert queue.ask("newcomer", wait + 0.01) > 0  # the token of this moment is not theirs
    assert queue.ask("waiting", wait + 0.02) == 0.0


def test_the_place_of_who_does_not_come_back_goes_to_others() -> None:
    queue = Queue(1, burst=1)
    queue.ask("first", 0.0)
    queue.ask("gone", 0.0)
    assert queue.ask("other", 1.5) > 0
    assert queue.ask("another", 10.0) == 0.0
    assert len(queue) == 0


def test_a_place_beyond_a_minute_is_told_again_and_stays() -> None:
    queue = Queue(1, burst=1)
    for n in range(151):
        queue.ask(f"c{n}", 0.0)
    waits = [queue.ask("last", at) for at in (0.0, 60.0, 120.0)]
    assert waits == [60.0, 60.0, pytest.approx(31.0)]


def test_a_slower_node_sends_away_again_but_nobody_for_good() -> None:
    queue = Queue(50, burst=10)
    queue.slow_down(0.25, 0.0)
    entered = storm(queue, 300, seed=1)
    assert len(entered) == 300
    assert max(entered.values()) > 300 / 50 * 2  # it did go slower


def test_desks_are_let_in_while_citizens_wait_and_count_for_the_node() -> None:
    now = 0.0
    admission = Admission(10, clock=lambda: now)
    waits = []
    for n in range(30):
        try:
            admission.ticket("citizen", f"c{n}")
        except Busy as busy:
            waits.append(busy.retry_after)
    assert waits == [pytest.approx((n + 1) / 10) for n in range(25)]
    before = admission.refused
    for n in range(5):
        admission.ticket("staff", f"s{n}")
    assert admission.refused == before
    assert admission.waiting() == 25


def test_a_ticket_of_this_node_opens_one_socket_without_waiting_again() -> None:
    now = 0.0
    admission = Admission(2, clock=lambda: now)
    actor = Actor("citizen", "a", session_id="s")
    admission.ticket("citizen", holder_of(actor))
    for n in range(10):  # others, with tickets of another node
        try:
            admission.socket("citizen", f"x{n}.y")
        except Busy:
            continue
    admission.socket("citizen", f"{holder_of(actor)}.secret")
    with pytest.raises(Busy):
        admission.socket("citizen", f"{holder_of(actor)}.secret")


def test_who_was_sent_away_with_a_ticket_gets_the_next_one_in_time() -> None:
    now = 0.0
    admission = Admission(2, clock=lambda: now)
    waits = {}
    for n in range(8):
        try:
            admission.socket("citizen", f"x{n}.y")
        except Busy as busy:
            waits[f"x{n}"] = busy.retry_after
    holder, wait = max(waits.items(), key=lambda item: item[1])
    for n in range(20):  # a crowd wants tickets meanwhile
        try:
            admission.ticket("citizen", f"t{n}")
        except Busy:
            continue
    now = wait
    admission.ticket("citizen", holder)
    admission.socket("citizen", f"{holder}.another")


def test_nobody_is_let_in_while_too_many_wait_to_be_greeted() -> None:
    """Let in all the same, they would wait longer than their patience, begin again, and nobody would be greeted."""
    now, greets_a_second, patience = 0.0, 20, 20.0
    admission = Admission(100, clock=lambda: now)
    coming = {f"c{n}": 0.0 for n in range(2000)}  # when each comes (again)
    waiting: list[tuple[float, str]] = []  # who was let in and not greeted, and since when
    greeted: set[str] = set()
    most = 0
    while len(greeted) < 2000 and now < 600:
        now += 0.25
        for since, who in [w for w in waiting if now - w[0] > patience]:
            waiting.remove((since, who))
            coming[who] = now
        for _, who in waiting[: greets_a_second // 4]:
            greeted.add(who)
        del waiting[: greets_a_second // 4]
        admission.follow(0.0, len(waiting))
        for who in [who for who, at in coming.items() if at <= now]:
            try:
                admission.ticket("citizen", who)
                admission.socket("citizen", f"{who}.secret")
            except Busy as busy:
                coming[who] = now + busy.retry_after
            else:
                del coming[who]
                waiting.append((now, who))
        most = max(most, len(waiting))
    assert len(greeted) == 2000
    assert now < 2000 / greets_a_second * 1.5  # it greets all the while
    assert most <= 350
