"""The events clients send, and what each does. The names and payloads are those of docs/protocol.md."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from backend.domain.consultation_content import Attachment, Content
from backend.domain.consultations import Consultation, Watermarks
from backend.ports import Clock
from backend.rest.consultation_views import consultation_json, moment, operation_json
from backend.services.consultation_base import may_read
from backend.services.consultation_log import Committed
from backend.services.consultation_reading import Receipt
from backend.services.consultation_turns import Outcome
from backend.services.consultations import ConsultationService
from backend.services.presence import PresenceService
from chat import payloads as p
from chat.acks import Ack, ok
from chat.connections import Connection
from chat.desks import Desks
from chat.hub import Hub
from chat.namespaces import Begin, Event

#: Clients whose `hello` is being read for at once, of each kind, the first to come first: with more, nobody would
#: be greeted sooner, and those who are talking would wait.
GREETINGS = 16


def _done(committed: Committed) -> Ack:
    """The acknowledgement of what was committed."""
    operation = committed.operation
    return ok(
        conv=operation.consultation_id,
        id=operation.id,
        epoch=operation.epoch,
        seq=operation.seq,
        ts=moment(operation.at),
        ver=committed.after.version,
        state=committed.after.stage.value,
        dup=committed.dup,
    )


def _moved(receipt: Receipt) -> Ack:
    return ok(delivered=receipt.delivered, read=receipt.read)


class Handlers:
    """One method for each event."""

    def __init__(
        self,
        *,
        service: ConsultationService,
        presence: PresenceService,
        hub: Hub,
        desks: Desks,
        clock: Clock,
    ) -> None:
        self._service = service
        self._presence = presence
        self._hub = hub
        self._desks = desks
        self._clock = clock
        self._receiving: set[asyncio.Task[None]] = set()
        self._greeting = {kind: asyncio.Semaphore(GREETINGS) for kind in ("citizen", "staff")}

    def citizen(self) -> dict[str, Event[Any]]:
        """The table of `/citizen`."""
        return self._both() | {
            "conv:open": Event(p.Open, self.open, ordered=True),
            "conv:reopen": Event(p.Act, self.reopen, ordered=True),
            "conv:rate": Event(p.Rate, self.rate, ordered=True),
        }

    def clerk(self) -> dict[str, Event[Any]]:
        """The table of `/clerk`."""
        return self._both() | {
            "note:add": Event(p.AddNote, self.note, ordered=True),
            "offer:accept": Event(p.Decide, self.accept, ordered=True),
            "offer:decline": Event(p.Decline, self.decline, ordered=True),
            "conv:transfer": Event(p.Transfer, self.transfer, ordered=True),
            "presence:set": Event(p.SetPresence, self.set_presence, ordered=True),
        }

    def _both(self) -> dict[str, Event[Any]]:
        return {
            "hello": Event(p.Hello, self.hello, ordered=True),
            "msg:send": Event(p.Send, self.send, ordered=True, begin=Begin(p.plain_words, self.begin_words, _done)),
            "msg:edit": Event(p.EditMessage, self.edit, ordered=True),
            "msg:recall": Event(p.RecallMessage, self.recall, ordered=True),
            "ops:get": Event(p.GetOps, self.get_ops),
            "rcpt": Event(p.ReadReceipt, self.receipt, begin=Begin(p.plain_receipt, self.begin_receipt, _moved)),
            "beat": Event(p.Beat, self.beat),
            "typing": Event(p.InConversation, self.typing, acked=False),
            "conv:close": Event(p.CloseIt, self.close, ordered=True),
        }

    # --- following -------------------------------------------------------------------------------

    async def hello(self, connection: Connection, payload: p.Hello) -> Ack:
        """Follow consultations from where the client left off, and whatever else is under way.

        The operations come as `op` events after this acknowledgement: one way in, one order.
        """
        actor = connection.actor
        async with self._greeting[actor.kind]:
            states = await self._service.readable(actor, list(payload.cursors), "follow")
            rest = await self._service.open_for(actor) if payload.rest else []
            read = await self._service.watermarks([*states.values(), *rest])
        arrives = actor.kind == "staff" and not connection.ready
        available = await self._desks.arrive(connection) if arrives else None
        # nothing is awaited from here on: the acknowledgement leaves before the first operation, and nobody
        # follows by a right that was taken away meanwhile
        actor = connection.actor
        states = {c: state for c, state in states.items() if may_read(actor, state)}
        gone = [c for c in payload.cursors if c not in states]
        rest = [state for state in rest if state.id not in states and may_read(actor, state)]
        convs, attach = [], []
        for consultation_id, state in states.items():
            epoch, seq = payload.cursors[consultation_id]
            recovered = epoch == state.epoch and seq <= state.last_seq
            cursor = seq if recovered else 0
            attach.append((state, cursor))
            convs.append(
                {"cursor": cursor, "recovered": recovered, "joined": True} | self._header(connection, state, read)
            )
        for state in rest:
            joined = actor.kind == "citizen" or (state.staff is not None and state.staff.id == actor.id)
            if joined:
                attach.append((state, 0))
            convs.append({"cursor": 0, "recovered": False, "joined": joined} | self._header(connection, state, read))
        answer = ok(v=connection.version, convs=convs, gone=gone, node=self._hub.node, server_ts=moment(self._now()))
        if available is not None:
            answer["available"] = available
        connection.ready = True
        for state, cursor in attach:
            self._hub.feeds.attach(connection, state.id, cursor, state.epoch, state.last_seq)
        return answer

    @staticmethod
    def _header(connection: Connection, state: Consultation, read: Mapping[str, Watermarks]) -> dict[str, Any]:
        return {
            "conv": state.id,
            "consultation": consultation_json(state, read[state.id], connection.audience),
            "epoch": state.epoch,
            "last_seq": state.last_seq,
        }

    async def get_ops(self, connection: Connection, payload: p.GetOps) -> Ack:
        operations, state = await self._service.operations(
            connection.actor, payload.conv, after=payload.after, limit=payload.limit
        )
        recovered = payload.epoch == state.epoch and payload.after <= state.last_seq
        last = operations[-1].seq if operations else payload.after
        return ok(
            conv=state.id,
            epoch=state.epoch,
            last_seq=max(state.last_seq, last) if recovered else state.last_seq,
            recovered=recovered,
            more=last < state.last_seq,
            ops=[operation_json(o, connection.audience) for o in operations] if recovered else [],
        )

    async def beat(self, connection: Connection, payload: p.Beat) -> Ack:
        """Which of the consultations a client follows have more than the client says it has."""
        mine = {c: s for c, s in payload.convs.items() if self._hub.feeds.reads(connection, c)}
        left = [c for c in payload.convs if c not in mine]
        return ok(ahead=await self._service.ahead(mine), left=left, server_ts=moment(self._now()))

    async def receipt(self, connection: Connection, payload: p.ReadReceipt) -> Ack:
        return _moved(await self._receive(connection, payload.conv, payload.delivered, payload.read))

    def begin_receipt(self, connection: Connection, told: tuple[str, int, int], outcome: Outcome[Receipt]) -> None:
        """The same, without a task where nothing has to be read for it."""
        conv, delivered, read = told
        begun = self._hub.feeds.reads(connection, conv) and self._service.begin_receive(
            connection.actor, conv, delivered=delivered, read=read, committed=self._committed(conv), outcome=outcome
        )
        if not begun:
            task = asyncio.create_task(self._receive_for(connection, told, outcome), name="receipt")
            self._receiving.add(task)
            task.add_done_callback(self._receiving.discard)

    async def _receive_for(self, connection: Connection, told: tuple[str, int, int], outcome: Outcome[Receipt]) -> None:
        try:
            found = await self._receive(connection, *told)
        except Exception as error:  # noqa: BLE001 - told to who asked
            outcome.refused(error)
        else:
            outcome.done(found)

    async def _receive(self, connection: Connection, conv: str, delivered: int, read: int) -> Receipt:
        return await self._service.receive(
            connection.actor, conv, delivered=delivered, read=read, committed=self._committed(conv)
        )

    def _committed(self, conv: str) -> tuple[int, int]:
        """An epoch and a number that are known here to be in the log."""
        feed = self._hub.feeds.get(conv)
        return (feed.epoch, feed.newest) if feed is not None else (0, 0)

    async def typing(self, connection: Connection, payload: p.InConversation) -> Ack:
        follows = self._hub.feeds.reads(connection, payload.conv)
        may_speak = self._service.may_be_typing(connection.actor, payload.conv)
        if follows and may_speak and connection.may_type(payload.conv):
            self._hub.typing(connection, payload.conv)
        return ok()

    # --- talking ---------------------------------------------------------------------------------

    async def open(self, connection: Connection, payload: p.Open) -> Ack:
        committed = await self._service.open(
            connection.actor,
            cid=payload.cid,
            subject=payload.subject,
            matter_id=payload.matter_id,
            case_id=payload.case_id,
            area_code=payload.area_code,
            content=payload.body.content() if payload.body else None,
        )
        read = await self._service.watermarks([committed.state])
        shown = consultation_json(committed.state, read[committed.state.id], connection.audience)
        return _done(committed) | {"consultation": shown}

    async def send(self, connection: Connection, payload: p.Send) -> Ack:
        return _done(
            await self._service.send(connection.actor, payload.conv, cid=payload.cid, content=payload.body.content())
        )

    def begin_words(self, connection: Connection, words: p.Words, outcome: Outcome[Committed]) -> None:
        """`send` for what is nothing but words."""
        content = Content(words.text, reply_to=words.reply_to)
        self._service.say(connection.actor, words.conv, cid=words.cid, content=content, outcome=outcome)

    async def edit(self, connection: Connection, payload: p.EditMessage) -> Ack:
        return _done(
            await self._service.edit(
                connection.actor,
                payload.conv,
                cid=payload.cid,
                target_seq=payload.target_seq,
                text=payload.text,
            )
        )

    async def recall(self, connection: Connection, payload: p.RecallMessage) -> Ack:
        return _done(
            await self._service.recall(connection.actor, payload.conv, cid=payload.cid, target_seq=payload.target_seq)
        )

    async def note(self, connection: Connection, payload: p.AddNote) -> Ack:
        return _done(
            await self._service.note(
                connection.actor,
                payload.conv,
                cid=payload.cid,
                text=payload.text,
                attachments=tuple(Attachment(a.upload_id) for a in payload.attachments),
            )
        )

    # --- handling --------------------------------------------------------------------------------

    async def accept(self, connection: Connection, payload: p.Decide) -> Ack:
        return _done(await self._service.accept(connection.actor, payload.conv, cid=payload.cid, version=payload.ver))

    async def decline(self, connection: Connection, payload: p.Decline) -> Ack:
        return _done(
            await self._service.decline(
                connection.actor,
                payload.conv,
                cid=payload.cid,
                version=payload.ver,
                reason=payload.reason,
            )
        )

    async def transfer(self, connection: Connection, payload: p.Transfer) -> Ack:
        return _done(
            await self._service.transfer(
                connection.actor,
                payload.conv,
                cid=payload.cid,
                version=payload.ver,
                post_id=payload.post_id,
                reason=payload.reason,
            )
        )

    async def close(self, connection: Connection, payload: p.CloseIt) -> Ack:
        return _done(
            await self._service.close(
                connection.actor,
                payload.conv,
                cid=payload.cid,
                version=payload.ver,
                reason=payload.reason,
                remark=payload.remark,
            )
        )

    async def reopen(self, connection: Connection, payload: p.Act) -> Ack:
        return _done(await self._service.reopen(connection.actor, payload.conv, cid=payload.cid))

    async def rate(self, connection: Connection, payload: p.Rate) -> Ack:
        return _done(
            await self._service.rate(
                connection.actor,
                payload.conv,
                cid=payload.cid,
                score=payload.score,
                comment=payload.comment,
            )
        )

    async def set_presence(self, connection: Connection, payload: p.SetPresence) -> Ack:
        available = payload.state == "available"
        await self._presence.declare(connection.actor, available=available)
        return ok(available=available)

    def _now(self) -> datetime:
        return self._clock.now()
