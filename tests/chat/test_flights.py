"""Two nodes' logs on one MongoDB that is made to fail: whatever interleaves, the log has no gap and no double,
what was acknowledged is where it was said to be, and receipts only go forward."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import AutoReconnect

from backend.domain.consultation_content import Content
from backend.domain.consultation_operations import (
    Closed,
    CloseReason,
    Message,
    Note,
    Opened,
    Operation,
    Party,
    Reopened,
    Visibility,
)
from backend.domain.consultations import Consultation, State, apply, check_open
from backend.domain.errors import IdempotencyConflict, InvalidTransition, Unavailable
from backend.domain.ids import new_id
from backend.embedded import EmbeddedMongo
from backend.integrations.clock import SystemClock
from backend.services.consultation_log import Committed, ConsultationLog, Draft, Request
from backend.services.consultation_turns import Awaited, Talked
from backend.storage.consultations import INDEXES, ConsultationStore
from backend.storage.database import Database
from backend.storage.operation_log import GroupCommit
from backend.storage.receipts import ReceiptStore

CITIZEN = Party("citizen", "c1", "李女士")
#: What the database is made to do to a command, so many times in a row.
FAULTS: list[tuple[dict[str, Any], int]] = [
    ({"failCommands": ["insert"], "closeConnection": True}, 1),
    ({"failCommands": ["insert"], "closeConnection": True}, 2),
    ({"failCommands": ["insert"], "errorCode": 189}, 2),  # the primary steps down
    ({"failCommands": ["insert"], "writeConcernError": {"code": 64, "errmsg": "waiting timed out"}}, 1),  # written!
    ({"failCommands": ["find"], "closeConnection": True}, 2),
    ({"failCommands": ["commitTransaction"], "closeConnection": True}, 1),
    ({"failCommands": ["commitTransaction"], "writeConcernError": {"code": 64, "errmsg": "waiting timed out"}}, 1),
    ({"failCommands": ["update"], "closeConnection": True}, 2),
    ({"failCommands": ["update"], "writeConcernError": {"code": 64, "errmsg": "waiting timed out"}}, 1),
]


class FailingMongo(EmbeddedMongo):
    """A MongoDB that takes fail points."""

    def _standalone_arguments(self) -> Sequence[str]:
        return (*super()._standalone_arguments(), "--setParameter", "enableTestCommands=1")


@pytest.fixture(scope="module")
def mongo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FailingMongo]:
    with FailingMongo(tmp_path_factory.mktemp("failing") / "mongo") as running:
        yield running


@asynccontextmanager
async def failing(mongo: FailingMongo, chance: random.Random) -> AsyncIterator[None]:
    """One fault after the other, until the end."""

    def inject(client: MongoClient[dict[str, Any]]) -> None:
        fault, times = chance.choice(FAULTS)
        client.admin.command("configureFailPoint", "failCommand", mode={"times": times}, data=fault)

    async def inject_again_and_again(client: MongoClient[dict[str, Any]]) -> None:
        while True:
            await asyncio.to_thread(inject, client)
            await asyncio.sleep(chance.uniform(0, 0.03))

    with MongoClient[dict[str, Any]](mongo.url) as client:
        task = asyncio.create_task(inject_again_and_again(client))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            client.admin.command("configureFailPoint", "failCommand", mode="off")


@dataclass
class Node:
    """A log of its own connection, and what it announced."""

    store: ConsultationStore
    log: ConsultationLog
    announced: list[Operation] = field(default_factory=list)

    def committed(self, after: Talked, operations: Sequence[Operation]) -> None:
        assert operations[-1].seq == after.state.last_seq
        assert (after.stage, after.version) == (after.state.state, after.state.version)
        self.announced += operations

    def receipt(self, consultation_id: str, reader: Party, delivered: int, read: int) -> None:
        raise AssertionError("nobody reads here")


@asynccontextmanager
async def two_nodes(url: str) -> AsyncIterator[tuple[Node, Node]]:
    name = f"test_{new_id()[-12:]}"
    async with AsyncExitStack() as stack:
        nodes: list[Node] = []
        for _ in range(2):
            database = Database.connect(url, name)
            stack.push_async_callback(database.close)
            if not nodes:
                stack.push_async_callback(database.drop)
                await database.ensure_indexes(INDEXES)
            store = ConsultationStore(database)
            node = Node(store, ConsultationLog(store=store, clock=SystemClock()))
            stack.push_async_callback(node.log.close)
            node.log.listen(node)
            nodes.append(node)
        yield nodes[0], nodes[1]


async def opened(node: Node) -> str:
    consultation_id = new_id()
    request = Request(CITIZEN, new_id(), "open")
    operations, state = node.log.number(None, [Draft(Opened(CITIZEN, "咨询"))], request, consultation_id)
    await node.store.open(state, operations, request.cid)
    node.announced += operations
    return consultation_id


@dataclass
class Writer:
    """Somebody who says things on either node, in bursts, until each has a definite answer."""

    nodes: tuple[Node, Node]
    conversation: str
    party: Party
    chance: random.Random
    acknowledged: dict[str, int] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)

    def ask(self, node: Node, cid: str, what: str) -> asyncio.Future[Committed]:
        request = Request(self.party, cid, what)
        if what in ("close", "reopen"):

            async def decide(state: Consultation) -> list[Draft]:
                if (state.state is State.CLOSED) is (what == "close"):
                    raise InvalidTransition
                remark = Draft(Note(what), own=False, visibility=Visibility.STAFF)
                return [Draft(Closed(CloseReason.ANSWERED) if what == "close" else Reopened()), remark]

            return node.log.commit(self.conversation, request, decide)

        def rule(state: Consultation, last_seq: int) -> list[Draft]:
            check_open(state)
            return []

        outcome = Awaited()
        node.log.say(self.conversation, request, Message(Content(what)), rule, outcome)
        return outcome.future

    async def burst(self, number: int) -> None:
        """Eight in flight on one node, of which some are given up or asked twice; then the rest, one by one."""
        node, other = self.chance.sample(self.nodes, 2)
        kinds = self.chance.choices(["say", "close", "reopen"], [20, 1, 4], k=8)
        wanted = {new_id(): kind if kind != "say" else f"{self.party.id} {number}.{i}" for i, kind in enumerate(kinds)}
        asked = {cid: self.ask(node, cid, what) for cid, what in wanted.items()}
        twins = [(cid, self.ask(other, cid, wanted[cid])) for cid in self.chance.sample(list(wanted), 2)]
        await asyncio.sleep(self.chance.choice([0, 0, 0.002]))
        for cid in self.chance.sample(list(wanted), self.chance.choice([0, 0, 1])):
            asked[cid].cancel()
        first: list[int] = []
        failed = False
        for cid, future in asked.items():
            outcome = (await asyncio.gather(future, return_exceptions=True))[0]
            if isinstance(outcome, Committed):
                if not outcome.dup:
                    assert not failed, "it overtook what is asked again"
                    first.append(outcome.operation.seq)
                self.take(cid, outcome)
            elif isinstance(outcome, InvalidTransition):
                pass  # perhaps its twin was allowed on the other node
            else:
                assert isinstance(outcome, Unavailable | asyncio.CancelledError), outcome
                failed = failed or isinstance(outcome, Unavailable)
        assert first == sorted(first), "messages of one sender change places"
        for cid, future in twins:
            outcome = (await asyncio.gather(future, return_exceptions=True))[0]
            if isinstance(outcome, Committed):
                self.take(cid, outcome)
        for cid, what in wanted.items():
            await self.until_definite(cid, what)
        if self.acknowledged:
            with pytest.raises((IdempotencyConflict, Unavailable)):
                await self.ask(node, self.chance.choice(list(self.acknowledged)), "say something else")

    async def until_definite(self, cid: str, what: str) -> None:
        while True:
            try:
                self.take(cid, await self.ask(self.chance.choice(self.nodes), cid, what))
            except InvalidTransition:
                assert cid not in self.acknowledged, "refused after it was acknowledged"
                self.refused.add(cid)
            except Unavailable:
                continue
            return

    def take(self, cid: str, outcome: Committed) -> None:
        assert outcome.operation.cid == cid
        assert self.acknowledged.setdefault(cid, outcome.operation.seq) == outcome.operation.seq, "twice"


async def whole_log(node: Node, conversation: str) -> list[Operation]:
    found: list[Operation] = []
    while more := await node.store.read(conversation, len(found)):
        found += more
    return found


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.drill) for seed in range(1, 6))])
async def test_whatever_interleaves_the_log_has_no_gap_and_no_double(mongo: FailingMongo, seed: int) -> None:
    chance = random.Random(seed)
    async with two_nodes(mongo.url) as nodes:
        conversation = await opened(nodes[0])
        writers = [Writer(nodes, conversation, Party("citizen", f"c{n}"), chance) for n in range(4)]
        async with failing(mongo, chance):
            for number in range(3):
                await asyncio.gather(*(writer.burst(number) for writer in writers))
        for node in nodes:  # what they do not know yet they look up now
            await writers[0].until_definite(new_id(), "reopen")
            await asyncio.gather(writers[0].ask(node, new_id(), "the end"), return_exceptions=True)
        log = await whole_log(nodes[1], conversation)
        fetched = await nodes[0].store.state(conversation)

    assert [operation.seq for operation in log] == list(range(1, len(log) + 1))
    by_client_id = {(o.sender.id, o.cid): o.seq for o in log}
    assert len(by_client_id) == len(log)
    for writer in writers:
        assert len(writer.acknowledged) + len(writer.refused) >= 24
        for cid, seq in writer.acknowledged.items():
            assert by_client_id.get((writer.party.id, cid)) == seq, "acknowledged, and not there"
        assert not [cid for cid in writer.refused if (writer.party.id, cid) in by_client_id], "refused, and there"
    state: Consultation | None = None
    for operation in log:  # each was allowed by exactly the state before it
        if isinstance(operation.payload, Message | Closed):
            assert state is not None
            assert state.state is not State.CLOSED
        state = apply(state, operation)
    assert state == fetched
    announced = {(o.seq, o.id) for node in nodes for o in node.announced}
    assert announced == {(o.seq, o.id) for o in log}, "announced is what is committed, all of it and nothing else"


@pytest.mark.timeout(120)
async def test_what_one_flight_leaves_takes_the_next(mongo: FailingMongo) -> None:
    """A hundred in flight are few batches, in their order, beside other consultations."""
    async with two_nodes(mongo.url) as (node, _):
        conversations = [await opened(node) for _ in range(3)]
        writers = [Writer((node, node), c, CITIZEN, random.Random(0)) for c in conversations]
        asked = [writer.ask(node, new_id(), f"{i}") for i in range(100) for writer in writers]
        seqs = [committed.operation.seq for committed in await asyncio.gather(*asked)]
        assert seqs == [seq for seq in range(2, 102) for _ in conversations]
        commits = node.store.commits
        assert (commits.documents, commits.waiting) == (300, 0)
        assert commits.batches <= 10


@pytest.mark.timeout(120)
@pytest.mark.parametrize("late", [False, True])
async def test_what_landed_without_an_answer_is_announced_and_in_the_lists(
    mongo: FailingMongo, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """At once, or `late`: after it was looked for in vain."""
    insert: Any = GroupCommit._insert
    lost: list[list[dict[str, Any]]] = []

    async def losing(self: GroupCommit, documents: list[dict[str, Any]]) -> Any:
        if not lost:
            lost.append(documents)
            if not late:
                await insert(self, documents)
            raise AutoReconnect("the line is gone")
        if late and len(lost) == 1:
            lost.append(documents)
            await insert(self, lost[0])
        return await insert(self, documents)

    async with two_nodes(mongo.url) as (node, other):
        conversation = await opened(node)

        async def listed(seq: int) -> None:
            async with asyncio.timeout(20):
                while (await other.store.list_states({"_id": conversation}, limit=1))[0].last_seq != seq:
                    await asyncio.sleep(0.01)

        citizen = Writer((node, other), conversation, CITIZEN, random.Random(0))
        clerk = Writer((node, other), conversation, Party("staff", "s1"), random.Random(0))
        await citizen.ask(node, new_id(), "eins")
        await listed(2)
        monkeypatch.setattr(GroupCommit, "_insert", losing)
        cid = new_id()
        with pytest.raises(Unavailable):
            await citizen.ask(node, cid, "zwei")
        if late:
            assert (await clerk.ask(node, new_id(), "drei")).operation.seq == 4
        last = await other.store.read(conversation, 1)
        async with asyncio.timeout(20):
            while {o.seq for o in node.announced} != {1, *(o.seq for o in last)}:
                await asyncio.sleep(0.01)
        await listed(last[-1].seq)
        assert (await citizen.ask(node, cid, "zwei")).dup
        assert [o.seq for o in await whole_log(other, conversation)] == list(range(1, 5 if late else 4))


@pytest.mark.timeout(120)
async def test_who_heard_of_another_nodes_number_reads_before_it_writes(mongo: FailingMongo) -> None:
    """An answer to what was said on the other node costs one look, and no insert that has to fail first."""
    async with two_nodes(mongo.url) as nodes:
        conversation = await opened(nodes[0])
        writer = Writer((nodes[0], nodes[1]), conversation, CITIZEN, random.Random(0))
        seqs = []
        for number in range(6):
            node, other = nodes[number % 2], nodes[1 - number % 2]
            committed = await writer.ask(node, new_id(), f"{number}")
            other.log.passed(conversation, committed.operation.seq)
            seqs.append(committed.operation.seq)
        assert seqs == list(range(2, 8))
        assert [node.store.commits.outcomes["partial"] for node in nodes] == [0, 0]
        assert [node.store.commits.outcomes["ok"] for node in nodes] == [3, 3]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.drill) for seed in range(1, 4))])
async def test_receipts_of_two_devices_on_two_nodes_never_go_back(mongo: FailingMongo, seed: int) -> None:
    chance = random.Random(seed)
    readers = [Party("citizen", "c1"), Party("staff", "s1")]
    greatest = {reader.id: (0, 0) for reader in readers}
    async with two_nodes(mongo.url) as nodes:
        stores = [node.store.receipts for node in nodes]

        async def device(store: ReceiptStore, reader: Party) -> None:
            told = (0, 0)
            for _ in range(20):
                delivered = chance.randrange(1, 1000)
                read = chance.randrange(delivered)
                while True:
                    try:
                        moved = await store.move("k1", 1, reader, delivered, read)
                    except Unavailable:
                        continue
                    break
                assert moved.delivered >= delivered
                assert moved.read >= read
                assert moved.delivered >= told[0], "went back"
                assert moved.read >= told[1], "went back"
                told = (moved.delivered, moved.read)
                before = greatest[reader.id]
                greatest[reader.id] = (max(before[0], delivered), max(before[1], read))

        async with failing(mongo, chance):
            await asyncio.gather(*(device(s, r) for s in stores for r in readers for _ in range(2)))
        found = {party.id: (delivered, read) for party, delivered, read in await stores[0].of("k1")}
        assert found == greatest


async def test_a_device_that_changes_nodes_is_never_told_less_than_before(mongo: FailingMongo) -> None:
    reader = Party("staff", "s1")
    async with two_nodes(mongo.url) as (one, two):
        await two.store.receipts.move("k1", 1, reader, 19, 19)
        told = await one.store.receipts.move("k1", 1, reader, 30, 30)
        assert (told.delivered, told.read) == (30, 30)
        moved = await two.store.receipts.move("k1", 1, reader, 10, 10)
        assert (moved.delivered, moved.read) == (30, 30)
