"""The two namespaces: parse, authorise, one call down, acknowledge; nothing else.

`/citizen` and `/clerk` have the same events where both sides may do the same; what differs is decided by
the services' access table, as over HTTP.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import socketio
import structlog
from pydantic import BaseModel, ValidationError

from backend.domain.errors import DomainError, Malformed, Unauthenticated, may_be_retried
from backend.domain.ids import is_uuid
from backend.measures import count
from backend.rest.problems import invalid_input, problem_of
from backend.services.consultation_turns import Outcome
from backend.services.socket_tickets import SocketTicketService
from chat import payloads
from chat.acks import Ack, UnknownEvent, UnsupportedVersion, refusal
from chat.admission import Admission
from chat.connections import Connection, Connections
from chat.counters import UNKNOWN, Counters
from chat.desks import Desks
from chat.hub import Hub
from chat.lean_sockets import LeanNamespace
from chat.rights import Rights

log = structlog.get_logger()

#: Versions of the protocol that are spoken here.
VERSIONS = (1,)
P = TypeVar("P", bound=BaseModel)
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Begin(Generic[R]):
    """How an event is begun without waiting for anything. `read` gives its consultation, its client id if it has
    one, and what `start` wants, or None for a payload that is to be read carefully; `start` raises as the event's
    `handle`, or tells its last argument what became of it, of which `ack` makes the acknowledgement."""

    read: Callable[[Any], tuple[str, str, Any] | None]
    start: Callable[[Connection, Any, Outcome[R]], None]
    ack: Callable[[R], Ack]


class _Begun(Generic[R]):
    """An event that was begun at once, until it is acknowledged. One without a client id has no order."""

    __slots__ = ("_ack", "_answer", "_arrival", "_began", "_cid", "_connection", "_conv", "_counters", "_event")

    def __init__(
        self,
        counters: Counters,
        connection: Connection,
        event: str,
        conv: str,
        cid: str,
        ack: Callable[[R], Ack],
        answer: Callable[[Any], None],
    ) -> None:
        self._counters = counters
        self._connection = connection
        self._event = event
        self._conv = conv
        self._cid = cid
        self._ack = ack
        self._answer = answer
        self._began = time.perf_counter()
        self._arrival = connection.order.arrived() if cid else 0
        connection.asked.begin()

    def admit(self) -> None:
        """Whether it may be done now. Raises what refuses it."""
        self._connection.spend()
        if self._cid:
            self._connection.order.admit(self._conv, self._cid, self._arrival)

    def done(self, result: R) -> None:
        try:
            ack = self._ack(result)
        except Exception:
            log.exception("socket_event_failed", event_name=self._event)
            ack = refusal(DomainError())
        self._tell(ack)

    def refused(self, error: Exception) -> None:
        if self._cid and may_be_retried(error):
            self._connection.order.refused(self._conv, self._cid, self._arrival)
        if not isinstance(error, DomainError):
            log.error("socket_event_failed", event_name=self._event, exc_info=error)
            error = DomainError()
        self._tell(refusal(error))

    def _tell(self, ack: Ack) -> None:
        self._connection.asked.end()
        self._counters.answer(self._event, ack, self._began)
        self._answer(ack)


@dataclass(frozen=True, slots=True)
class Event(Generic[P]):
    """How an event is read and answered. `ordered` events of one consultation are done one by one.

    `begin` is for an event whose place is kept by the log: it does not wait for the one before.
    """

    payload: type[P]
    handle: Callable[[Connection, P], Awaitable[Ack]]
    ordered: bool = False
    acked: bool = True
    begin: Begin[Any] | None = None


class ChatNamespace(LeanNamespace):
    """One namespace with its table of events."""

    def __init__(
        self,
        namespace: str,
        kind: str,
        events: dict[str, Event[Any]],
        *,
        tickets: SocketTicketService,
        connections: Connections,
        hub: Hub,
        desks: Desks,
        rights: Rights,
        admission: Admission,
    ) -> None:
        super().__init__(namespace)
        self._kind = kind
        self._events = events
        self._tickets = tickets
        self._connections = connections
        self._hub = hub
        self._desks = desks
        self._rights = rights
        self._admission = admission

    async def trigger_event(self, event: str, *args: Any) -> Any:
        """What python-socketio hears for this namespace comes through here."""
        # a client may name its own event "connect": only python-socketio's own calls come for a socket
        # that is not connected
        if event in ("connect", "disconnect") and not self.server.manager.is_connected(args[0], self.namespace):
            if event == "connect":
                return await self._connect(args[0], args[2])
            return await self._disconnect(args[0], str(args[1]) if len(args) > 1 else UNKNOWN)
        return await self.client_event(event, *args)

    async def client_event(self, event: str, sid: str, *args: Any) -> Ack | None:
        began = time.perf_counter()
        known = self._events.get(event)
        connection = self._connections.get(sid)
        if connection is None:
            answer = refusal(Unauthenticated())
        else:
            with connection.asked.one():
                answer = await self._answer(event, connection, args)
        self._hub.counters.answer(UNKNOWN if known is None else event, answer, began)
        return answer if known is None or known.acked or connection is None else None

    def client_event_at_once(self, event: str, sid: str, arguments: list[Any], answer: Callable[[Any], None]) -> bool:
        """Messages, whose order the log keeps, and receipts: as many of a socket are under way as it sends."""
        found = self._events.get(event)
        begin = found.begin if found is not None else None
        connection = self._connections.get(sid)
        if begin is None or connection is None or len(arguments) != 2 or connection.refresh_due:
            return False
        read = begin.read(arguments[1])
        if read is None or (read[1] and connection.has_turn(read[0])):
            return False
        conv, cid, wanted = read
        begun: _Begun[Any] = _Begun(self._hub.counters, connection, event, conv, cid, begin.ack, answer)
        try:
            begun.admit()
            begin.start(connection, wanted, begun)
        except Exception as error:  # noqa: BLE001 - told to who asked
            begun.refused(error)
        return True

    async def _connect(self, sid: str, auth: Any) -> None:
        with self._connections.arriving.one():
            await self._admit(sid, auth)

    async def _admit(self, sid: str, auth: Any) -> None:
        try:
            try:
                opening = payloads.Connect.model_validate(auth)
            except ValidationError as error:
                raise invalid_input(error, "auth") from error
            common = opening.versions.intersection(VERSIONS)
            if not common:
                raise UnsupportedVersion("请更新小程序或刷新页面。", field="auth.v", supported=list(VERSIONS))
            self._admission.socket(self._kind, opening.ticket)  # before the ticket is used up
            actor = await self._rights.of(await self._tickets.redeem(opening.ticket))
            if actor.kind != self._kind:
                raise Unauthenticated("这个连接不属于您的身份。")
            per_second = self._connections.per_second
            connection = Connection(sid, self.namespace, actor, opening.device, per_second)
            connection.version = max(common)
            self._connections.add(connection)
            count(self._hub.counters.opened, "admitted")
        except DomainError as error:
            count(self._hub.counters.opened, error.code)
            problem = problem_of(error).model_dump(mode="json", exclude_none=True)
            raise socketio.exceptions.ConnectionRefusedError(error.code, problem) from error
        except Exception as error:
            count(self._hub.counters.opened, DomainError.code)
            log.exception("socket_not_opened")
            problem = problem_of(DomainError()).model_dump(mode="json", exclude_none=True)
            raise socketio.exceptions.ConnectionRefusedError(DomainError.code, problem) from error

    async def _disconnect(self, sid: str, reason: str) -> None:
        connection = self._connections.remove(sid)
        if connection is not None:
            count(self._hub.counters.closed, reason)
            self._hub.feeds.drop(connection)
            if connection.ready and self._kind == "staff":
                await self._desks.leave(connection)

    async def _answer(self, name: str, connection: Connection, data: tuple[Any, ...]) -> Ack:
        event = self._events.get(name)
        arrival = connection.order.arrived()
        try:
            if event is None:
                connection.spend()
                raise UnknownEvent("服务器不认识这个事件。", field="event", supported=list(VERSIONS))
            payload = self._read(connection, event, data)
            if not event.ordered:
                await self._look_if_due(connection)
                return await event.handle(connection, payload)
            conv = getattr(payload, "conv", "")
            async with connection.turn(conv):
                await self._look_if_due(connection)
                if conv:  # nothing is awaited between this and its place in the log
                    connection.order.admit(conv, payload.cid, arrival)
                return await event.handle(connection, payload)
        except DomainError as error:
            return self._refused(error, event, connection, data, arrival)
        except Exception:
            log.exception("socket_event_failed", event_name=name)
            return self._refused(DomainError(), event, connection, data, arrival)

    @staticmethod
    def _refused(
        error: DomainError, event: Event[Any] | None, connection: Connection, data: tuple[Any, ...], arrival: int
    ) -> Ack:
        """The refusal; what is to be sent again is not overtaken by what was sent after it."""
        answer = refusal(error)
        if event is not None and event.ordered and answer["retry"] and data and isinstance(data[0], dict):
            conv, cid = data[0].get("conv"), data[0].get("cid")
            # what is no id will never be done, and nobody has looked yet at how long it is
            if isinstance(conv, str) and isinstance(cid, str) and is_uuid(conv) and is_uuid(cid):
                connection.order.refused(conv, cid, arrival)
        return answer

    @staticmethod
    def _read(connection: Connection, event: Event[P], data: tuple[Any, ...]) -> P:
        connection.spend()
        if len(data) != 1 or not isinstance(data[0], dict):
            raise Malformed("事件应当带一个对象。")
        try:
            return event.payload.model_validate(data[0])
        except ValidationError as error:
            raise invalid_input(error) from error

    async def _look_if_due(self, connection: Connection) -> None:
        try:
            await self._rights.look_if_due(connection)
        except Unauthenticated as error:
            count(self._hub.counters.kicked, error.code)
            await self.emit("kick", {"code": error.code}, to=connection.sid)
            await self.disconnect(connection.sid)
            raise
