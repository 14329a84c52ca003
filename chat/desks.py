"""Beats: the server asks every desk whether it is there, since timers of background tabs are slow."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Protocol

import structlog

from backend.domain.errors import DomainError
from backend.services.presence import BEAT_SECONDS, PresenceService
from chat.connections import Connection, Connections

log = structlog.get_logger()

#: A desk that has not answered for so many seconds is disconnected; its lease ended long before.
SILENT_SECONDS = 30.0


class Asker(Protocol):
    async def ask(self, event: str, connection: Connection, answered: Any) -> None: ...

    async def kick(self, connection: Connection, code: str) -> None: ...


class Desks:
    """Keeps the leases of this node's desks alive for as long as they answer."""

    def __init__(self, *, presence: PresenceService, connections: Connections, asker: Asker) -> None:
        self._presence = presence
        self._connections = connections
        self._asker = asker
        self._answered: dict[str, str] = {}
        self._last: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._beat(), name="desk-beats")

    async def stop(self) -> None:
        tasks = [t for t in (self._task, self._renewing) if t is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def arrive(self, connection: Connection) -> bool:
        """A desk is ready. Whether its owner takes consultations now."""
        available = await self._presence.arrive(connection.actor, connection.sid)
        self._last[connection.sid] = time.monotonic()
        if connection.closed:  # it left while its lease was written
            await self.leave(connection)
        return available

    async def leave(self, connection: Connection) -> None:
        """The desk's socket is gone."""
        self._last.pop(connection.sid, None)
        self._answered.pop(connection.sid, None)
        try:
            await self._presence.leave(connection.sid)
        except Exception as error:  # noqa: BLE001 - the lease ends by itself
            log.warning("desk_lease_left_to_expire", error=type(error).__name__)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            for desk in list(self._connections.desks()):
                if desk.sid not in self._last:
                    continue
                try:
                    if time.monotonic() - self._last[desk.sid] > SILENT_SECONDS:
                        await self._asker.kick(desk, "silent")
                    else:
                        await self._asker.ask("presence:ping", desk, self._answer(desk))
                except Exception:
                    log.exception("desk_not_asked")

    def _answer(self, desk: Connection) -> Any:
        def answered(*_: object) -> None:
            if desk.closed:
                return
            self._last[desk.sid] = time.monotonic()
            self._answered[desk.sid] = desk.actor.id
            if self._renewing is None or self._renewing.done():
                self._renewing = asyncio.create_task(self._renew(), name="renew-leases")

        return answered

    async def _renew(self) -> None:
        """Renew together what answers within the same moment."""
        await asyncio.sleep(0.1)
        while self._answered:
            answered, self._answered = self._answered, {}
            try:
                await self._presence.renew(answered)
            except DomainError as error:
                log.warning("desk_leases_not_renewed", error=error.code)
