"""Deadlines of open cases follow the calendar.

Every case says with which calendar its running clocks were reckoned. When the calendar has moved on (a local day
was closed or opened, or a year was published and its table installed), whoever works through the older ones
reckons each anew: one step of the case with its event and its timers, or, where nothing comes out different, a
mark. Any number of workers may do so at once and be stopped at any point: what is left to do stands in the cases.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

import structlog

from backend.domain.access import SYSTEM
from backend.domain.case_clocks import reckon
from backend.domain.case_steps import Step
from backend.domain.cases import Case
from backend.domain.errors import InvalidTransition, NotFound
from backend.domain.matters import Guide
from backend.domain.procedure import CaseAction
from backend.services.case_steps import NO_TAP, CaseSteps
from backend.storage.failures import is_storage_failure

log = structlog.get_logger()

_BATCH = 100


class CaseReckoning:
    def __init__(self, *, steps: CaseSteps) -> None:
        self._steps = steps

    async def sweep(self) -> int:
        """Reckon every case anew that an older calendar gave its deadlines; how many are up to date now. One that
        fails is tried again at the next sweep."""
        calendar = await self._steps.calendars.refresh()
        failed: set[str] = set()
        count = 0
        while len(failed) < _BATCH and (
            found := await self._steps.store.reckoned_before(calendar.stamp, limit=_BATCH, spared=failed)
        ):
            for case_id, stamp in found:
                try:
                    await self._reckon(case_id, stamp)
                    count += 1
                except (NotFound, InvalidTransition):
                    failed.add(case_id)  # it has come to its end meanwhile
                except Exception as error:
                    if is_storage_failure(error):
                        raise
                    log.exception("case_not_reckoned", case_id=case_id)
                    failed.add(case_id)
        return count

    async def catch_up(self, case_id: str) -> None:
        """Reckon one case anew if its deadlines come from an older calendar."""
        calendar = await self._steps.calendars.current()
        stamp = await self._steps.store.reckoned_with(case_id)
        if stamp is None or stamp >= calendar.stamp:
            return
        with suppress(NotFound, InvalidTransition):  # it has come to its end meanwhile
            await self._reckon(case_id, stamp)

    async def _reckon(self, case_id: str, known_before: int) -> None:
        calendar = self._steps.calendar

        def decide(case: Case, guide: Guide, now: datetime) -> Step:
            return reckon(
                case, guide=guide, by=SYSTEM, now=now, calendar=self._steps.calendar, known_before=known_before
            )

        case = await self._steps.step(SYSTEM, case_id, CaseAction.RECKON, NO_TAP, decide)
        await self._steps.store.mark_reckoned(case, calendar.stamp)
