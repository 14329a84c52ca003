"""Group commit: what goes together and what beside each other, and what operators see of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from backend.composition import Services
from backend.domain.errors import Unavailable
from backend.storage import operation_log
from backend.storage.database import Database
from backend.storage.operation_log import GroupCommit, Landed


async def test_the_seconds_of_a_commit_are_the_database_s_and_not_of_what_is_done_with_its_answer(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed, insert = 0.0, GroupCommit._insert
    landed: list[int] = []

    async def taking(self: GroupCommit, documents: list[dict[str, Any]]) -> Any:
        nonlocal passed
        passed += 0.25
        return await insert(self, documents)

    def heard(how_far: Landed) -> None:
        nonlocal passed
        passed += 100.0
        landed.append(how_far.committed)

    monkeypatch.setattr(GroupCommit, "_insert", taking)
    ours = SimpleNamespace(perf_counter=lambda: passed, monotonic=time.monotonic)
    monkeypatch.setattr(operation_log, "time", ours)
    commits = GroupCommit(services.database.native["landings"], services.database.abandoned)
    flights: list[list[list[dict[str, Any]]]] = [
        [[{"_id": 1}], [{"_id": 2}]],
        [[{"_id": 3}, {"_id": 1}]],  # is there
        [[{"_id": 4}], [{"_id": object()}]],  # cannot be sent, so each is tried alone
    ]
    for together in flights:
        for documents in together:
            commits.insert(documents, heard)
        await commits.close()
    assert landed == [1, 1, 1, 1, 0]
    assert (commits.seconds.total, commits.batches) == (5, 5)
    assert commits.seconds.sum == pytest.approx(5 * 0.25)


@dataclass
class Held:
    """The inserts that are under way, each until it is let go."""

    commits: GroupCommit
    under_way: list[tuple[list[dict[str, Any]], asyncio.Event]] = field(default_factory=list)
    landed: list[Any] = field(default_factory=list)

    def insert(self, *numbers: int) -> None:
        """One flight of documents."""
        self.commits.insert([{"_id": n} for n in numbers], lambda how_far: self.landed.append((*numbers, how_far)))

    @property
    def numbers(self) -> list[list[int]]:
        """What is under way."""
        return [[document["_id"] for document in documents] for documents, _ in self.under_way]

    async def let_go(self, index: int) -> None:
        """Let one of them be done, and what follows from it begin."""
        self.under_way[index][1].set()
        await turns()


async def turns() -> None:
    """Let everything go as far as it goes by itself."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
async def held(services: Services, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Held]:
    commits = GroupCommit(services.database.native["landings"], services.database.abandoned)
    held = Held(commits)

    async def holding(self: GroupCommit, documents: list[dict[str, Any]]) -> Any:
        one = (documents, asyncio.Event())
        held.under_way.append(one)
        try:
            await one[1].wait()
        finally:
            held.under_way.remove(one)
        return {"n": len(documents), "ok": 1}

    monkeypatch.setattr(GroupCommit, "_insert", holding)
    yield held
    monkeypatch.setattr(GroupCommit, "_insert", lambda _, documents: asyncio.sleep(0, {"n": len(documents), "ok": 1}))
    for _, event in held.under_way:
        event.set()
    await commits.close()


async def test_at_rest_nobody_waits_for_what_others_commit(held: Held) -> None:
    """Up to four inserts go beside each other, and land in any order; what comes in one turn goes together."""
    held.insert(1)
    held.insert(2)
    await turns()
    assert held.numbers == [[1, 2]]
    for number in (3, 4, 5, 6, 7):
        held.insert(number)
        await turns()
    assert held.numbers == [[1, 2], [3], [4], [5]], "the fifth and what is behind it wait"
    await held.let_go(2)
    assert [landed[0] for landed in held.landed] == [4]
    assert held.numbers == [[1, 2], [3], [5], [6, 7]]


async def test_under_load_one_insert_is_under_way_and_takes_what_gathers(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operation_log, "LOADED_SECONDS", 1000.0)  # however slow this machine is
    held.insert(1, 2, 3, 4)
    await turns()
    await held.let_go(0)
    held.insert(5)
    await turns()
    held.insert(6, 7, 8)
    assert held.numbers == [], "it gathers"
    async with asyncio.timeout(20):
        while not held.under_way:
            await asyncio.sleep(operation_log.GATHER_SECONDS)
    assert held.numbers == [[5, 6, 7, 8]]
    for number in range(100, 100 + operation_log.MANY):
        held.insert(number)
        await turns()
    assert held.numbers == [[5, 6, 7, 8]], "one at a time"
    await held.let_go(0)
    assert [len(numbers) for numbers in held.numbers] == [operation_log.MANY], "there is enough: nobody waits for more"


async def test_an_answer_that_counts_too_few_says_nothing(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    landed: list[Landed] = []
    commits = GroupCommit(services.database.native["landings"], services.database.abandoned)
    monkeypatch.setattr(GroupCommit, "_insert", lambda *_: asyncio.sleep(0, {"n": 1, "ok": 1}))
    commits.insert([{"_id": 1}, {"_id": 2}], landed.append)
    await commits.close()
    assert landed[0].committed == 0
    assert isinstance(landed[0].error, Unavailable)


async def test_what_is_cut_off_is_not_known_and_what_waits_is_told_so(held: Held) -> None:
    for number in range(1, 7):
        held.insert(number)
        await turns()
    assert held.commits.waiting == 2
    for task in asyncio.all_tasks():
        if task.get_name() == "group-commit":
            task.cancel()
    await turns()
    assert sorted(landed[0] for landed in held.landed) == [1, 2, 3, 4, 5, 6]
    assert all(isinstance(landed[1].error, Unavailable) for landed in held.landed)
    assert held.commits.waiting == 0


async def test_what_nobody_could_be_found_to_send_to_is_known_not_to_be_there(
    services: Services, unused_tcp_port: int
) -> None:
    landed: list[Landed] = []
    nobody = Database.connect(f"mongodb://127.0.0.1:{unused_tcp_port}", "nowhere", timeout=0.05)
    commits = GroupCommit(nobody.native["landings"], services.database.abandoned)
    commits.insert([{"_id": 1}, {"_id": 2}], landed.append)
    await commits.close()
    await nobody.close()
    assert [(each.committed, type(each.error), each.sent) for each in landed] == [(0, Unavailable, False)]
    assert commits.outcomes["unsent"] == 1


async def test_who_closes_waits_for_what_gathers_and_for_what_is_tried_again(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operation_log, "LOADED_SECONDS", 1000.0)
    held.insert(1, 2, 3, 4)
    await turns()
    await held.let_go(0)
    held.insert(5)  # gathers
    closing = asyncio.create_task(held.commits.close())
    async with asyncio.timeout(20):
        while not held.under_way:
            await asyncio.sleep(operation_log.GATHER_SECONDS)
    assert not closing.done()
    await held.let_go(0)
    await asyncio.wait_for(closing, 20)
    assert [landed[0] for landed in held.landed] == [1, 5]
