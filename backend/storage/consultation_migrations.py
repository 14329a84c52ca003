"""What earlier versions left in the collections of consultations, brought up to date."""

from __future__ import annotations

from backend.domain.consultations import Consultation, apply
from backend.storage.consultations import OPS, STATES
from backend.storage.database import Database
from backend.storage.documents import to_document
from backend.storage.operation_documents import operation_from_document


async def refold(database: Database) -> None:
    """Fold the states anew that were cached before messages were counted in them."""
    states, ops = database[STATES], database[OPS]
    async for known in states.find({"citizen_said": {"$exists": False}}, {"_id": 1}):
        state: Consultation | None = None
        async for document in ops.find({"consultation_id": known["_id"]}).sort("seq", 1):
            state = apply(state, operation_from_document(document))
        if state is not None:
            fields = to_document(state)
            await states.update_one({"_id": fields.pop("_id"), "last_seq": {"$lte": state.last_seq}}, {"$set": fields})
