"""Login sessions in MongoDB, and the cache in Redis that spares most requests the look at them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

import orjson
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from backend.domain.accounts import LoginSession
from backend.storage.database import Database, IndexDeclaration, Session
from backend.storage.documents import from_document, to_document, utc

INDEXES: list[IndexDeclaration] = [
    ("sessions", [("access.hash", 1)], {"name": "access"}),
    ("sessions", [("refresh.hash", 1)], {"name": "refresh"}),
    ("sessions", [("subject_id", 1), ("last_seen_at", -1)], {"name": "subject"}),
    ("sessions", [("purge_at", 1)], {"expireAfterSeconds": 0, "name": "ttl"}),
]

_KEPT_AFTER_END = timedelta(days=30)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose a session is; `name` is the citizen's."""

    kind: Literal["citizen", "staff"]
    id: str
    name: str


class SessionStore:
    """Sessions by their tokens' hashes. An ended one keeps no hashes."""

    def __init__(self, database: Database) -> None:
        self._sessions = database["sessions"]

    async def add(self, session: LoginSession) -> None:
        await self._sessions.insert_one(_document(session))

    async def by_access(self, token: str) -> LoginSession | None:
        return await self._find({"access.hash": token})

    async def by_refresh(self, token: str) -> LoginSession | None:
        return await self._find({"refresh.hash": token})

    async def get(self, session_id: str) -> LoginSession | None:
        return await self._find({"_id": session_id})

    async def live(self, session_ids: Collection[str], now: datetime) -> dict[str, Subject]:
        """Whose these are, of those that are not over, with one look."""
        criteria = {"_id": {"$in": list(session_ids)}, "ended_at": None, "expires_at": {"$gt": now}}
        found = self._sessions.find(criteria, {"kind": 1, "subject_id": 1, "name": 1})
        return {d["_id"]: Subject(d["kind"], d["subject_id"], d.get("name", "")) for d in await found.to_list(None)}

    async def _find(self, criteria: Mapping[str, Any]) -> LoginSession | None:
        document = await self._sessions.find_one({**criteria, "ended_at": None})
        return from_document(LoginSession, document) if document else None

    async def of_subject(self, subject_id: str, now: datetime) -> list[LoginSession]:
        """The live ones, the last used first."""
        found = self._sessions.find({"subject_id": subject_id, "ended_at": None, "expires_at": {"$gt": now}})
        return [from_document(LoginSession, document) async for document in found.sort("last_seen_at", -1)]

    async def save(self, session: LoginSession, *, read_version: int) -> bool:
        """Save over `read_version`; False when somebody else was first."""
        result = await self._sessions.replace_one(
            {"_id": session.id, "version": read_version, "ended_at": None}, _document(session)
        )
        return result.matched_count == 1

    async def seen(self, session_id: str, now: datetime) -> None:
        await self._sessions.update_one({"_id": session_id}, {"$set": {"last_seen_at": utc(now)}})

    async def rename(self, subject_id: str, name: str) -> None:
        """Every session of a citizen carries the name from now on, also one that is being saved meanwhile."""
        await self._sessions.update_many(
            {"subject_id": subject_id, "ended_at": None}, {"$set": {"name": name}, "$inc": {"version": 1}}
        )

    async def end(
        self,
        subject_id: str,
        now: datetime,
        *,
        session_ids: list[str] | None = None,
        except_id: str | None = None,
        session: Session | None = None,
    ) -> int:
        """End all sessions of a subject, or those named, but for `except_id`. Returns how many."""
        criteria: dict[str, Any] = {"subject_id": subject_id, "ended_at": None}
        wanted: dict[str, Any] = {}
        if session_ids is not None:
            wanted["$in"] = session_ids
        if except_id is not None:
            wanted["$ne"] = except_id
        if wanted:
            criteria["_id"] = wanted
        result = await self._sessions.update_many(
            criteria,
            {
                "$set": {
                    "ended_at": utc(now),
                    "access": [],
                    "refresh": [],
                    "purge_at": utc(now) + _KEPT_AFTER_END,
                },
                "$inc": {"version": 1},
            },
            session=session,
        )
        return result.modified_count


def _document(session: LoginSession) -> dict[str, Any]:
    stored = replace(
        session,
        created_at=utc(session.created_at),
        last_seen_at=utc(session.last_seen_at),
        expires_at=utc(session.expires_at),
        access=tuple(replace(token, expires_at=utc(token.expires_at)) for token in session.access),
        refresh=tuple(
            replace(token, spent_at=utc(token.spent_at)) if token.spent_at else token for token in session.refresh
        ),
    )
    return {**to_document(stored), "purge_at": stored.expires_at + _KEPT_AFTER_END}


class SessionCache:
    """What a token was good for a moment ago.

    Entries live half a minute and carry the generation they were read under. Ending any session starts
    a new generation, so that no entry, not even one that is being written meanwhile, outlives it. When
    Redis is away nothing is cached; only where it is away for the node that ends a session, and not for
    another, an entry of the other lasts to its own end.
    """

    TTL = 30
    _REST = 5.0  # seconds without a try after Redis failed
    _GENERATION = "sessions:generation"

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._away_until = 0.0
        self.looks = {"hit": 0, "miss": 0, "away": 0}

    async def get(self, token: str) -> tuple[dict[str, Any] | None, str | None]:
        """The entry, and the generation under which to `put` one when there is none (None: do not)."""
        if time.monotonic() < self._away_until:
            self.looks["away"] += 1
            return None, None
        try:
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.get(f"sessions:token:{token}")
            pipeline.get(self._GENERATION)
            entry, generation = await pipeline.execute()
            if generation is None:
                fresh = secrets.token_hex(8)
                await self._redis.set(self._GENERATION, fresh, nx=True)
                generation = await self._redis.get(self._GENERATION)
        except (RedisError, OSError):
            self._failed()
            self.looks["away"] += 1
            return None, None
        if generation is None:
            return None, None
        current = generation.decode()
        if entry is not None:
            document = orjson.loads(entry)
            if document.pop("generation", None) == current:
                self.looks["hit"] += 1
                return document, current
        self.looks["miss"] += 1
        return None, current

    async def put(self, token: str, entry: dict[str, Any], generation: str) -> None:
        try:
            value = orjson.dumps({**entry, "generation": generation})
            await self._redis.set(f"sessions:token:{token}", value, ex=self.TTL)
        except (RedisError, OSError):
            self._failed()

    async def new_generation(self) -> None:
        """No entry that exists, or is on its way, is good any more."""
        try:
            await self._redis.set(self._GENERATION, secrets.token_hex(8))
        except (RedisError, OSError):
            self._failed()

    def _failed(self) -> None:
        self._away_until = time.monotonic() + self._REST
        log.warning("session_cache_without_redis")
