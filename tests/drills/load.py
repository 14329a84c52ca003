"""People who talk while things break: messages, edits, recalls, notes, receipts, retries."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.drills.device import Device
from tests.drills.system import Place, System


async def talk(device: Device, conv: str, stop: asyncio.Event, *, seed: int, in_flight: int = 8, pause: float) -> None:
    """Talk until `stop`, with up to `in_flight` things unanswered; the pace is one per `pause` seconds."""
    chance = random.Random(seed)
    number = 0
    while not stop.is_set():
        await asyncio.sleep(chance.uniform(0, 2 * pause))
        if len(device.outbox) >= in_flight:
            continue
        view = device.views[conv]
        own = [op["seq"] for op in view.own(device.person)[-20:] if not op.get("recalled_by")]
        number += 1
        match chance.random():
            case r if r < 0.06 and own:
                device.put("msg:edit", conv, target_seq=chance.choice(own), text=f"{device.name} 改 {number}")
            case r if r < 0.10 and own:
                device.put("msg:recall", conv, target_seq=chance.choice(own))
            case r if r < 0.15 and device.namespace == "/clerk":
                device.put("note:add", conv, text=f"{device.name} 记 {number}")
            case r if r < 0.22 and view.seq:
                read = chance.randint(1, view.seq)  # a device that is behind tells so too
                device._later(device.mark(conv, delivered=read, read=read))
            case r if r < 0.25 and own:
                said = next(op for op in view.ops if op["seq"] == own[-1])
                device.say(conv, said["body"]["text"], cid=said["cid"])  # the same once more: a retry
            case _:
                device.say(conv, f"{device.name} {number}")


class Load:
    """Consultations with a citizen on two devices each, and one clerk with a desk on either node."""

    def __init__(self, system: System, desks: list[Device], phones: list[tuple[str, Device, Device]]) -> None:
        self.system = system
        self.desks = desks
        self.phones = phones
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, *, pause: float = 0.02) -> None:
        self._stop.clear()
        seed = 0
        for conv, phone, tablet in self.phones:
            for device in (phone, tablet, *self.desks):
                seed += 1
                slower = pause * (1 if device in (phone, *self.desks) else 3)
                self._tasks.append(asyncio.create_task(talk(device, conv, self._stop, seed=seed, pause=slower)))

    async def stop(self) -> None:
        """Nobody begins anything new."""
        self._stop.set()
        await asyncio.gather(*self._tasks)
        self._tasks.clear()

    async def reached(self, acknowledged: int, seconds: float = 60.0) -> None:
        """Wait until so many more were acknowledged."""
        history = self.system.history
        wanted = history.count("acked") + acknowledged
        deadline = time.monotonic() + seconds
        while (have := history.count("acked")) < wanted:
            assert time.monotonic() < deadline, f"{have} of {wanted} acknowledged; {self.system.states()}"
            await asyncio.sleep(0.01)

    async def healed(self, *, more: int = 30) -> None:
        """After a healing: everybody has everything within five seconds while the talk goes on, and it goes on."""
        await self.system.converged()
        await self.reached(more)


@asynccontextmanager
async def loaded(
    system: System, *, consultations: int = 2, pause: float = 0.03, at: tuple[Place, Place] | None = None
) -> AsyncIterator[Load]:
    """The load, begun; it is stopped at the end. Devices connect `at` these two places, else to the nodes."""
    one, two = at or (system.nodes[0], system.nodes[-1])
    desks = [await system.join("desk-1", system.clerk, one), await system.join("desk-2", system.clerk, two)]
    phones: list[tuple[str, Device, Device]] = []
    for number in range(consultations):
        person = await system.citizen(f"citizen-{number}")
        nodes: tuple[Place, Place] = (one, two) if number % 2 == 0 else (two, one)
        phone = await system.join(f"phone-{number}", person, nodes[0])
        tablet = await system.join(f"tablet-{number}", person, nodes[1])
        conv = await phone.open("咨询", matter_id=system.office.matter.id)
        system.convs.append(conv)
        phones.append((conv, phone, tablet))
    async with asyncio.timeout(30):
        for conv, *_ in phones:
            while not all(conv in d.views and d.views[conv].seq >= 2 for d in system.devices if _sees(d, conv, phones)):
                await asyncio.sleep(0.02)
    load = Load(system, desks, phones)
    load.start(pause=pause)
    try:
        yield load
    finally:
        await load.stop()


def _sees(device: Device, conv: str, phones: list[tuple[str, Device, Device]]) -> bool:
    return device.namespace == "/clerk" or any(c == conv and device in (a, b) for c, a, b in phones)
