"""What a canary leaves behind, so that it can be taken away to the last document.

A canary is a consultation between two people who do not exist, made to see whether a deployment delivers.
Its documents carry `canary: true`; lists that would show everything leave those out.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from pymongo.errors import PyMongoError

from backend.domain.accounts import Staff
from backend.domain.consultation_operations import Operation
from backend.domain.consultations import Consultation
from backend.domain.errors import Unavailable
from backend.storage.consultations import OPS, RECEIPTS, STATES, operation_to_document
from backend.storage.database import Database, retry_transient
from backend.storage.documents import to_document
from backend.storage.presence import LEASES

MARK = {"canary": True}


class CanaryStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, clerk: Staff, state: Consultation, operations: Sequence[Operation], cid: str) -> None:
        """Write the clerk and the consultation. Nobody can log in as the clerk: there is no password."""
        made = {"canary_made_at": datetime.now(UTC)}

        async def work() -> None:
            async with self._database.transaction() as session:
                staff = {**to_document(clerk), "password_hash": "", **MARK, **made}
                await self._database["staff"].insert_one(staff, session=session)
                document = {**to_document(state), "open_cid": cid, **MARK, **made}
                await self._database[STATES].insert_one(document, session=session)
                documents = [operation_to_document(operation) for operation in operations]
                await self._database[OPS].insert_many(documents, session=session)

        try:
            await retry_transient(work)
        except PyMongoError as error:
            raise Unavailable from error

    async def remove(self, state_id: str, citizen_id: str, clerk_id: str) -> None:
        """Delete everything of one canary. Doing it again changes nothing."""
        try:
            people = {"$in": [citizen_id, clerk_id]}
            await self._database["sessions"].delete_many({"subject_id": people})
            await self._database[LEASES].delete_many({"staff_id": clerk_id})
            await self._database[OPS].delete_many({"consultation_id": state_id})
            await self._database[RECEIPTS].delete_many({"consultation_id": state_id})
            # the marked ones last: as long as they are there, `left_behind` finds the rest
            await self._database["staff"].delete_one({"_id": clerk_id, **MARK})
            await self._database[STATES].delete_one({"_id": state_id, **MARK})
        except PyMongoError as error:
            raise Unavailable from error

    async def left_behind(self, age: timedelta) -> list[tuple[str, str, str]]:
        """(consultation, citizen, clerk) of canaries whose maker did not clean up for so long."""
        old = {**MARK, "canary_made_at": {"$lt": datetime.now(UTC) - age}}
        found = self._database[STATES].find(old, {"citizen.id": 1, "staff.id": 1})
        return [(d["_id"], d["citizen"]["id"], d["staff"]["id"]) async for d in found]
