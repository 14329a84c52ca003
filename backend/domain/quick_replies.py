"""Quick replies (常用语): sentences that clerks insert into consultations and then send or change.

The text may hold placeholders, which the desk fills where it knows them: {事项} the matter's name, {称呼}
how the citizen is addressed, {我的姓名} the clerk's own name. What the desk does not know stays for the
clerk to fill, so the server keeps the text as it was written.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from backend.domain.access import Target
from backend.domain.errors import Conflict, InvalidInput

#: The names that a desk fills.
PLACEHOLDERS = ("事项", "称呼", "我的姓名")
#: More than this in one list nobody finds anything in.
MAX_REPLIES = 200


class ReplyScope(StrEnum):
    """Whose a quick reply is, in the order in which they are shown."""

    OWN = "own"
    DEPARTMENT = "department"
    DISTRICT = "district"


class TooManyReplies(Conflict):
    """The list is full."""

    code = "too-many-quick-replies"
    title = "常用语已达到数量上限"


@dataclass(frozen=True, slots=True)
class ReplyList:
    """One of the lists: somebody's own, a department's, or the district's (`owner_id` None)."""

    scope: ReplyScope
    owner_id: str | None

    @property
    def target(self) -> Target:
        """What access decisions need to know of it."""
        if self.owner_id is not None and self.scope is ReplyScope.OWN:
            return Target(staff_ids=frozenset({self.owner_id}))
        return Target(department_id=self.owner_id if self.scope is ReplyScope.DEPARTMENT else None)


@dataclass(frozen=True, slots=True)
class QuickReply:
    """`owner_id` is the member of the staff, the department, or None for the district. `shortcut` are lower-case
    letters that no other reply of the same list has. `position` orders a list, equals by id."""

    id: str
    scope: ReplyScope
    owner_id: str | None
    title: str
    text: str
    position: int
    shortcut: str | None = None
    version: int = 1

    @property
    def list(self) -> ReplyList:
        return ReplyList(self.scope, self.owner_id)


def check_reply(reply: QuickReply) -> None:
    """Raises `InvalidInput` for a reply without words."""
    if not reply.title.strip():
        raise InvalidInput("请填写标题。", field="title")
    if not reply.text.strip():
        raise InvalidInput("请填写回复内容。", field="text")
