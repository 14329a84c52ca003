"""Citizens, staff and login attempts in MongoDB."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from backend.domain.access import Role
from backend.domain.accounts import Citizen, LockoutPolicy, Staff, UsernameTaken
from backend.domain.errors import EditConflict
from backend.domain.ids import new_id
from backend.storage.database import Database, IndexDeclaration, Session
from backend.storage.documents import from_document, to_document, utc
from backend.storage.kept import named

INDEXES: list[IndexDeclaration] = [
    ("citizens", [("openid", 1)], {"unique": True, "name": "openid"}),
    ("staff", [("username", 1)], {"unique": True, "name": "username"}),
    ("staff", [("department_id", 1), ("_id", 1)], {"name": "department"}),
    ("login_attempts", [("forget_at", 1)], {"expireAfterSeconds": 0, "name": "ttl"}),
]


class CitizenStore:
    """Citizens, one for each openid."""

    def __init__(self, database: Database) -> None:
        self._citizens = database["citizens"]

    async def for_openid(self, openid: str, unionid: str | None, now: datetime) -> Citizen:
        """The citizen of this openid, made now when there is none; the same one for any number of
        simultaneous first logins."""
        changes: dict[str, Any] = {"$setOnInsert": {"_id": new_id(), "created_at": utc(now)}}
        if unionid is not None:
            changes["$set"] = {"unionid": unionid}
        else:
            changes["$setOnInsert"]["unionid"] = None
        for last in (False, True):
            try:
                document = await self._citizens.find_one_and_update(
                    {"openid": openid}, changes, upsert=True, return_document=ReturnDocument.AFTER
                )
            except DuplicateKeyError:  # another login has just inserted: it is there for the second look
                if last:
                    raise
            else:
                return from_document(Citizen, document)
        raise AssertionError("unreachable")

    async def get(self, citizen_id: str) -> Citizen | None:
        document = await self._citizens.find_one({"_id": citizen_id})
        return from_document(Citizen, document) if document else None

    async def rename(self, citizen_id: str, name: str) -> Citizen | None:
        """Keep what a citizen wants to be called; None when there is no such citizen."""
        document = await self._citizens.find_one_and_update(
            {"_id": citizen_id}, {"$set": {"name": name}}, return_document=ReturnDocument.AFTER
        )
        return from_document(Citizen, document) if document else None


class StaffStore:
    """The staff. Password hashes never leave except through `password_hash`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._staff = database["staff"]
        self._meta = database["meta"]

    async def add(self, staff: Staff, password_hash: str, *, session: Session | None = None) -> Staff:
        """Raises `UsernameTaken`, which ends the transaction."""
        stored = replace(staff, created_at=utc(staff.created_at))
        try:
            document = {**to_document(stored), "password_hash": password_hash}
            await self._staff.insert_one(document, session=session)
        except DuplicateKeyError as error:
            raise UsernameTaken(field="username") from error
        return stored

    async def get(self, staff_id: str) -> Staff | None:
        document = await self._staff.find_one({"_id": staff_id}, {"password_hash": 0})
        return from_document(Staff, document) if document else None

    async def many(self, staff_ids: Iterable[str]) -> dict[str, Staff]:
        """Those of `staff_ids` that exist, by id."""
        found = self._staff.find({"_id": {"$in": list(staff_ids)}}, {"password_hash": 0})
        return {document["_id"]: from_document(Staff, document) async for document in found}

    async def by_username(self, username: str) -> tuple[Staff, str] | None:
        """With the password hash."""
        document = await self._staff.find_one({"username": username})
        return (from_document(Staff, document), document["password_hash"]) if document else None

    async def password_hash(self, staff_id: str) -> str | None:
        document = await self._staff.find_one({"_id": staff_id}, {"password_hash": 1})
        return str(document["password_hash"]) if document else None

    async def page(
        self,
        *,
        after: str | None,
        limit: int,
        department_id: str | None = None,
        search: str | None = None,
        role: Role | None = None,
        active: bool | None = None,
    ) -> list[Staff]:
        """In the order of their ids, without canaries. `search` is in the name, or begins the username."""
        wanted = {"department_id": department_id, "roles": role.value if role else None, "active": active}
        criteria: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
        criteria |= {"canary": None, **named(search, within="name", beginning="username")}
        if after is not None:
            criteria["_id"] = {"$gt": after}
        found = self._staff.find(criteria, {"password_hash": 0}).sort("_id", 1).limit(limit)
        return [from_document(Staff, document) async for document in found]

    async def save(self, staff: Staff, *, read_version: int, session: Session | None = None) -> None:
        """Save over `read_version`. Raises `EditConflict`."""
        fields = to_document(staff)
        del fields["_id"]
        result = await self._staff.update_one(
            {"_id": staff.id, "version": read_version}, {"$set": fields}, session=session
        )
        if not result.matched_count:
            raise EditConflict

    async def set_password(
        self, staff_id: str, password_hash: str, *, must_change: bool, read_version: int, session: Session
    ) -> None:
        """Raises `EditConflict`."""
        result = await self._staff.update_one(
            {"_id": staff_id, "version": read_version},
            {"$set": {"password_hash": password_hash, "must_change_password": must_change}, "$inc": {"version": 1}},
            session=session,
        )
        if not result.matched_count:
            raise EditConflict

    async def other_admins(self, staff_id: str, session: Session) -> int:
        """How many other active admins there are.

        Also writes one common document, so that two transactions which both rely on the other's admin
        conflict instead of both passing.
        """
        await self._meta.update_one({"_id": "admins"}, {"$inc": {"checked": 1}}, upsert=True, session=session)
        return await self._staff.count_documents(
            {"_id": {"$ne": staff_id}, "roles": Role.ADMIN.value, "active": True}, session=session
        )

    async def has_admin(self) -> bool:
        return await self._staff.find_one({"roles": Role.ADMIN.value, "active": True}, {"_id": 1}) is not None


class LoginAttemptStore:
    """Counters of login attempts, which a wiped Redis does not forget."""

    def __init__(self, database: Database) -> None:
        self._attempts = database["login_attempts"]

    async def begin(self, key: str, policy: LockoutPolicy, now: datetime) -> int:
        """Count an attempt on `key`, as wrong until `succeeded`. Returns the seconds for which it is
        locked, 0 when it may proceed. An attempt during a lock counts for nothing.

        One atomic update: any number of simultaneous guesses are counted one by one.
        """
        now = utc(now)
        locks_ms = [seconds * 1000 for seconds in policy.locks]
        step: dict[str, Any] = {
            "$min": [{"$subtract": ["$failures", policy.threshold]}, len(locks_ms) - 1],
        }
        document = await self._attempts.find_one_and_update(
            {"_id": key},
            [
                {"$set": {"refused": {"$gt": ["$locked_until", now]}}},
                {
                    "$set": {
                        "failures": {
                            "$cond": [
                                "$refused",
                                "$failures",
                                {"$add": [{"$cond": [{"$gt": ["$forget_at", now]}, "$failures", 0]}, 1]},
                            ]
                        },
                        "forget_at": {"$cond": ["$refused", "$forget_at", now + policy.forget_after]},
                    }
                },
                {
                    "$set": {
                        "locked_until": {
                            "$switch": {
                                "branches": [
                                    {"case": "$refused", "then": "$locked_until"},
                                    {
                                        "case": {"$gte": ["$failures", policy.threshold]},
                                        "then": {"$add": [now, {"$arrayElemAt": [locks_ms, step]}]},
                                    },
                                ],
                                "default": None,
                            }
                        }
                    }
                },
            ],
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        if not document["refused"]:
            return 0
        left: timedelta = document["locked_until"] - now
        return max(1, -int(-left.total_seconds() // 1))

    async def succeeded(self, key: str, *, forgive: bool) -> None:
        """The attempt was right: uncount it, or with `forgive` all before it too."""
        if forgive:
            await self._attempts.delete_one({"_id": key})
        else:
            await self._attempts.update_one({"_id": key}, {"$inc": {"failures": -1}, "$set": {"locked_until": None}})
