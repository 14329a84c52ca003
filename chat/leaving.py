"""A node that stops sends its sockets elsewhere: one after the other, each when it has had its answers."""

from __future__ import annotations

import asyncio
import random

import structlog

from chat.connections import Connection, Connections
from chat.delivery import Transport

log = structlog.get_logger()

CODE = "restarting"
#: Seconds a socket may still take for its acknowledgements, and to read what waits for it, before it is told to go.
ANSWERS_SECONDS = 3.0
_RETRY_STUCK = 0.05
#: `retry_after` is drawn from this many seconds, so that those who are told at once do not come at once.
_SPREAD_SECONDS = 1.0


async def send_elsewhere(connections: Connections, transport: Transport, seconds: float) -> int:
    """Tell every socket to come back to another node, evenly over `seconds`; how many were told.

    Returns when all that is said, to those as well who were just being connected, or seconds later.

    From here on no socket is taken any more: it would have to go at once, after a greeting in vain. It is refused
    with `retry_after`, and by then balancers know better than to bring it here again.
    """
    connections.leaving = True
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    waiting = list(connections)
    going: list[asyncio.Task[None]] = []
    for number, connection in enumerate(waiting):
        going.append(asyncio.create_task(_send_away(connection, transport), name="send-away"))
        await asyncio.sleep(max(0.0, deadline - loop.time()) / (len(waiting) - number))
    arriving = asyncio.create_task(connections.arriving.all_ended(), name="all-arrived")
    await asyncio.wait([*going, arriving], timeout=ANSWERS_SECONDS + 1)
    arriving.cancel()
    return len(waiting)


async def _send_away(connection: Connection, transport: Transport) -> None:
    try:
        async with asyncio.timeout(ANSWERS_SECONDS):
            await connection.asked.all_ended()
            while not transport.takes(connection):  # what is said to it now would be lost when the node ends
                await asyncio.sleep(_RETRY_STUCK)
                await connection.asked.all_ended()
    except TimeoutError:
        # its client asks again elsewhere, with the same cid
        log.warning(
            "socket_left_without_an_answer", asked=connection.asked.count, stuck=not transport.takes(connection)
        )
    await transport.kick(connection, CODE, round(random.uniform(0.05, _SPREAD_SECONDS), 2))
