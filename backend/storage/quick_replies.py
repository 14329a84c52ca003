"""Quick replies in MongoDB."""

from __future__ import annotations

from collections.abc import Sequence

from backend.domain.quick_replies import QuickReply, ReplyList
from backend.storage.database import Database, Document, IndexDeclaration, Session
from backend.storage.documents import from_document
from backend.storage.kept import Kept

INDEXES: list[IndexDeclaration] = [
    ("quick_replies", [("scope", 1), ("owner_id", 1), ("position", 1), ("_id", 1)], {"name": "list"}),
    (
        "quick_replies",
        [("scope", 1), ("owner_id", 1), ("shortcut", 1)],
        {"unique": True, "name": "shortcut", "partialFilterExpression": {"shortcut": {"$type": "string"}}},
    ),
]


class QuickReplyStore:
    def __init__(self, database: Database) -> None:
        self._replies = database["quick_replies"]
        self.kept = Kept(self._replies, QuickReply)

    async def of(self, lists: Sequence[ReplyList], *, session: Session | None = None) -> list[QuickReply]:
        """All replies of these lists: list by list as named, each in its order."""
        if not lists:
            return []
        found = self._replies.find({"$or": [_where(wanted) for wanted in lists]}, session=session)
        replies = [from_document(QuickReply, document) async for document in found]
        rank = {wanted: number for number, wanted in enumerate(lists)}
        return sorted(replies, key=lambda reply: (rank[reply.list], reply.position, reply.id))


def _where(wanted: ReplyList) -> Document:
    return {"scope": wanted.scope.value, "owner_id": wanted.owner_id}
