"""Bugs to be planted into a node, one for each invariant: the proof that the drills can fail.

Planted as far outside of the product's code as possible (where the log goes to the database, at its driver, at the
socket), so that the code may change without making a bug harmless unnoticed. What is not there any more to be
patched makes the node fail at its start.
"""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from motor.motor_asyncio import AsyncIOMotorCollection

from backend.rest.consultation_encoding import encoded_operation
from backend.storage.consultations import RECEIPTS, operation_from_document
from backend.storage.operation_log import CID_INDEX, GroupCommit
from backend.storage.receipts import ReceiptStore
from chat.delivery import Feeds
from chat.hub import Hub
from chat.namespaces import ChatNamespace
from chat.node import ServerTransport
from chat.order import SendOrder

_insert = GroupCommit._insert
_background: set[asyncio.Task[Any]] = set()


def _replace(owner: Any, name: str, by: Any) -> None:
    assert hasattr(owner, name)
    setattr(owner, name, by)


def _inserting(change: Callable[[GroupCommit, list[dict[str, Any]]], Any]) -> None:
    """Let `change` do the inserts of the log, but for those in transactions."""
    _replace(GroupCommit, "_insert", change)


def ack_before_commit() -> None:
    """What is acknowledged is written a moment later."""

    async def later(self: GroupCommit, documents: list[dict[str, Any]]) -> Any:
        async def write() -> None:
            await asyncio.sleep(0.5)
            await _insert(self, documents)

        task = asyncio.ensure_future(write())
        _background.add(task)
        task.add_done_callback(_background.discard)
        return {"n": len(documents), "ok": 1}

    _inserting(later)


def hint_before_commit() -> None:
    """Readers are shown what is only about to be written."""
    hubs: list[Hub] = []
    start = Hub.start

    def started(self: Hub) -> None:
        hubs.append(self)
        start(self)

    async def announced(self: GroupCommit, documents: list[dict[str, Any]]) -> Any:
        by_conv: dict[str, list[Any]] = {}
        for document in documents:
            by_conv.setdefault(document["consultation_id"], []).append(operation_from_document(document))
        for operations in by_conv.values():
            for hub in hubs:
                hub.feeds.committed([encoded_operation(o) for o in operations])
        await asyncio.sleep(0.3)
        return await _insert(self, documents)

    _replace(Hub, "start", started)
    _inserting(announced)


def reordered_batch() -> None:
    """Two operations of one sender change places on their way into the log."""

    async def swapped(self: GroupCommit, documents: list[dict[str, Any]]) -> Any:
        documents = copy.deepcopy(documents)
        for one, two in pairwise(documents):
            if one["consultation_id"] == two["consultation_id"] and one["kind"] == two["kind"] == "message":
                one["seq"], two["seq"] = two["seq"], one["seq"]
                break
        documents.sort(key=lambda d: (d["consultation_id"], d["seq"]))
        return await _insert(self, documents)

    _inserting(swapped)


def overtaking() -> None:
    """Messages of one connection are done in any order, not in that of their arrival."""
    at_once = ChatNamespace.client_event_at_once

    def some_time(
        self: ChatNamespace, event: str, sid: str, arguments: list[Any], answer: Callable[[Any], None]
    ) -> bool:
        async def later() -> None:
            await asyncio.sleep(random.uniform(0, 0.05))
            if not at_once(self, event, sid, arguments, answer):
                answer(await self.client_event(event, sid, *arguments[1:]))

        if event != "msg:send":
            return at_once(self, event, sid, arguments, answer)
        task = asyncio.ensure_future(later())
        _background.add(task)
        task.add_done_callback(_background.discard)
        return True

    _replace(ChatNamespace, "client_event_at_once", some_time)


def overtaking_what_failed() -> None:
    """What was sent after something that failed is done before that is sent again."""

    def admit(self: SendOrder, *_: Any) -> None:
        """Come in."""

    _replace(SendOrder, "admit", admit)


def no_dedupe() -> None:
    """Nothing makes the same client id the same operation; who starts does not make the index again."""
    create_index = AsyncIOMotorCollection.create_index

    async def other_indexes(self: Any, keys: Any, *args: Any, **options: Any) -> Any:
        if options.get("name") != CID_INDEX:
            return await create_index(self, keys, *args, **options)
        return CID_INDEX

    _replace(AsyncIOMotorCollection, "create_index", other_indexes)


def no_sweep() -> None:
    """A hint that was lost is looked for by nobody."""

    async def sweep(self: Hub) -> None:
        """Nothing."""

    _replace(Hub, "sweep", sweep)


def lost_cursor() -> None:
    """Who comes back is served from one operation too far."""
    attach = Feeds.attach

    def attached(self: Feeds, connection: Any, consultation_id: str, cursor: int, *args: Any, **options: Any) -> None:
        attach(self, connection, consultation_id, cursor + 1 if cursor else 0, *args, **options)

    _replace(Feeds, "attach", attached)


def receipt_going_back() -> None:
    """Watermarks are what was said last, not what was said highest."""
    bulk_write, begin_move = AsyncIOMotorCollection.bulk_write, ReceiptStore.begin_move

    async def last_wins(self: Any, requests: Any, *args: Any, **options: Any) -> Any:
        if self.name == RECEIPTS:
            for request in requests:
                request._doc["$set"] |= request._doc.pop("$max")
        return await bulk_write(self, requests, *args, **options)

    def forgetful(self: ReceiptStore, *args: Any, **options: Any) -> None:
        self._known.clear()
        begin_move(self, *args, **options)

    _replace(AsyncIOMotorCollection, "bulk_write", last_wins)
    _replace(ReceiptStore, "begin_move", forgetful)


def gap_shown() -> None:
    """Every seventh operation is lost on its way into the sockets."""
    push = ServerTransport.push
    count = 0

    def lossy(self: Any, event: str, *args: Any, **options: Any) -> None:
        nonlocal count
        if event == "op":
            count += 1
            if count % 7 == 0:
                return
        push(self, event, *args, **options)

    _replace(ServerTransport, "push", lossy)


BUGS: dict[str, Callable[[], None]] = {
    "ack-before-commit": ack_before_commit,
    "hint-before-commit": hint_before_commit,
    "reordered-batch": reordered_batch,
    "overtaking": overtaking,
    "overtaking-what-failed": overtaking_what_failed,
    "no-dedupe": no_dedupe,
    "no-sweep": no_sweep,
    "lost-cursor": lost_cursor,
    "receipt-going-back": receipt_going_back,
    "gap-shown": gap_shown,
}


def plant(bug: str) -> None:
    """Change this process for the worse."""
    BUGS[bug]()
