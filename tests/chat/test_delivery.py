"""Feeds alone: whatever comes in whichever order, every reader's view is a prefix of the log.

The sockets are lists here, and the log one too; the rest is what runs.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domain.access import Actor
from backend.domain.consultation_content import Content
from backend.domain.consultation_operations import Message, Note, Operation, Party, Recall, Transferred, Visibility
from backend.rest.consultation_encoding import encoded_operation
from chat import delivery
from chat.connections import Connection
from chat.delivery import MAX_BACKLOG, Feeds

CONV = "k1"
T0 = datetime(2026, 3, 16, tzinfo=UTC)


class Sockets:
    """Sockets that keep what they are given; a frozen one writes nothing until it thaws."""

    def __init__(self) -> None:
        self.taken: defaultdict[Connection, list[dict[str, Any]]] = defaultdict(list)
        self.waiting: defaultdict[Connection, list[dict[str, Any]]] = defaultdict(list)
        self.frozen: set[Connection] = set()
        self.kicked: list[tuple[Connection, str]] = []

    def push(self, event: str, body: bytes, connections: Sequence[Connection]) -> None:
        for connection in connections:
            there = self.waiting if connection in self.frozen else self.taken
            there[connection].append(json.loads(body) | {"event": event})

    async def emit(self, event: str, data: Any, connections: Sequence[Connection]) -> None:
        self.push(event, json.dumps(data).encode(), connections)

    def backlog(self, connection: Connection) -> int:
        return len(self.waiting[connection])

    def takes(self, connection: Connection) -> bool:
        return not self.waiting[connection]

    async def kick(self, connection: Connection, code: str, retry_after: float | None = None) -> None:
        self.kicked.append((connection, code))
        await asyncio.Event().wait()  # as a socket that nobody reads

    def thaw(self, connection: Connection) -> None:
        self.frozen.discard(connection)
        self.taken[connection] += self.waiting.pop(connection, [])

    def seqs(self, connection: Connection) -> list[int]:
        return [packet["seq"] for packet in self.taken[connection] if packet["event"] == "op"]


def reader(namespace: str = "/citizen") -> Connection:
    kind = "citizen" if namespace == "/citizen" else "staff"
    return Connection("sid", namespace, Actor(kind=kind, id="x"), "", 15.0)  # type: ignore[arg-type]


def said(seq: int, **changes: Any) -> Operation:
    base = Operation(f"i{seq}", CONV, 1, seq, f"c{seq}", Party("citizen", "x"), T0, Message(Content(text=f"第{seq}句")))
    return replace(base, **changes)


class Node:
    """Feeds over a log that others write to as well."""

    def __init__(self, operations: Sequence[Operation] = ()) -> None:
        self.log = list(operations)
        self.sockets = Sockets()
        self.gate = asyncio.Event()
        self.gate.set()
        self.looked = 0
        self.banned: list[Connection] = []  # those a look sends away
        self.feeds = Feeds(
            transport=self.sockets, read_log=self.read, want=lambda _: True, unwant=lambda _: None, moved=self.look
        )

    async def look(self, consultation_id: str) -> None:
        await asyncio.sleep(0)
        self.looked += 1
        for connection in self.banned:
            self.feeds.detach(connection, consultation_id)

    async def read(self, consultation_id: str, after: int) -> list[Operation]:
        found = self.log[after : after + 200]
        await self.gate.wait()
        return found

    def commit(self, *operations: Operation) -> None:
        self.log += operations
        self.feeds.committed([encoded_operation(o) for o in operations])

    def hint(self, *operations: Operation) -> None:
        self.feeds.told([encoded_operation(o) for o in operations])

    def sweep(self) -> None:
        if self.log:
            self.feeds.hinted(CONV, self.log[-1].seq)
        self.feeds.nudge()

    async def settled(self) -> None:
        """Until no pump runs."""
        while (feed := self.feeds.get(CONV)) and feed.task is not None and not feed.task.done():
            await asyncio.wait([feed.task])


async def test_readers_in_step_are_served_at_once_without_a_task_or_a_query() -> None:
    node, phone, desk = Node([said(1)]), reader(), reader("/clerk")
    node.feeds.attach(phone, CONV, 0)
    node.feeds.attach(desk, CONV, 1)
    await node.settled()
    reads, tasks = node.feeds.counters.reads, len(asyncio.all_tasks())
    note = said(3, payload=Note("内部"), visibility=Visibility.STAFF)
    node.commit(said(2), note)
    node.log.append(said(4))
    node.hint(said(4))
    assert node.sockets.seqs(phone) == [1, 2, 3, 4]
    assert node.sockets.seqs(desk) == [2, 3, 4]
    assert "内部" not in json.dumps(node.sockets.taken[phone], ensure_ascii=False)
    assert "内部" in json.dumps(node.sockets.taken[desk], ensure_ascii=False)
    assert (node.feeds.counters.reads, len(asyncio.all_tasks())) == (reads, tasks)
    assert (node.feeds.counters.pushed_local, node.feeds.counters.pushed_hinted) == (2, 1)


async def test_a_hint_before_the_first_read_and_a_hint_that_is_known_change_nothing() -> None:
    node, phone = Node([said(1), said(2), said(3)]), reader()
    node.gate.clear()
    node.feeds.attach(phone, CONV, 0)
    node.hint(said(3))
    await asyncio.sleep(0)
    node.log.append(said(4))
    node.hint(said(4))
    node.gate.set()
    await node.settled()
    node.hint(said(2))
    node.hint(said(4))
    assert node.sockets.seqs(phone) == [1, 2, 3, 4]


async def test_a_hint_with_a_gap_or_of_another_epoch_is_never_shown_unread() -> None:
    node, phone = Node([said(1)]), reader()
    node.feeds.attach(phone, CONV, 0)
    await node.settled()
    node.log += [said(2), said(3)]
    node.hint(said(3))
    assert node.sockets.seqs(phone) == [1]
    await node.settled()
    assert node.sockets.seqs(phone) == [1, 2, 3]
    node.log += [said(4), said(5), said(6)]
    node.hint(said(4), said(6))
    assert node.sockets.seqs(phone) == [1, 2, 3]
    await node.settled()
    assert node.sockets.seqs(phone) == [1, 2, 3, 4, 5, 6]
    node.hint(said(7, epoch=2))
    assert node.sockets.seqs(phone) == [1, 2, 3, 4, 5, 6]
    await node.settled()
    assert node.sockets.seqs(phone) == [1, 2, 3, 4, 5, 6]


async def test_a_hint_that_tells_more_than_there_is_does_not_hold_up_what_comes() -> None:
    node, phone = Node([said(1)]), reader()
    node.feeds.attach(phone, CONV, 0)
    await node.settled()
    node.hint(said(1_000_000))
    await node.settled()
    node.commit(said(2))
    assert node.sockets.seqs(phone) == [1, 2]


async def test_what_was_recalled_is_in_nobodys_memory_any_more() -> None:
    node, phone, later = Node(), reader(), reader()
    node.feeds.attach(phone, CONV, 0)
    await node.settled()
    node.commit(said(1))
    node.log.append(said(2))
    node.hint(said(2))
    node.log = [said(1), said(2, recalled_by=3)]
    recall = said(3, payload=Recall(2))
    node.log.append(recall)
    node.hint(recall)
    feed = node.feeds.get(CONV)
    assert feed is not None
    assert [o.seq for o in feed.recent] == [3]
    node.feeds.attach(later, CONV, 0)
    await node.settled()
    assert "第2句" not in json.dumps(node.sockets.taken[later], ensure_ascii=False)
    assert node.sockets.seqs(later) == [1, 2, 3]


async def test_what_was_recalled_while_its_hint_waited_is_not_shown() -> None:
    node, phone = Node([said(1)]), reader()
    node.feeds.attach(phone, CONV, 0)
    await node.settled()
    recall = said(3, payload=Recall(2))
    node.log += [said(2, recalled_by=3), recall]
    node.hint(said(2), recall)  # of one message
    await node.settled()
    assert "第2句" not in json.dumps(node.sockets.taken[phone], ensure_ascii=False)
    assert node.sockets.seqs(phone) == [1, 2, 3]


@pytest.mark.parametrize("coming", [False, True])
async def test_who_may_not_read_any_more_is_sent_away_before_the_log_is_shown(coming: bool) -> None:
    """Another node's change of hands that no hint told of: the sweep found it, or another reader's coming."""
    node, desk, phone = Node([said(1)]), reader("/clerk"), reader()
    node.banned.append(desk)
    node.feeds.attach(desk, CONV, 1)
    await node.settled()
    node.log += [said(2, payload=Transferred("p", "d", "转办")), said(3)]
    if coming:
        node.feeds.attach(phone, CONV, 1)
    else:
        node.sweep()
    await node.settled()
    assert node.looked == 1
    assert node.sockets.seqs(desk) == []
    assert node.sockets.seqs(phone) == ([2, 3] if coming else [])


async def test_a_reader_that_takes_nothing_holds_up_nobody_and_gets_everything_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node, phone, frozen = Node(), reader(), reader()
    node.feeds.attach(phone, CONV, 0)
    node.feeds.attach(frozen, CONV, 0)
    await node.settled()
    node.sockets.frozen.add(frozen)
    kept = []
    for seq in range(1, 5001):
        node.commit(said(seq))
        if seq % 500 == 0:
            await node.settled()
            feed = node.feeds.get(CONV)
            assert feed is not None
            kept.append(sum(map(sys.getsizeof, (o.staff for o in feed.recent))))
    assert node.sockets.seqs(phone) == list(range(1, 5001))
    assert node.sockets.backlog(frozen) == MAX_BACKLOG
    assert max(kept) < 128 * 1024
    assert node.feeds.counters.overflows == 1
    monkeypatch.setattr(delivery, "MAX_BLOCKED", 0.0)
    node.commit(said(5001))
    async with asyncio.timeout(10):
        while not node.sockets.kicked:
            await asyncio.sleep(0.01)
    assert node.sockets.kicked == [(frozen, "too-slow")]
    assert node.feeds.readers(CONV) == [phone]
    back = reader()  # the same person again, with what the old socket still got
    node.sockets.thaw(frozen)
    had = node.sockets.seqs(frozen)
    node.feeds.attach(back, CONV, len(had))
    await node.settled()
    assert had + node.sockets.seqs(back) == list(range(1, 5002))
    await node.feeds.close()


async def test_a_slow_reader_goes_on_from_its_cursor_and_gets_the_receipts_it_was_too_full_for() -> None:
    node, slow = Node([said(seq) for seq in range(1, 1001)]), reader()
    node.sockets.frozen.add(slow)
    node.feeds.attach(slow, CONV, 0)
    await node.settled()
    assert node.sockets.backlog(slow) == MAX_BACKLOG
    desk = {"kind": "staff", "id": "s", "name": "王"}
    node.feeds.receipt(CONV, {"reader": desk, "delivered": 9, "read": 9})
    node.feeds.receipt(CONV, {"reader": desk, "delivered": 8, "read": 8})  # late: receipts do not go back
    assert node.sockets.backlog(slow) == MAX_BACKLOG
    node.sockets.thaw(slow)
    async with asyncio.timeout(10):
        while len(node.sockets.taken[slow]) < 1001:
            await asyncio.sleep(0.01)
    assert node.sockets.seqs(slow) == list(range(1, 1001))
    assert [p["read"] for p in node.sockets.taken[slow] if p["event"] == "rcpt"] == [9]


async def test_a_restored_log_sends_its_readers_back_to_the_beginning() -> None:
    node, phone = Node([said(1), said(2)]), reader()
    node.feeds.attach(phone, CONV, 0, 1)
    await node.settled()
    node.log = [said(1, epoch=2)]
    node.feeds.attach(reader(), CONV, 0, 2)
    await asyncio.sleep(0)
    assert node.sockets.kicked == [(phone, "resync")]
    await node.settled()
    await node.feeds.close()


async def test_what_changed_hands_before_a_newcomer_followed_is_looked_at() -> None:
    node, there, late, full = Node(), reader("/clerk"), reader("/clerk"), reader("/clerk")
    node.banned = [late, full]
    node.feeds.attach(there, CONV, 0, 1, looked_at=0)
    await node.settled()
    node.commit(said(1), said(2), said(3, payload=Transferred("post", None, "转办")), said(4))
    node.feeds.attach(late, CONV, 2, 1, looked_at=2)  # its right is of the state after 2
    await node.settled()
    assert (node.looked, node.sockets.seqs(late)) == (1, [])
    node.feeds.get(CONV).checked = 4  # type: ignore[union-attr]  # as the hub notes it
    # one that is too full to be served is not forgotten when the log is read for another
    node.sockets.frozen.add(full)
    node.sockets.waiting[full] = [{}] * MAX_BACKLOG
    node.feeds.attach(full, CONV, 2, 1, looked_at=2)
    node.feeds.attach(reader("/clerk"), CONV, 4, 1, looked_at=4)
    await node.settled()
    assert node.looked == 1
    node.sockets.waiting.clear()
    node.feeds.nudge()
    await node.settled()
    assert (node.looked, node.sockets.waiting[full]) == (2, [])
    assert node.sockets.seqs(there) == [1, 2, 3, 4]
    await node.feeds.close()


async def test_a_newcomer_that_was_pushed_something_before_the_log_was_read_is_served_from_memory_afterwards() -> None:
    node, desk = Node([said(1), said(2)]), reader("/clerk")
    node.feeds.attach(desk, CONV, 2, 1, looked_at=2)
    node.commit(said(3))  # the log is read after this number
    await node.settled()
    node.sockets.waiting[desk] = [{}] * MAX_BACKLOG
    node.sockets.frozen.add(desk)
    node.commit(said(4))
    node.sockets.waiting.clear()
    node.sockets.thaw(desk)
    reads = node.feeds.counters.reads
    node.feeds.nudge()
    await node.settled()
    assert (node.sockets.seqs(desk), node.feeds.counters.reads) == ([3, 4], reads)
    await node.feeds.close()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["commit", "foreign", "hint", "sweep", "join", "leave", "freeze", "thaw", "run", "gate"]),
        st.integers(1, 60),
        st.integers(1, 3),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(steps=STEPS)
def test_every_view_is_a_prefix_of_the_log_whatever_comes(steps: list[tuple[str, int, int]]) -> None:
    asyncio.run(_played(steps))


async def _played(steps: list[tuple[str, int, int]]) -> None:
    node, started = Node(), dict[Connection, int]()

    def join(number: int) -> None:
        connection = reader(("/citizen", "/clerk")[number % 2])
        started[connection] = min(number, len(node.log))
        node.feeds.attach(connection, CONV, started[connection])

    join(1)
    for what, number, count in steps:
        new = [said(len(node.log) + 1 + i) for i in range(count)]
        at = min(number, len(node.log))
        somebody = list(started)[number % len(started)]
        match what:
            case "commit":
                node.commit(*new)
            case "foreign":
                node.log += new
            case "hint" if at:
                node.hint(*node.log[at - 1 : at - 1 + count])
            case "sweep":
                node.sweep()
            case "join":
                join(number)
            case "leave" if len(started) > 1:
                node.feeds.drop(somebody)
                started.pop(somebody)
            case "freeze":
                node.sockets.frozen.add(somebody)
            case "thaw":
                node.sockets.thaw(somebody)
            case "run":
                await asyncio.sleep(0)
            case "gate":
                (node.gate.clear if node.gate.is_set() else node.gate.set)()
        check(node, started)
    node.gate.set()
    for somebody in started:
        node.sockets.thaw(somebody)
    await node.settled()
    node.sweep()
    await node.settled()
    for connection, cursor in started.items():
        assert cursor + len(node.sockets.seqs(connection)) == len(node.log), "not healed by the sweep"
    check(node, started)
    await node.feeds.close()


def check(node: Node, started: dict[Connection, int]) -> None:
    for connection, cursor in started.items():
        seen = node.sockets.seqs(connection) + [p["seq"] for p in node.sockets.waiting[connection]]
        assert seen == list(range(cursor + 1, cursor + 1 + len(seen)))
        assert cursor + len(seen) <= len(node.log)
