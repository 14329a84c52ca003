"""What operators see of the commits is what the database took for them."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from backend.composition import Services
from backend.storage import operation_log
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
        print(how_far)

    monkeypatch.setattr(GroupCommit, "_insert", taking)
    ours = SimpleNamespace(perf_counter=lambda: passed, monotonic=time.monotonic)
    monkeypatch.setattr(operation_log, "time", ours)
    commits = GroupCommit(services.database.native["numbers"], services.database.abandoned)
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
