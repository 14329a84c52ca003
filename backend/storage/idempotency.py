"""Answers kept for requests that carried an Idempotency-Key: truth in MongoDB, so that no wipe repeats one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pymongo.errors import DuplicateKeyError

from backend.domain.errors import Conflict, IdempotencyConflict
from backend.storage.database import Database, IndexDeclaration

INDEXES: list[IndexDeclaration] = [
    ("idempotency_keys", [("expires_at", 1)], {"expireAfterSeconds": 0, "name": "ttl"}),
]

_LEASE = timedelta(seconds=30)


class RequestInProgress(Conflict):
    """The same request is being worked on right now."""

    code = "request-in-progress"
    title = "请求正在处理"

    def __init__(self) -> None:
        super().__init__("同一个请求正在处理，请稍候。")
        self.retry_after = 1


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    status: int
    headers: Mapping[str, str]
    body: bytes


class IdempotencyStore:
    """One document per (actor, path, key)."""

    def __init__(self, database: Database, *, ttl: timedelta) -> None:
        self._keys = database["idempotency_keys"]
        self._ttl = ttl

    async def begin(self, key: str, body_hash: str, now: datetime) -> KeptAnswer | None:
        """Claim `key`. Returns the kept answer of an earlier request, or None when this one shall run.

        Raises `IdempotencyConflict` for another body under the same key and `RequestInProgress` while the
        first one still runs. A claim whose process died is taken over after 30 seconds.
        """
        document: dict[str, Any] = {
            "_id": key,
            "body_hash": body_hash,
            "lease_until": now + _LEASE,
            "expires_at": now + self._ttl,
            "answer": None,
        }
        try:
            await self._keys.insert_one(document)
        except DuplicateKeyError:
            return await self._existing(key, body_hash, now)
        return None

    async def _existing(self, key: str, body_hash: str, now: datetime) -> KeptAnswer | None:
        found = await self._keys.find_one({"_id": key})
        if found is None:  # expired in between
            raise RequestInProgress
        if found["body_hash"] != body_hash:
            raise IdempotencyConflict("同一个 Idempotency-Key 已用于另一份内容。", field="Idempotency-Key")
        if found["answer"]:
            return KeptAnswer(**found["answer"])
        taken = await self._keys.find_one_and_update(
            {"_id": key, "answer": None, "lease_until": {"$lte": now}},
            {"$set": {"lease_until": now + _LEASE}},
        )
        if taken is None:
            raise RequestInProgress
        return None

    async def keep(self, key: str, answer: KeptAnswer) -> None:
        """Keep the answer for repeats."""
        await self._keys.update_one(
            {"_id": key},
            {"$set": {"answer": {"status": answer.status, "headers": dict(answer.headers), "body": answer.body}}},
        )

    async def forget(self, key: str) -> None:
        """Let the key be used again: the request failed and changed nothing."""
        await self._keys.delete_one({"_id": key, "answer": None})
