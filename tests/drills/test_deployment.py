"""Two hosts and three database members, as real processes: what dies is replaced and nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.cluster.deployment import Deployment
from tests.drills.results import Figures, note


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with Deployment(tmp_path_factory.mktemp("deployment"), nodes=2) as running:
        yield running


@pytest.mark.drill
async def test_hosts_and_database_members_die_and_the_talk_goes_on(deployment: Deployment) -> None:
    office, members, first = deployment.office, deployment.replica_set, deployment.nodes[0]
    assert office
    async with deployment.people() as people:
        citizen, clerk = await people.citizen("xiaoming"), await people.clerk()
        phone, desk = citizen.device(first.url), clerk.device(deployment.nodes[1].url)
        async with phone, desk:
            conv = (await phone.open("咨询", matter_id=office.matter.id, text="您好"))["conv"]
            await desk.until_texts(conv, "您好", timeout=30)
            dead = await asyncio.to_thread(members.kill_primary)
            await desk.send(conv, "主库没了")
            await asyncio.to_thread(dead.start)
            await asyncio.to_thread(first.kill)
            assert deployment.nodes[1].ready
            await desk.send(conv, "节点没了")
            await asyncio.to_thread(first.start)
            await phone.send(conv, "都回来了")
            order = await desk.until_texts(conv, "都回来了", timeout=30)
            assert order == ["您好", "主库没了", "节点没了", "都回来了"]
            assert await phone.until_texts(conv, *order, timeout=30) == order
    await asyncio.to_thread(members.wait_whole)
    note(Figures("a database member and a host killed", sent=4, acknowledged=4, faults=2))
