"""Answers that reach citizens who are not there: a notice in the app for what they have not read.

What is owed stands in the log (`relayed: false` on what staff said). A notice has an id derived from the
operation's, so a relay that died in the middle is simply repeated, by any node.
"""

from __future__ import annotations

from datetime import timedelta

import structlog

from backend.domain.consultation_content import preview_of
from backend.domain.consultation_operations import Message, Operation
from backend.domain.ids import derived_id
from backend.jobs.loop import repeat
from backend.ports import Clock
from backend.storage.consultations import ConsultationStore
from backend.storage.notices import Notice, NoticeStore

log = structlog.get_logger()

#: A citizen who is there has read an answer by then; only who has not is told.
GRACE = timedelta(seconds=5)


class ConsultationRelay:
    """Drains what staff said into notices; `pause` seconds lie between looks when there is nothing to do."""

    def __init__(
        self,
        *,
        store: ConsultationStore,
        notices: NoticeStore,
        clock: Clock,
        grace: timedelta = GRACE,
        pause: float = 1.0,
    ) -> None:
        self._store = store
        self._notices = notices
        self._clock = clock
        self._grace = grace
        self._pause = pause

    async def run(self) -> None:
        """Relay until cancelled. A database that is away is waited for."""
        await repeat("consultation_relay", self.drain, pause=self._pause)

    async def drain(self, limit: int = 200) -> int:
        """Relay what is due now; how many answers were."""
        before = self._clock.now() - self._grace
        due = await self._store.unrelayed(before, limit)
        for operation in due:
            await self._tell(operation)
        await self._store.mark_relayed([operation.id for operation in due])
        return len(due)

    async def _tell(self, operation: Operation) -> None:
        state = await self._store.state(operation.consultation_id)
        if state is None or not isinstance(operation.payload, Message):
            return
        readers = await self._store.receipts.of(operation.consultation_id)
        if any(party.kind == "citizen" and read >= operation.seq for party, _, read in readers):
            return
        text = preview_of(operation.payload.content)
        await self._notices.add(
            Notice(
                id=derived_id("notice", operation.id),
                citizen_id=state.citizen.id,
                subject="consultation",
                subject_id=state.id,
                kind="answered",
                title="您的咨询有新的答复",
                text=f"{operation.sender.name or '工作人员'}：{text}",
                at=operation.at,
            )
        )
