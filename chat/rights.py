"""What those behind open sockets may, looked at again and again, also where nobody says anything.

A socket lives longer than the right by which it was opened: posts change hands, roles are taken away, sessions
end, on any node and without a word to the others. So every socket's turn comes within `seconds`, many with one
look. What is not known changes nothing: while the database is away nobody is sent away, and the turn comes again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

import structlog

from backend.domain.access import Actor
from backend.domain.accounts import SessionEnded
from backend.domain.errors import DomainError, Unauthenticated
from backend.storage.failures import is_storage_failure
from chat.connections import ACTOR_SECONDS, Connection, Connections
from chat.hub import Hub

log = structlog.get_logger()

#: Those behind sessions as they are now, by session; sessions that are over are missing.
LookUp = Callable[[Collection[str]], Awaitable[Mapping[str, Actor]]]

#: Within `seconds` there are so many steps. In each a share of all sockets has its turn, those that were looked at
#: longest ago, so that a crowd that came at once does not come at once for ever; who would be late otherwise, too.
_STEPS, _SHARES = 15, 12
#: A few have their turn together: they cost as much as one.
_FEW = 50
#: Nobody is looked at again before this part of `seconds` is over.
_REST = 1 / 3
#: Sessions in one look: reading the answer must stall nobody.
MANY = 500


class Rights:
    """Keeps the actors of this node's sockets true, and what each follows to what its actor may read."""

    def __init__(
        self,
        *,
        look_up: LookUp,
        connections: Connections,
        hub: Hub,
        seconds: float = ACTOR_SECONDS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look_up = look_up
        self._connections = connections
        self._hub = hub
        self._seconds = seconds
        self._now = now
        self._changed: set[Connection] = set()  # what they follow is still to be looked at
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep_looking(), name="rights")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def of(self, actor: Actor) -> Actor:
        """The actor with the present rights. Raises `Unauthenticated`."""
        if actor.session_id is None:
            raise Unauthenticated
        found = await self._look_up([actor.session_id])
        if actor.session_id not in found:
            raise SessionEnded
        return found[actor.session_id]

    async def look_if_due(self, connection: Connection) -> None:
        """Somebody acts whose turn is overdue: look before it is done. Raises `Unauthenticated`."""
        if connection.refresh_due:
            at = self._now()
            if connection.learned(await self.of(connection.actor), at):
                self._changed.add(connection)

    async def look(self) -> None:
        """Look at those whose turn it is, and at what those follow whose rights changed.

        Raises what the database raises while it is away. What was not found out stays to be done.
        """
        due = self._due()
        for start in range(0, len(due), MANY):
            try:
                await self._look_at(due[start : start + MANY])
            except Exception as error:
                if _is_away(error):
                    raise
                log.exception("rights_not_looked_at")  # the others have their turn all the same
        await self._settle()

    def _due(self) -> Sequence[Connection]:
        now = self._now()
        rested = [c for c in self._connections if now - c.looked_at > self._seconds * _REST]
        rested.sort(key=lambda connection: connection.looked_at)
        late = now - self._seconds * (_STEPS - 2) / _STEPS
        share = max(_FEW, -(-len(self._connections) // _SHARES))
        return rested[: max(share, sum(c.looked_at < late for c in rested))]

    async def _look_at(self, connections: Sequence[Connection]) -> None:
        at = self._now()
        found = await self._look_up({c.actor.session_id for c in connections if c.actor.session_id is not None})
        for connection in connections:
            if connection.closed:
                continue
            actor = found.get(connection.actor.session_id or "")
            if actor is None:
                self._hub.feeds.kick(connection, SessionEnded.code)
            elif connection.learned(actor, at):
                self._changed.add(connection)

    async def _settle(self) -> None:
        changed = {connection for connection in self._changed if not connection.closed}
        self._changed.clear()
        try:
            await self._hub.look_at_readers(changed)
        except BaseException:
            self._changed |= changed
            raise

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(self._seconds / _STEPS)
            try:
                await self.look()
            except Exception as error:
                if _is_away(error):
                    log.warning("rights_wait_for_the_database", error=type(error).__name__)
                else:
                    log.exception("rights_not_looked_at")


def _is_away(error: Exception) -> bool:
    return isinstance(error, DomainError) or is_storage_failure(error)
