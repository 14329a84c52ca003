"""Who talks in the chat benchmarks: citizens and clerks of ours, furnished through the services, with real tickets."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from backend.composition import Services
from backend.domain.access import SYSTEM, Role
from backend.domain.ids import new_id
from backend.services.staff import NewStaff, generate_password
from backend.storage.accounts import CitizenStore
from tests.bench.generator import Generator
from tests.bench.processes import Running

#: About 300 bytes, as citizens write; the generator puts a message's number in.
TEXT = "~n@NUM@~" + "请问办理结婚登记需要带哪些材料？外地户口可以在这里办吗？" * 3


@dataclass(frozen=True)
class Talk:
    """One citizen, the clerk who answers them, and their consultation."""

    conv: str
    seq: int
    citizen_session: str
    clerk_session: str


async def furnish(services: Services, count: int) -> list[Talk]:
    """`count` consultations under way, each with people of its own."""
    new = [NewStaff(f"bench-{new_id()[-12:]}", "王敏", frozenset({Role.TRIAGE})) for _ in range(count)]
    clerks = await services.staff.seed(SYSTEM, new, generate_password())
    return list(await asyncio.gather(*(_talk(services, clerk.id) for clerk in clerks)))


async def _talk(services: Services, clerk_id: str) -> Talk:
    desk = (await services.sessions.open_staff(clerk_id, "bench")).session_id
    session = await citizen(services)
    asker = await services.sessions.actor_of(session)
    opened = await services.consultations.open(asker, cid=new_id(), subject="咨询")
    clerk = await services.sessions.actor_of(desk)
    taken = await services.consultations.accept(clerk, opened.state.id, cid=new_id(), version=opened.state.version)
    return Talk(taken.state.id, taken.state.last_seq, session, desk)


async def citizen(services: Services) -> str:
    """A new citizen's session."""
    found = await CitizenStore(services.database).for_openid(f"bench-{new_id()}", None, services.clock.now())
    return (await services.sessions.open_citizen(found.id, "bench")).session_id


async def auth_of(services: Services, session: str) -> dict[str, Any]:
    """What opens a socket, within a minute."""
    return {"ticket": await services.socket_tickets.issue(await services.sessions.actor_of(session)), "v": 1}


async def join_ours(services: Services, load: Generator, talks: list[Talk], ports: list[tuple[int, int]]) -> None:
    """Sockets of ours: each talk's citizen on the first, its clerk on the second port; `ports` go around."""
    places = []
    for number, talk in enumerate(talks):
        hello = {"cursors": {talk.conv: [1, talk.seq]}, "rest": False}
        to_citizen, to_clerk = ports[number % len(ports)]
        phone = load.socket(to_citizen, "/citizen", await auth_of(services, talk.citizen_session), hello)
        desk = load.socket(to_clerk, "/clerk", await auth_of(services, talk.clerk_session), hello)
        places.append((phone, desk, talk.conv))
    await load.connect()
    for phone, desk, conv in places:
        load.pair(phone, desk, ["msg:send", {"conv": conv, "cid": "@CID@", "body": {"text": TEXT}}], conv)


async def join_peer(load: Generator, servers: list[Running], pairs: int) -> None:
    """Sockets of a peer: senders on the first, readers on the last server."""
    places = []
    for number in range(pairs):
        conv = f"conv-{new_id()}"
        auth = {"pair": conv, "user": f"user-{number}"}
        sender = load.socket(servers[0].port, "/", auth)
        places.append((sender, load.socket(servers[-1].port, "/", auth), conv))
    await load.connect()
    for sender, reader, conv in places:
        load.pair(sender, reader, ["msg:send", {"conv": conv, "cid": "@CID@", "body": {"text": TEXT}}], conv)
