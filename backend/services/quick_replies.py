"""Quick replies: one's own, the department's, the district's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import structlog

from backend.domain.access import Actor, Permission, allows, require
from backend.domain.errors import EditConflict, Forbidden, InvalidInput, NotFound
from backend.domain.quick_replies import (
    MAX_REPLIES,
    QuickReply,
    ReplyList,
    ReplyScope,
    TooManyReplies,
    check_reply,
)
from backend.services.audit import Audit
from backend.storage.database import Database, retry_transient
from backend.storage.kept import AlreadyThere
from backend.storage.organisation import OrganisationStore
from backend.storage.quick_replies import QuickReplyStore

log = structlog.get_logger()

AGGREGATE = "quick_reply"


class QuickReplyService:
    """Who may keep which list is in the table of rights; every change states the version it read."""

    def __init__(
        self, *, database: Database, audit: Audit, replies: QuickReplyStore, organisation: OrganisationStore
    ) -> None:
        self._database = database
        self._audit = audit
        self._store = replies
        self._organisation = organisation

    async def readable(self, actor: Actor, *, department_id: str | None = None) -> list[QuickReply]:
        """One's own, one's department's, the district's, each list in its order. With `department_id`, that
        department's instead of one's own, for who keeps it: else `NotFound`."""
        require(actor, Permission.KEEP_QUICK_REPLIES)
        if department_id is not None and department_id != actor.department_id:
            await self._require_department(actor, department_id)
        lists = [ReplyList(ReplyScope.OWN, actor.id)] if allows(actor, Permission.ANSWER) else []
        if department := department_id or actor.department_id:
            lists.append(ReplyList(ReplyScope.DEPARTMENT, department))
        return await self._store.of([*lists, ReplyList(ReplyScope.DISTRICT, None)])

    def editable(self, actor: Actor, reply: QuickReply) -> bool:
        """Whether the actor may change this one."""
        return _keeps(actor, reply.list)

    async def create(
        self,
        actor: Actor,
        reply_id: str,
        *,
        scope: ReplyScope,
        department_id: str | None,
        title: str,
        text: str,
        shortcut: str | None,
    ) -> QuickReply:
        """Add one at the end of a list. An id that is there already is answered as it is.

        Raises `Forbidden` for a list the actor does not keep, `InvalidInput`, `TooManyReplies`, `AlreadyThere`
        for a shortcut that another reply of the list has.
        """
        wanted = await self._list(actor, scope, department_id)
        present = await self._store.of([wanted])
        known = next((reply for reply in present if reply.id == reply_id), None)
        if known is not None:
            return known
        if len(present) >= MAX_REPLIES:
            raise TooManyReplies(f"每个列表最多 {MAX_REPLIES} 条常用语，请先删除不用的。")
        reply = QuickReply(
            id=reply_id,
            scope=scope,
            owner_id=wanted.owner_id,
            title=title.strip(),
            text=text.strip(),
            position=present[-1].position + 1 if present else 0,
            shortcut=shortcut,
        )
        check_reply(reply)
        try:
            await self._audit.save(
                actor,
                AGGREGATE,
                reply.id,
                "created",
                version=1,
                changes=_fields(reply),
                write=lambda session: self._store.kept.add(reply, session),
            )
        except AlreadyThere as error:
            found = await self._store.kept.get(reply.id)
            if found is None or found.list != wanted:
                raise _taken() from error
            return found
        log.info("quick_reply_created", id=reply.id, scope=scope.value, by=actor.id)
        return reply

    async def update(self, actor: Actor, reply_id: str, changes: Mapping[str, Any], *, version: int) -> QuickReply:
        """Change title, text or shortcut. Raises `EditConflict`, `AlreadyThere`, `InvalidInput`."""
        read = await self._current(actor, reply_id, version)
        changed = replace(read, **changes, version=version + 1)
        check_reply(changed)
        try:
            await self._audit.save(
                actor,
                AGGREGATE,
                reply_id,
                "changed",
                version=changed.version,
                changes=changes,
                write=lambda session: self._store.kept.save(changed, read_version=version, session=session),
            )
        except AlreadyThere as error:
            raise _taken() from error
        return changed

    async def delete(self, actor: Actor, reply_id: str, *, version: int) -> None:
        """Raises `NotFound`, `EditConflict`."""
        reply = await self._current(actor, reply_id, version)
        await self._audit.save(
            actor,
            AGGREGATE,
            reply_id,
            "deleted",
            version=version + 1,
            changes=_fields(reply),
            write=lambda session: self._store.kept.delete(reply_id, read_version=version, session=session),
        )

    async def order(
        self, actor: Actor, scope: ReplyScope, department_id: str | None, ids: Sequence[str]
    ) -> list[QuickReply]:
        """Put a list into the order of `ids`, which name every reply of it once; the list as it is then.

        Raises `EditConflict` when the list holds others meanwhile.
        """
        wanted = await self._list(actor, scope, department_id)

        async def work() -> list[QuickReply]:
            async with self._database.transaction() as session:
                present = {reply.id: reply for reply in await self._store.of([wanted], session=session)}
                if set(present) != set(ids) or len(ids) != len(present):
                    raise EditConflict("常用语列表已有变化，请刷新后再排序。")
                ordered = []
                for position, reply_id in enumerate(ids):
                    reply = present[reply_id]
                    if reply.position != position:
                        read, reply = reply, replace(reply, position=position, version=reply.version + 1)
                        await self._store.kept.save(reply, read_version=read.version, session=session)
                        await self._audit.note(
                            actor,
                            AGGREGATE,
                            reply_id,
                            "moved",
                            version=reply.version,
                            changes={"position": position},
                            session=session,
                        )
                    ordered.append(reply)
                return ordered

        return await retry_transient(work)

    async def seed(self, actor: Actor, replies: Iterable[QuickReply]) -> int:
        """Add what is not there yet and change nothing else; how many were added."""
        require(actor, Permission.KEEP_QUICK_REPLIES)
        return await self._store.kept.add_missing(replies)

    async def _list(self, actor: Actor, scope: ReplyScope, department_id: str | None) -> ReplyList:
        """The list that is meant, if the actor keeps it."""
        require(actor, Permission.KEEP_QUICK_REPLIES)
        if scope is not ReplyScope.DEPARTMENT:
            if department_id is not None:
                raise InvalidInput("只有部门的常用语需要指定部门。", field="department_id")
            wanted = ReplyList(scope, actor.id if scope is ReplyScope.OWN else None)
        else:
            department = department_id or actor.department_id
            if department is None:
                raise InvalidInput("请指定部门。", field="department_id")
            if department != actor.department_id:
                await self._require_department(actor, department)
            wanted = ReplyList(scope, department)
        if not _keeps(actor, wanted):
            raise Forbidden("这个范围的常用语由部门负责人或管理员维护。")
        return wanted

    async def _require_department(self, actor: Actor, department_id: str) -> None:
        require(actor, Permission.KEEP_QUICK_REPLIES, ReplyList(ReplyScope.DEPARTMENT, department_id).target)
        if await self._organisation.department(department_id) is None:
            raise InvalidInput("没有这个部门。", field="department_id")

    async def _current(self, actor: Actor, reply_id: str, version: int) -> QuickReply:
        """A reply the actor keeps. One that the actor merely sees is forbidden, any other is not there."""
        require(actor, Permission.KEEP_QUICK_REPLIES)
        reply = await self._store.kept.get(reply_id)
        if reply is None:
            raise NotFound
        if not _keeps(actor, reply.list):
            shared = (ReplyList(ReplyScope.DEPARTMENT, actor.department_id), ReplyList(ReplyScope.DISTRICT, None))
            raise Forbidden("这条常用语由部门负责人或管理员维护。") if reply.list in shared else NotFound
        if reply.version != version:
            raise EditConflict
        return reply


def _keeps(actor: Actor, wanted: ReplyList) -> bool:
    """Whether the actor may change a list. One's own is one's own, even for who may change all that is shared,
    and for those who answer alone."""
    if wanted.scope is ReplyScope.OWN and (wanted.owner_id != actor.id or not allows(actor, Permission.ANSWER)):
        return False
    return allows(actor, Permission.KEEP_QUICK_REPLIES, wanted.target)


def _taken() -> AlreadyThere:
    return AlreadyThere("这个列表里已有一条常用语用了相同的缩写。", field="shortcut")


def _fields(reply: QuickReply) -> dict[str, Any]:
    return {field.name: getattr(reply, field.name) for field in fields(reply)}
