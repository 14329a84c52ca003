"""Appending to the operation log of consultations by natural group commit.

One journaled `insert_many` is in flight at a time and takes whatever queued meanwhile: under load the cost
of the journal is shared, at rest nobody waits. Duplicates are resolved by the unique indexes' errors
inside the batch, so that no message costs a query.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any

from pymongo.errors import BulkWriteError, PyMongoError

from backend.domain.errors import Unavailable
from backend.storage.database import Collection, Document

MAX_BATCH = 500
#: Waiting operations above which new ones are told to come again: memory is bounded too.
MAX_WAITING = 20_000
CID_INDEX = "consultation_sender_cid"
SEQ_INDEX = "consultation_seq"
_DUPLICATE_KEY = 11000


class NumberTaken(Exception):
    """Another process wrote this sequence number first: load the log again and decide anew."""


class ClientIdTaken(Exception):
    """The sender already wrote an operation with this client id: a retry, or a reuse."""


def meaning_of_duplicate(error: Mapping[str, Any]) -> Exception:
    """What a duplicate-key error of the log says."""
    pattern = error.get("keyPattern") or {}
    is_cid = "cid" in pattern or CID_INDEX in str(error.get("errmsg", ""))
    return ClientIdTaken() if is_cid else NumberTaken()


class GroupCommit:
    """Inserts documents into one collection, together with whatever else waits to be inserted."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._waiting: deque[tuple[Document, asyncio.Future[None]]] = deque()
        self._task: asyncio.Task[None] | None = None
        self.batches = 0
        self.documents = 0

    async def insert(self, document: Document) -> None:
        """Returns when the document is committed (majority, journaled).

        Raises `NumberTaken`, `ClientIdTaken`, or `Unavailable` when the outcome is unknown: then sending
        the same client id again is right.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise Unavailable("系统繁忙，消息尚未送达，请稍后重试。")
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((document, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain(), name="group-commit")
        await future

    async def close(self) -> None:
        """Wait for what is under way."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _drain(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
            try:
                await self._write(batch)
            except BaseException:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(Unavailable("消息尚未送达，请稍后重试。"))
                raise

    async def _write(self, batch: list[tuple[Document, asyncio.Future[None]]]) -> None:
        self.batches += 1
        self.documents += len(batch)
        failed: dict[int, Exception] = {}
        try:
            await self._collection.insert_many([document for document, _ in batch], ordered=False)
        except BulkWriteError as error:
            failed = self._failures(error, len(batch))
        except PyMongoError:
            failed = {i: Unavailable("数据库暂时不可用，消息尚未送达，请稍后重试。") for i in range(len(batch))}
        for index, (_, future) in enumerate(batch):
            if future.done():  # whoever asked has gone; the operation is committed all the same
                continue
            if index in failed:
                future.set_exception(failed[index])
            else:
                future.set_result(None)

    @staticmethod
    def _failures(error: BulkWriteError, size: int) -> dict[int, Exception]:
        details = error.details or {}
        if details.get("writeConcernErrors"):  # nothing is sure for anybody in this batch
            return {i: Unavailable("数据库暂时不可用，消息尚未送达，请稍后重试。") for i in range(size)}
        return {
            item["index"]: meaning_of_duplicate(item)
            if item.get("code") == _DUPLICATE_KEY
            else Unavailable("消息尚未送达，请稍后重试。")
            for item in details.get("writeErrors", [])
        }
