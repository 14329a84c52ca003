"""Hints over a real Redis: few round trips, bounded, only to who reads, and back by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from backend.composition import connect_redis
from backend.domain.ids import new_id
from backend.embedded import EmbeddedRedis
from backend.rest.consultation_encoding import Encoded, opening_of
from chat import hints
from chat.hint_messages import Incoming
from chat.hints import HintBus


@dataclass
class Node:
    """A bus and what it heard."""

    redis: Redis
    bus: HintBus = field(init=False)
    heard: list[tuple[str, Incoming]] = field(default_factory=list)
    changed: list[dict[str, Any]] = field(default_factory=list)
    listening: set[str] = field(default_factory=set)
    resyncs: int = 0

    def made(self, **options: Any) -> Node:
        self.bus = HintBus(
            self.redis,
            prefix="t",
            node=new_id(),
            receive=lambda conv, incoming: self.heard.append((conv, incoming)),
            changed=self.changed.append,
            listening=self.listening.add,
            resync=self.resynced,
            **options,
        )
        return self

    def resynced(self) -> None:
        self.resyncs += 1

    def seqs(self, conv: str) -> list[int]:
        return [o.seq for c, incoming in self.heard if c == conv for o in incoming.operations]


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path / "own-redis") as running:
        yield running


Nodes = Callable[..., Any]


@pytest.fixture
async def nodes(own_redis: EmbeddedRedis) -> AsyncIterator[Nodes]:
    """`await nodes()`: one more node on the same Redis, connected."""
    async with AsyncExitStack() as stack:

        @asynccontextmanager
        async def running(url: str, options: dict[str, Any]) -> AsyncIterator[Node]:
            node = Node(connect_redis(url)).made(**options)
            node.bus.start()
            try:
                yield node
            finally:
                await node.bus.stop()
                await node.redis.aclose()

        async def opened(url: str = own_redis.url, **options: Any) -> Node:
            node = await stack.enter_async_context(running(url, options))
            await until(lambda: node.resyncs > 0)
            return node

        yield opened


async def until(true: Callable[[], Any], seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.005)


def encoded(conv: str, seq: int, size: int = 0) -> Encoded:
    body = opening_of(conv, 1, seq) + b'"kind":"skip","x":"' + b"x" * size + b'"}'
    return Encoded(conv, 1, seq, body, body, recalls=False)


async def test_what_waits_leaves_in_one_round_trip_to_those_who_read_it(nodes: Nodes) -> None:
    quiet = {"canary_seconds": 60.0}  # so that nothing else is on the way
    one, other, idle = await nodes(**quiet), await nodes(**quiet), await nodes(**quiet)
    convs = [new_id() for _ in range(50)]
    for conv in convs:
        assert other.bus.want(conv) is False
    await until(lambda: len(other.listening) == 50)
    before = one.bus.counters.publish_rounds
    for seq in range(1, 11):
        for conv in convs:
            one.bus.tell([encoded(conv, seq)])
    one.bus.tell_receipt(convs[0], {"reader": {"kind": "staff", "id": "s"}, "delivered": 1, "read": 0})
    one.bus.tell_receipt(convs[0], {"reader": {"kind": "staff", "id": "s"}, "delivered": 9, "read": 9})
    one.bus.tell_all(changed="x")
    await until(lambda: len(other.heard) == 50 and idle.changed)
    assert all(other.seqs(conv) == list(range(1, 11)) for conv in convs)
    assert [r["read"] for _, incoming in other.heard for r in incoming.receipts] == [9]
    assert one.bus.counters.publish_rounds == before + 1
    assert (one.heard, idle.heard, one.changed) == ([], [], [])
    assert idle.bus.counters.hints_received == 1  # what changed hands, and nothing of the talk
    assert other.bus.counters.hint_lag.total == 50


async def test_what_came_together_is_not_read_one_by_one(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when redis-py keeps what it parsed somewhere else: slower then, not wrong."""
    one, other = await nodes(), await nodes()
    convs = [new_id() for _ in range(50)]
    for conv in convs:
        other.bus.want(conv)
    await until(lambda: len(other.listening) == 50)
    reader = other.bus._subscriber
    assert reader is not None
    read_response, reads = reader.read_response, 0

    async def counted(*args: Any, **options: Any) -> Any:
        nonlocal reads
        reads += 1
        return await read_response(*args, **options)

    monkeypatch.setattr(reader, "read_response", counted)
    for conv in convs:
        one.bus.tell([encoded(conv, 1)])
    await until(lambda: len(other.heard) == 50)
    assert reads < 10


async def test_a_redis_user_without_a_key_publishes_and_hears(own_redis: EmbeddedRedis, nodes: Nodes) -> None:
    """The rights that docs/operations.md asks for, and none besides: what is published is no key."""
    async with connect_redis(own_redis.url) as redis:
        rights = "on >secret resetchannels &t:hint:* +select +eval +publish +subscribe +unsubscribe"
        made = redis.execute_command("ACL", "SETUSER", "hints", *rights.split())  # type: ignore[no-untyped-call]
        await made
    url = own_redis.url.replace("//", "//hints:secret@")
    one, other = await nodes(url, canary_seconds=0.05), await nodes(url)
    with pytest.raises(NoPermissionError):
        await one.redis.eval("return 1", 1, "t:hint:state")
    convs = [new_id() for _ in range(3)]
    for conv in convs:
        other.bus.want(conv)
    await until(lambda: len(other.listening) == 3)
    for conv in convs:
        one.bus.tell([encoded(conv, 1)])
    one.bus.tell_all(changed="x")
    await until(lambda: one.bus.counters.hints_unsent or (len(other.heard) == 3 and other.changed))
    assert one.bus.counters.hints_unsent == 0
    assert [other.seqs(conv) for conv in convs] == [[1]] * 3


async def test_the_queue_is_bounded_and_what_found_no_place_is_counted(nodes: Nodes) -> None:
    one, conv = await nodes(), new_id()
    one.bus.tell([encoded(conv, 1, size=hints.MAX_QUEUED_BYTES)])
    assert one.bus.counters.hints_dropped == 1
    for seq in range(1, hints.MAX_QUEUED + 6):
        one.bus.tell([encoded(conv, seq)])
    assert one.bus.counters.hints_dropped in (6, 7)  # a canary may wait too
    await until(lambda: one.bus.counters.hints_published >= hints.MAX_QUEUED)
    one.bus.tell([encoded(conv, 1)])
    await until(lambda: one.bus.counters.hints_published > hints.MAX_QUEUED)


async def test_ten_thousand_subscriptions_come_back_when_redis_does(own_redis: EmbeddedRedis, nodes: Nodes) -> None:
    one, other = await nodes(), await nodes()
    convs = [new_id() for _ in range(10_000)]
    for conv in convs:
        other.bus.want(conv)
    await until(lambda: len(other.listening) == len(convs))
    await asyncio.to_thread(own_redis.stop)
    for seq in range(1, 20):
        one.bus.tell([encoded(convs[0], seq)])
    await until(lambda: one.bus.counters.hints_unsent > 0)
    resyncs = other.resyncs
    await asyncio.to_thread(own_redis.start)
    await until(lambda: other.resyncs == resyncs + 1)  # once, when all of them are there again
    sent = iter(range(100, 10_000))

    def told() -> bool:  # as long as the publisher finds Redis away it drops them
        one.bus.tell([encoded(convs[-1], next(sent))])
        return bool(other.seqs(convs[-1]))

    await until(told)


async def test_a_subscriber_that_went_deaf_is_made_anew(nodes: Nodes) -> None:
    one, other = await nodes(), await nodes(canary_seconds=0.05, deaf_seconds=0.3)
    conv = new_id()
    other.bus.want(conv)
    await until(lambda: other.listening)
    assert other.bus._subscriber is not None
    subscriber = other.bus._subscriber
    await subscriber.send_packed_command(subscriber.pack_command("UNSUBSCRIBE"))  # Redis forgot us, silently
    await until(lambda: other.bus.silent_for > 0.2)
    resyncs = other.resyncs
    await until(lambda: other.resyncs > resyncs)
    one.bus.tell([encoded(conv, 7)])
    await until(lambda: other.seqs(conv) == [7])
    assert other.bus.counters.subscriptions_rebuilt == 1


async def test_what_is_no_hint_is_dropped_and_the_next_one_is_heard(nodes: Nodes) -> None:
    one, other = await nodes(), await nodes()
    conv = new_id()
    other.bus.want(conv)
    await until(lambda: other.listening)
    for nonsense in (b"", b"{}", b"x" * 500, one.bus._own + b" 00000000\n{}"):
        await one.redis.publish(f"t:hint:{conv}", nonsense)
        await one.redis.publish("t:hint:state", nonsense)
    one.bus.tell([encoded(conv, 1)])
    await until(lambda: other.seqs(conv) == [1])
    assert other.bus.counters.hints_garbled == 8
    assert (len(other.heard), other.changed) == (1, [])
