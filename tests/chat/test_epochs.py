"""A backup is put back: clients that have numbers of the time that is gone miss nothing of what comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from backend.commands.errors import CommandError
from backend.commands.new_epoch import renew
from backend.commands.server_process import _end_with_the_epoch
from backend.composition import Services
from backend.domain.consultation_operations import Audience, Party
from backend.domain.errors import Unavailable
from backend.rest.consultation_views import operation_json
from backend.storage.consultation_epochs import ConsultationEpochs
from backend.storage.consultations import OPS, RECEIPTS, STATES
from backend.storage.receipts import Moved
from chat.client import ChatClient
from config.settings import Settings
from tests.callers import Caller
from tests.chat.conftest import GREETING, Connect, Office, device, node, question

Backup = dict[str, list[dict[str, Any]]]


async def taken(services: Services) -> Backup:
    return {name: [d async for d in services.database[name].find({})] for name in (OPS, STATES, RECEIPTS)}


@pytest.fixture(autouse=True)
async def no_epoch_left(services: Services) -> AsyncIterator[None]:
    """The database is the session's: others begin with the first epoch."""
    yield
    await lift_the_fence(services)
    await services.database["meta"].delete_one({"_id": "consultation-epoch"})


async def lift_the_fence(services: Services) -> None:
    """As the collection is after `mongorestore --drop`: with the options it had when the backup was made."""
    for name in (OPS, STATES, RECEIPTS):
        await services.database.raw.command("collMod", name, validator={})


async def put_back(services: Services, backup: Backup) -> None:
    await lift_the_fence(services)
    for name, documents in backup.items():
        await services.database[name].delete_many({})
        if documents:
            await services.database[name].insert_many(documents)


async def log_of(services: Services, conv: str, audience: Audience) -> list[dict[str, Any]]:
    return [operation_json(o, audience) for o in await services.consultation_store.read(conv, 0)]


async def test_after_a_restore_clients_begin_again_and_miss_nothing(
    settings: Settings, services: Services, citizen: Caller, clerk: Caller, office: Office
) -> None:
    async with node(settings) as first, device(citizen, first) as phone, device(clerk, first) as desk:
        conv = (await phone.open("备份", matter_id=office.matter.id, text="备份前"))["conv"]
        await desk.until_texts(conv, "备份前")
        for n in range(5):
            await phone.send(conv, f"备份前 {n}")
        backup = await taken(services)
        for n in range(5):
            await phone.send(conv, f"丢失 {n}")
        await desk.until_texts(conv, "丢失 4")
        await desk.call("rcpt", {"conv": conv, "delivered": desk.logs[conv].seq, "read": desk.logs[conv].seq})
        had = phone.logs[conv].seq

    await put_back(services, backup)
    raised = await services.consultation_epochs.raise_all(datetime.now(UTC))
    assert (raised.consultations, raised.without_log, raised.damaged) == (1, 0, [])

    async with node(settings) as second:
        async with device(citizen, second) as tablet:
            await tablet.until_texts(conv, "备份前 4")
            for n in range(5):
                await tablet.send(conv, f"恢复后 {n}")
            assert tablet.logs[conv].seq == had  # the same numbers, given again
            fresh = (await tablet.open("新的咨询", text="恢复后也能发起"))["conv"]
            await tablet.until_texts(fresh, "恢复后也能发起")
        async with device(citizen, second, logs=phone.logs) as again, device(clerk, second, logs=desk.logs) as desk:
            await again.until_texts(conv, "恢复后 4")
            await desk.until_texts(conv, "恢复后 4")
            await again.send(conv, "接着说")
            await desk.until_texts(conv, "接着说")
            assert again.logs[conv].ops == await log_of(services, conv, Audience.CITIZEN)
            assert desk.logs[conv].ops == await log_of(services, conv, Audience.STAFF)
            assert {op["epoch"] for op in again.logs[conv].ops} == {raised.epoch}
            assert not [text for text in again.logs[conv].texts() if text.startswith("丢失")]


Talk = tuple[ChatClient, ChatClient, str, Backup]


@pytest.fixture
async def talk(connect: Connect, services: Services, citizen: Caller, clerk: Caller, office: Office) -> Talk:
    """A phone, a desk, the question that the desk has got, and a backup of that moment."""
    phone, desk = await connect(citizen), await connect(clerk)
    conv = await question(phone, office)
    await desk.until_texts(conv, GREETING)
    return phone, desk, conv, await taken(services)


async def test_a_node_that_ran_through_it_reads_the_log_anew(services: Services, talk: Talk) -> None:
    phone, _, conv, backup = talk
    await phone.send(conv, "这句丢失")
    await put_back(services, backup)
    raised = await services.consultation_epochs.raise_all(datetime.now(UTC))
    await phone.send(conv, "这句接在后面")  # refused first, since this node remembers what is gone
    log = await log_of(services, conv, Audience.CITIZEN)
    assert [op["seq"] for op in log] == list(range(1, len(log) + 1))
    assert {op["epoch"] for op in log} == {raised.epoch}
    assert [op["body"]["text"] for op in log if op["kind"] == "message"] == [GREETING, "这句接在后面"]


async def test_lists_that_a_node_still_writes_of_before_leave_no_hole_in_the_log(
    services: Services, talk: Talk
) -> None:
    phone, _, conv, backup = talk
    await phone.send(conv, "这句丢失")
    lost = await services.consultation_store.state(conv)
    assert lost is not None
    await put_back(services, backup)
    await services.consultation_epochs.raise_all(datetime.now(UTC))
    await services.consultation_store.save_talk([lost])  # as it does some moments after the talk
    state = await services.consultation_store.state(conv)
    assert state is not None
    assert state.last_seq == lost.last_seq - 1
    await phone.send(conv, "这句接在后面")
    log = await log_of(services, conv, Audience.CITIZEN)
    assert [op["seq"] for op in log] == list(range(1, len(log) + 1))


async def test_a_node_that_ran_through_it_says_nobody_read_what_is_gone(
    services: Services, talk: Talk, clerk: Caller
) -> None:
    phone, desk, conv, backup = talk
    last = (await phone.send(conv, "这句丢失"))["seq"]
    await desk.call("rcpt", {"conv": conv, "delivered": last, "read": last})
    await put_back(services, backup)
    await services.consultation_epochs.raise_all(datetime.now(UTC))

    refused = await desk.once("rcpt", {"conv": conv, "delivered": last, "read": last - 1})
    assert refused is not None
    assert (refused["ok"], refused["retry"]) == (False, True)  # this node still has the time that is gone
    assert await services.database[RECEIPTS].count_documents({}) == 0
    # what is known of one epoch says nothing of the next, neither what was written nor how far its log goes
    state = await services.consultation_store.state(conv)
    assert state is not None
    services.consultation_log._live.clear()
    clerk_now = await services.sessions.authenticate(clerk.token or "")
    found = await services.consultations.receive(clerk_now, conv, delivered=last, read=last, committed=(1, last))
    assert (found.delivered, found.read) == (state.last_seq, state.last_seq)
    assert state.last_seq < last
    stored = await services.consultation_store.receipts.of(conv)
    assert [(delivered, read) for _, delivered, read in stored] == [(state.last_seq, state.last_seq)]


async def test_a_receipt_of_an_epoch_that_is_over_is_refused_alone(services: Services) -> None:
    raised = await services.consultation_epochs.raise_all(datetime.now(UTC))
    receipts, reader, other = services.consultation_store.receipts, Party("citizen", "c1"), Party("staff", "s1")
    batches = receipts.batches
    told = await asyncio.gather(
        receipts.move("k1", raised.epoch, other, 5, 4),
        receipts.move("k1", 1, reader, 9, 9),  # of the time that is gone
        receipts.move("k1", raised.epoch, reader, 3, 2),
        receipts.move("k2", raised.epoch, reader, 7, 7),
        return_exceptions=True,
    )
    assert receipts.batches == batches + 1
    assert [type(each) for each in told] == [Moved, Unavailable, Moved, Moved]
    assert [(each.delivered, each.read) for each in told if isinstance(each, Moved)] == [(5, 4), (3, 2), (7, 7)]
    assert set(await receipts.of("k1")) == {(other, 5, 4), (reader, 3, 2)}
    again = await receipts.move("k1", raised.epoch, reader, 9, 9)  # what was refused is not taken to be known
    assert (again.delivered, again.read, again.forward) == (9, 9, True)


async def test_an_epoch_never_comes_again_and_lists_become_what_the_logs_say(
    services: Services, citizen: Caller, connect: Connect, office: Office
) -> None:
    phone = await connect(citizen)
    conv = await question(phone, office)
    backup = await taken(services)
    now = datetime.now(UTC)
    first = await services.consultation_epochs.raise_all(now)
    await services.database["meta"].delete_one({"_id": "consultation-epoch"})  # put back as well
    states, ops = services.database[STATES], services.database[OPS]
    await put_back(services, {STATES: [{**d, "last_seq": 50} for d in backup[STATES]], RECEIPTS: []})
    second = await services.consultation_epochs.raise_all(now)
    assert second.epoch > first.epoch
    state = await services.consultation_store.state(conv)
    assert state is not None
    assert (state.last_seq, state.epoch) == (3, second.epoch)
    await ops.delete_one({"consultation_id": conv, "seq": 2})
    await lift_the_fence(services)
    await states.insert_one({**backup[STATES][0], "_id": "gone", "open_cid": "other"})
    third = await services.consultation_epochs.raise_all(now)
    assert (third.damaged, third.without_log) == ([conv], 1)


async def test_the_deployment_can_still_be_checked_after_a_restore(services: Services) -> None:
    raised = await services.consultation_epochs.raise_all(datetime.now(UTC))
    async with services.canaries.opened() as canary:
        assert canary.consultation.epoch == raised.epoch


async def test_the_command_refuses_while_nodes_are_connected(settings: Settings, services: Services) -> None:
    assert settings.mongo_url
    with pytest.raises(CommandError, match="still connected from"):
        await renew(settings.mongo_url, settings.mongo_database, nodes_are_stopped=False)
    assert await services.consultation_epochs.current() == 1
    raised = await renew(settings.mongo_url, settings.mongo_database, nodes_are_stopped=True)
    assert await services.consultation_epochs.current() == raised.epoch


class Counting:
    """The epochs, and whether anybody asked for the present one."""

    def __init__(self, epochs: ConsultationEpochs) -> None:
        self._epochs = epochs
        self.asked = asyncio.Event()

    async def current(self) -> int:
        found = await self._epochs.current()
        self.asked.set()
        return found


async def test_a_server_ends_when_the_epoch_changes_under_it(services: Services) -> None:
    stop = asyncio.Event()
    epochs = Counting(services.consultation_epochs)
    watching = asyncio.create_task(_end_with_the_epoch(epochs, stop, 0.01))
    await asyncio.wait_for(epochs.asked.wait(), 10)
    assert not stop.is_set()
    await services.consultation_epochs.raise_all(datetime.now(UTC))
    await asyncio.wait_for(stop.wait(), 10)
    await watching
