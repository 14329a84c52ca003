"""Consultations over sockets on one node: everything of `chat` put together, started and stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import socketio
import structlog
from redis.asyncio import Redis

from backend.measures import count
from backend.ports import Clock
from backend.services.consultation_log import ConsultationLog
from backend.services.consultations import ConsultationService
from backend.services.presence import PresenceService
from backend.services.socket_tickets import SocketTicketService
from chat.admission import Admission
from chat.connections import ACTOR_SECONDS, PER_SECOND, Connection, Connections
from chat.counters import Counters
from chat.desks import Desks
from chat.events import Handlers
from chat.hub import Hub
from chat.lean_sockets import LeanServer, LeanSocket
from chat.leaving import send_elsewhere
from chat.namespaces import ChatNamespace
from chat.rights import LookUp, Rights
from chat.wire import EventPacket, encode

#: Waiting bytes that count as one waiting packet: 256 packets are as full as 1 MB.
BYTES_PER_PACKET = 4096
#: People who may begin to connect to one process; see docs/operations.md.
CONNECTS_PER_SECOND = 75.0
#: How often the loop's lag is measured, and the weight of the latest measurement.
_LAG_SECONDS, _LATEST = 0.25, 0.5

log = structlog.get_logger()


class ServerTransport:
    """Sending through python-socketio, always to named sockets of this node."""

    def __init__(self, server: socketio.AsyncServer, counters: Counters | None = None) -> None:
        """`server` is of `chat.sockets.create_server`."""
        self._server = server
        self._counters = counters or Counters()

    def push(self, event: str, body: bytes, connections: Sequence[Connection]) -> None:
        packets: dict[str, EventPacket] = {}
        for connection in connections:
            socket = self._socket(connection)
            if socket is None:
                continue
            namespace = connection.namespace
            if namespace not in packets:
                packets[namespace] = EventPacket(namespace, event, body)
            socket.queue.put_nowait(packets[namespace])

    async def emit(self, event: str, data: Any, connections: Sequence[Connection]) -> None:
        self.push(event, encode(data), connections)

    async def ask(self, event: str, connection: Connection, answered: Any) -> None:
        await self._server.emit(event, {}, to=connection.sid, namespace=connection.namespace, callback=answered)

    def backlog(self, connection: Connection) -> int:
        socket = self._socket(connection)
        return max(socket.queue.qsize(), socket.queue.waiting_bytes // BYTES_PER_PACKET) if socket is not None else 0

    def takes(self, connection: Connection) -> bool:
        socket = self._socket(connection)
        if isinstance(socket, LeanSocket):
            return not socket.queue.is_stuck
        return socket is None or socket.queue.qsize() == 0

    async def kick(self, connection: Connection, code: str, retry_after: float | None = None) -> None:
        count(self._counters.kicked, code)
        told = {"code": code} if retry_after is None else {"code": code, "retry_after": retry_after}
        socket = self._socket(connection)
        stuck = isinstance(socket, LeanSocket) and socket.queue.is_stuck
        await self.emit("kick", told, [connection])
        await self._server.disconnect(connection.sid, namespace=connection.namespace)
        if stuck:
            socket.queue.cut()  # it does not read why it has to go

    def _socket(self, connection: Connection) -> Any:
        """The Engine.IO socket of a connection, or None when it is going or gone."""
        if connection.closed:
            return None
        socket = connection.socket
        if socket is None:  # looked up once: it stays the same for as long as the connection lasts
            eio_sid = self._server.manager.eio_sid_from_sid(connection.sid, connection.namespace)
            socket = connection.socket = self._server.eio.sockets.get(eio_sid)
        return None if socket is None or socket.closed else socket


class ChatNode:
    """The socket side of one process."""

    def __init__(
        self,
        server: socketio.AsyncServer,
        *,
        service: ConsultationService,
        log: ConsultationLog,
        presence: PresenceService,
        tickets: SocketTicketService,
        actors_of: LookUp,
        clock: Clock,
        redis: Redis,
        prefix: str,
        events_per_second: float = PER_SECOND,
        connects_per_second: float = CONNECTS_PER_SECOND,
        rights_seconds: float = ACTOR_SECONDS,
    ) -> None:
        """`server` is of `chat.sockets.create_server`; `actors_of` gives those behind sessions with their present
        rights; `prefix` keeps the hints of different databases on one Redis apart; `events_per_second` bounds each
        socket, `connects_per_second` how many people may come; rights are at most `rights_seconds` old."""
        self.server = server
        counters = Counters()
        if isinstance(server, LeanServer):
            server.eio.overflowed = counters.overflow
            # well above what any client of ours sends, packets of all kinds
            server.eio.packets_per_second = max(server.eio.packets_per_second, 8 * events_per_second)
        self.connections = Connections(per_second=events_per_second)
        transport = self.transport = ServerTransport(server, counters)
        self.hub = Hub(
            service=service,
            transport=transport,
            connections=self.connections,
            redis=redis,
            prefix=prefix,
            counters=counters,
        )
        self.desks = Desks(presence=presence, connections=self.connections, asker=transport)
        self.rights = Rights(look_up=actors_of, connections=self.connections, hub=self.hub, seconds=rights_seconds)
        self._log = log
        self.admission = Admission(connects_per_second)
        handlers = Handlers(service=service, presence=presence, hub=self.hub, desks=self.desks, clock=clock)
        for namespace, kind, events in (
            ("/citizen", "citizen", handlers.citizen()),
            ("/clerk", "staff", handlers.clerk()),
        ):
            self.server.register_namespace(
                ChatNamespace(
                    namespace,
                    kind,
                    events,
                    tickets=tickets,
                    connections=self.connections,
                    hub=self.hub,
                    desks=self.desks,
                    rights=self.rights,
                    admission=self.admission,
                )
            )

    async def leave(self, seconds: float) -> None:
        """Send every socket to another node within about `seconds`, answering what it asked before."""
        told = await send_elsewhere(self.connections, self.transport, seconds)
        log.info("sockets_sent_elsewhere", node=self.hub.node, sockets=told)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Deliver for as long as the context lasts; afterwards every socket is closed."""
        self._log.listen(self.hub)
        self.hub.start()
        self.desks.start()
        self.rights.start()
        measuring = asyncio.create_task(self._measure_lag(), name="loop-lag")
        try:
            yield
        finally:
            measuring.cancel()
            self._log.forget(self.hub)
            await self.rights.stop()
            await self.desks.stop()
            await self.hub.stop()
            await self.server.shutdown()

    async def _measure_lag(self) -> None:
        """How late the loop comes to what is due, and how many wait to be greeted, decides how many may connect."""
        loop, lag = asyncio.get_running_loop(), 0.0
        while True:
            due = loop.time() + _LAG_SECONDS
            await asyncio.sleep(_LAG_SECONDS)
            lag += _LATEST * (loop.time() - due - lag)
            self.admission.follow(lag, self.connections.ungreeted())
