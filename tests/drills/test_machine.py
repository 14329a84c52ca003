"""A state machine over two nodes: whatever is done in whatever order, the log is what a plain list says.

In the tests both nodes run in this process and a connection dies between commit and acknowledgement; as a
drill they are processes and the node dies with it.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
from aiohttp.test_utils import TestServer
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from redis.asyncio import Redis as RedisClient

from backend.wechat_standin import create_standin_app
from config.settings import Settings
from tests.cluster.stores import Redis
from tests.drills.checker import explain
from tests.drills.device import Device, Item, View
from tests.drills.history import History
from tests.drills.proxy import Proxy
from tests.drills.results import Figures, note, summed
from tests.drills.system import Person, System, system

T = TypeVar("T")
COUNT = st.integers(1, 8)
WHO = st.sampled_from(["phone", "desk"])
SECONDS = 30


class World:
    """One system for all examples of a run, on a loop of its own."""

    def __init__(self, folder: Path, mongo: str, redis: str, *, processes: bool) -> None:
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self.processes = processes
        self.examples = 0
        self.figures: list[Figures] = []
        self.drill: System = self.run(self._open(folder, mongo, redis))
        self.lines: list[Proxy] = [self.run(self.drill.proxy(node.port)) for node in self.drill.nodes]

    async def _open(self, folder: Path, mongo: str, redis: str) -> System:
        plain = Settings.model_construct()
        app = create_standin_app(appid=plain.wechat_appid, secret=plain.wechat_secret.get_secret_value())
        standin = await self._stack.enter_async_context(TestServer(app))
        url = str(standin.make_url("")).rstrip("/")
        made = system(folder, mongo_url=mongo, redis_url=redis, standin=url, processes=2 if self.processes else 0)
        return await self._stack.enter_async_context(made)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(4 * SECONDS):
                return await work

        return self._runner.run(bounded())

    def close(self) -> None:
        self.run(self._stack.aclose())
        self._runner.close()


class Protocol(RuleBasedStateMachine):
    """A citizen and a clerk with up to three devices, and `model`, the plain list of what must be in the log."""

    world: ClassVar[World]

    @initialize()
    def begin(self) -> None:
        """A new citizen opens a consultation."""
        self.world.examples += 1
        self.world.run(self._begin())

    async def _begin(self) -> None:
        drill = self.world.drill
        drill.history = self.history = History()
        drill.devices.clear()
        drill.convs.clear()
        self.person: Person = await drill.citizen(f"citizen-{self.world.examples}")
        self.devices: dict[str, Device] = {}
        self.model: list[tuple[str, str, str | None]] = []  # (cid, kind, text) of people's operations, in order
        self.done: list[tuple[str, Item, int]] = []  # (device, what, number)
        self.recalled: set[int] = set()
        self.watermarks = {"phone": 0, "desk": 0}
        self.closed = self.rated = self.handed_over = False
        self.version = 0
        await self._device("desk", drill.clerk, 1)
        phone = await self._device("phone", self.person, 0)
        self.conv = await phone.open("咨询", matter_id=drill.office.matter.id)
        drill.convs.append(self.conv)
        await self._quiet(2)
        first = phone.views[self.conv].ops[0]
        self.model.append((first["cid"], "opened", None))
        self.version = phone.views[self.conv].seq

    async def _device(self, name: str, person: Person, node: int, **options: Any) -> Device:
        drill, line = self.world.drill, self.world.lines[node]
        device = drill.device(name, person, drill.nodes[node], via=line, longest_pause=0.2, **options)
        device.start()
        self.devices[name] = device
        async with asyncio.timeout(SECONDS):
            await device.online.wait()
        return device

    # --- talking ---------------------------------------------------------------------------------

    @rule(who=WHO, count=COUNT)
    def talk(self, who: str, count: int) -> None:
        self.world.run(self._flight([(who, count)]))

    @rule(count=COUNT, others=COUNT)
    def both_talk(self, count: int, others: int) -> None:
        self.world.run(self._flight([("phone", count), ("desk", others)]))

    @precondition(lambda self: "tablet" in self.devices)
    @rule(count=COUNT, others=COUNT)
    def two_devices_of_one_person_talk(self, count: int, others: int) -> None:
        self.world.run(self._flight([("phone", count), ("tablet", others)]))

    async def _flight(self, talkers: list[tuple[str, int]], *, before: Any = None) -> None:
        """Several messages of each unanswered at once."""
        began, items = len(self.done), []
        for who, count in talkers:
            for number in range(count):
                text = f"{who} 说 {began}.{number}"
                items.append((who, self.devices[who].say(self.conv, text)))
        if before is not None:
            await before(items)
        await self._answered(items, expect=lambda who: not self.closed and not (who == "desk" and self.handed_over))

    async def _do(self, who: str, event: str, *, allowed: bool = True, **members: Any) -> None:
        """One thing, and what the model says of it."""
        item = self.devices[who].put(event, self.conv, **members)
        await self._answered([(who, item)], expect=lambda _: allowed)

    async def _answered(self, items: list[tuple[str, Item]], *, expect: Any) -> list[dict[str, Any]]:
        async with asyncio.timeout(2 * SECONDS):
            answers = [await item.answer for _, item in items]
        taken: list[tuple[int, str, Item]] = []
        for (who, item), answer in zip(items, answers, strict=True):
            assert answer["ok"] == expect(who), (who, item, answer)
            if answer["ok"]:
                taken.append((answer["seq"], who, item))
                self.version = max(self.version, answer["ver"])
        for seq, who, item in sorted(taken, key=lambda entry: entry[0]):
            body = item.payload.get("body") or {}
            kind = {"msg:send": "message", "note:add": "note", "msg:edit": "edit", "msg:recall": "recall"}.get(
                item.event, {"conv:close": "closed", "conv:reopen": "reopened", "conv:rate": "rated"}.get(item.event)
            )
            self.model.append((item.cid, kind or "transferred", body.get("text", item.payload.get("text"))))
            self.done.append((who, item, seq))
        await self._quiet()
        return answers

    @precondition(lambda self: self.done)
    @rule(pick=st.randoms(use_true_random=False), other=st.booleans())
    def again(self, pick: Any, other: bool) -> None:
        """The same client id once more, from any device of the same person: the same, or a conflict."""
        who, item, seq = pick.choice(self.done)
        self.world.run(self._again(who, item, seq, other=other))

    async def _again(self, who: str, item: Item, seq: int, *, other: bool) -> None:
        device = self.devices["tablet" if who == "phone" and "tablet" in self.devices else who]
        members = {key: value for key, value in item.payload.items() if key not in ("conv", "cid")}
        event = item.event
        if other:
            event, members = "msg:send", {"body": {"text": f"换了 {uuid.uuid4()}"}}
        answer = await asyncio.wait_for(device.put(event, self.conv, cid=item.cid, **members).answer, SECONDS)
        if other:
            assert answer["problem"]["code"] == "idempotency-conflict", answer
        else:
            assert (answer["ok"], answer.get("dup"), answer.get("seq")) == (True, True, seq), answer
        await self._quiet()

    @precondition(lambda self: any(item.event == "msg:send" for _, item, _ in self.done))
    @rule(pick=st.randoms(use_true_random=False), recall=st.booleans())
    def change(self, pick: Any, recall: bool) -> None:
        """Edit or recall one's own message."""
        who, _, seq = pick.choice([entry for entry in self.done if entry[1].event == "msg:send"])
        self.world.run(self._change(who, seq, recall=recall))

    async def _change(self, who: str, seq: int, *, recall: bool) -> None:
        text = f"改成 {len(self.done)}"
        event, members = ("msg:recall", {}) if recall else ("msg:edit", {"text": text})
        allowed = seq not in self.recalled and not self.closed and not (who == "desk" and self.handed_over)
        await self._do(who, event, allowed=allowed, target_seq=seq, **members)
        if recall and allowed:
            self.recalled.add(seq)

    @precondition(lambda self: not self.handed_over)
    @rule()
    def note(self) -> None:
        self.world.run(self._do("desk", "note:add", text=f"记 {len(self.done)}"))

    @rule(who=WHO, part=st.floats(0, 1))
    def read(self, who: str, part: float) -> None:
        self.world.run(self._read(who, part))

    async def _read(self, who: str, part: float) -> None:
        device = self.devices[who]
        read = round(part * device.views[self.conv].seq)
        answer = await device.ask("rcpt", {"conv": self.conv, "delivered": read, "read": read})
        assert answer is not None
        if who == "desk" and self.handed_over:  # reads on, and is not the side that has read, once its node knows
            assert answer["ok"] or answer["problem"]["code"] == "not-found"
            return
        self.watermarks[who] = max(self.watermarks[who], read)
        assert (answer["delivered"], answer["read"]) == (self.watermarks[who],) * 2

    # --- what breaks -----------------------------------------------------------------------------

    @rule(who=WHO, node=st.integers(0, 1), part=st.floats(0, 1))
    def come_back(self, who: str, node: int, part: float) -> None:
        """Connect again, to either node, with any cursor that was right once."""
        self.world.run(self._come_back(who, node, part))

    async def _come_back(self, who: str, node: int, part: float) -> None:
        device, drill = self.devices[who], self.world.drill
        await device.stop()
        view = device.views[self.conv]
        del view.ops[round(part * view.seq) :]
        drill.place(who, drill.nodes[node], self.world.lines[node])
        device.start()
        async with asyncio.timeout(SECONDS):
            await device.online.wait()
        await self._quiet()

    @precondition(lambda self: "tablet" not in self.devices)
    @rule(node=st.integers(0, 1))
    def second_device(self, node: int) -> None:
        """It is told of what is under way, and asks for what is closed."""
        views = {self.conv: View()} if self.closed else {}
        self.world.run(self._device("tablet", self.person, node, views=views))
        self.world.run(self._quiet())

    @rule()
    def hints_are_lost(self) -> None:
        """Redis is emptied and everybody is thrown out."""

        async def lose() -> None:
            assert self.world.drill.settings.redis_url
            async with RedisClient.from_url(self.world.drill.settings.redis_url) as client:
                self.world.drill.fault("Redis is emptied")
                await client.flushall()
                await client.client_kill_filter(_type="pubsub")

        self.world.run(lose())

    @precondition(lambda self: not self.closed)
    @rule(count=COUNT)
    def die_between_commit_and_answer(self, count: int) -> None:
        node = next(i for i, node in enumerate(self.world.drill.nodes) if self.world.drill.node_of("phone") is node)
        line = self.world.lines[node]

        async def die(items: list[tuple[str, Item]]) -> None:
            cids = {item.cid for _, item in items}
            async with asyncio.timeout(SECONDS):
                while not cids <= {entry.cid for entry in (await self.world.drill.log())[self.conv]}:
                    await asyncio.sleep(0.005)
            if self.world.processes:
                self.world.drill.fault("kill -9 between commit and acknowledgement")
                await self.world.drill.nodes[node].die()
            line.abort()
            line.heal()
            if self.world.processes:
                await self.world.drill.nodes[node].up()

        line.hold("down")
        self.world.run(self._flight([("phone", count)], before=die))

    # --- handling --------------------------------------------------------------------------------

    @precondition(lambda self: not self.closed and not self.handed_over)
    @rule()
    def hand_over(self) -> None:
        post = self.world.drill.office.other_post.id
        self.world.run(self._do("desk", "conv:transfer", ver=self.version, post_id=post, reason="归收养"))
        self.handed_over = True

    @precondition(lambda self: not self.closed)
    @rule()
    def leave(self) -> None:
        self.world.run(self._do("phone", "conv:close"))
        self.closed = True

    @precondition(lambda self: self.closed)
    @rule()
    def reopen(self) -> None:
        self.world.run(self._do("phone", "conv:reopen"))
        self.closed = self.rated = False  # what comes now is another consultation to be judged

    @rule(score=st.integers(1, 5))
    def rate(self, score: int) -> None:
        allowed = self.closed and not self.rated
        self.world.run(self._do("phone", "conv:rate", allowed=allowed, score=score))
        self.rated = self.rated or allowed

    # --- judging ---------------------------------------------------------------------------------

    async def _quiet(self, at_least: int = 0) -> None:
        """Everybody is there and has everything, and it is what the model says."""
        drill = self.world.drill
        async with asyncio.timeout(SECONDS):
            while True:
                log = (await drill.log())[self.conv]
                seen = [d.views[self.conv].seq if self.conv in d.views else 0 for d in self.devices.values()]
                there = all(d.online.is_set() for d in self.devices.values())  # or else it cannot ask for anything
                if there and len(log) >= at_least and all(seq == len(log) for seq in seen):
                    break
                await asyncio.sleep(0.01)
        if at_least:
            return
        people = [(entry.cid, entry.kind, entry.text) for entry in log if not entry.sender.startswith("system")]
        assert people == self.model
        assert [entry.seq for entry in log] == list(range(1, len(log) + 1))

    def teardown(self) -> None:
        if hasattr(self, "conv"):
            self.world.run(self._end())

    async def _end(self) -> None:
        drill = self.world.drill
        try:
            found = await drill.violations()
            self.world.figures.append(drill.history.figures("", len(found)))
            assert not found, explain(found)
        finally:
            for device in drill.devices:
                await device.stop()


def play(folder: Path, mongo: str, redis: Redis, *, processes: bool, examples: int, steps: int) -> World:
    world = World(folder, mongo, redis.url, processes=processes)
    machine = type("Machine", (Protocol,), {"world": world})
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                derandomize=not processes,
                database=None,
                phases=(Phase.generate,),
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        world.close()
    return world


def test_the_protocol_is_what_a_list_says(servers: tuple[str, str], own_redis: Redis, tmp_path: Path) -> None:
    play(tmp_path, servers[0], own_redis, processes=False, examples=3, steps=25)


@pytest.mark.drill
@pytest.mark.timeout(900)
def test_the_protocol_is_what_a_list_says_though_nodes_die(
    servers: tuple[str, str], own_redis: Redis, tmp_path: Path
) -> None:
    world = play(tmp_path, servers[0], own_redis, processes=True, examples=10, steps=30)
    note(summed(f"state machine, {world.examples} examples", world.figures))
