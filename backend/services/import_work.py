"""The worker's side of imports: the dry run, and the real one when somebody said so.

A batch and the note of how far the work came are one transaction: whoever takes over after a process was
killed goes on behind the last batch, nothing is published twice and every row is counted once.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from itertools import islice
from pathlib import Path

import structlog

from backend.domain.access import SYSTEM
from backend.domain.catalogue import MatterDraft, publish
from backend.domain.catalogue_imports import CatalogueImport, ImportCounts, ImportState
from backend.domain.errors import InvalidInput
from backend.domain.events import record
from backend.domain.ids import new_id
from backend.domain.matters import Matter
from backend.ports import Clock
from backend.services.catalogue import Catalogue
from backend.services.catalogue_imports import AGGREGATE, parse_mapping_text
from backend.services.imports.mapping import ImportMapping
from backend.services.imports.reading import RowNote, read_matter
from backend.services.imports.rows import Row, read_rows
from backend.services.matter_import import ImportReport, accepted, at_known_departments, organisation_of
from backend.storage.catalogue_imports import (
    CatalogueImportStore,
    ClaimedImport,
    ImportLost,
    ImportNote,
    NoteKind,
)
from backend.storage.database import Database, Session, is_transient, retry_transient
from backend.storage.documents import utc
from backend.storage.events import EventStore
from backend.storage.failures import is_storage_failure
from backend.storage.matters import MatterStore
from backend.storage.organisation import OrganisationStore

log = structlog.get_logger()

#: Rows in a batch: about half a second's work, so that the progress moves and a lease lasts.
BATCH = 200
#: An import that was taken up so often without coming on is given up.
_MAX_TRIES = 5
#: Attempts at a batch, some eighty seconds: a killed process's transaction holds what it touched for a minute.
_PATIENCE = 14
_LEFT_OVER = timedelta(hours=6)


class ImportWork:
    """Does what is owed on imports, one at a time."""

    def __init__(
        self,
        *,
        database: Database,
        imports: CatalogueImportStore,
        matters: MatterStore,
        organisation: OrganisationStore,
        events: EventStore,
        catalogue: Catalogue,
        clock: Clock,
        batch: int = BATCH,
    ) -> None:
        self._database = database
        self._imports = imports
        self._matters = matters
        self._organisation = organisation
        self._events = events
        self._catalogue = catalogue
        self._clock = clock
        self._batch = batch

    async def once(self) -> int:
        """Take up one import that wants a worker and bring it to the end of its run; how many that were."""
        claimed = await self._imports.claim(self._clock.now(), new_id())
        if claimed is None:
            return 0
        try:
            if claimed.tries > _MAX_TRIES:
                raise InvalidInput("多次处理都没有进展，已停止。请检查文件，或分成几个较小的文件。")
            await self._run(claimed)
        except ImportLost:
            log.info("import_lost", import_id=claimed.item.id)
        except InvalidInput as error:
            await self._fail(claimed, error.detail)
        except Exception as error:
            if is_storage_failure(error) or is_transient(error):
                raise  # the lease runs out, and somebody takes it up again
            log.exception("import_failed", import_id=claimed.item.id)
            await self._fail(claimed, "处理时出错，已停止；已经发布的保留。请检查文件，或联系系统管理员。")
        return 1

    async def tidy(self) -> int:
        """Delete files that no import needs any more; how many that were."""
        return await self._imports.forget_files(self._clock.now() - _LEFT_OVER)

    # --- one run -----------------------------------------------------------------------------

    async def _run(self, claimed: ClaimedImport) -> None:
        item = claimed.item
        applying = item.state in (ImportState.ACCEPTED, ImportState.APPLYING)
        mapping = parse_mapping_text(item.mapping)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows"
            with path.open("wb") as file:
                await self._imports.read_file(item.id, file)
            if item.rows_total is None:
                total = await asyncio.to_thread(lambda: sum(1 for _ in read_rows(path, kind=item.kind)))
                item = await self._note(claimed, {"rows_total": total}, came_on=False)
            if item.state in (ImportState.QUEUED, ImportState.ACCEPTED):
                began = {"state": ImportState.APPLYING if applying else ImportState.CHECKING, "rows_done": 0}
                item = await self._note(claimed, began, came_on=False)
            await self._rows(claimed, item, path, mapping, applying=applying)
        if applying:
            await self._catalogue.refresh()

    async def _rows(
        self, claimed: ClaimedImport, item: CatalogueImport, path: Path, mapping: ImportMapping, *, applying: bool
    ) -> None:
        """Every batch that is not done yet. Rows done are read again: a code counts where it comes first."""
        rows = read_rows(path, kind=item.kind)
        first_rows: dict[str, int] = {}
        done, began_at = 0, item.rows_done
        while batch := await asyncio.to_thread(_next, rows, _size(self._batch, began_at - done)):
            report = ImportReport(dry_run=not applying)
            drafts = await asyncio.to_thread(_read, batch, mapping, first_rows, report)
            done += len(batch)
            if done <= began_at:
                continue
            if applying:
                item = await self._apply(claimed, item, drafts, done)
            else:
                item = await self._check(claimed, item, drafts, report, done)
        await self._finish(claimed, item, ImportState.APPLIED if applying else ImportState.CHECKED)

    async def _check(
        self,
        claimed: ClaimedImport,
        item: CatalogueImport,
        drafts: Sequence[MatterDraft],
        report: ImportReport,
        done: int,
    ) -> CatalogueImport:
        drafts = await at_known_departments(self._organisation, drafts)
        departments, _, _ = organisation_of(drafts)
        known = await self._organisation.departments.many(d.id for d in departments)
        new = {d.id for d in departments if d.id not in known}
        current = await self._matters.known(draft.id for draft in drafts)
        made = [publish(current.get(draft.id), draft, now=self._clock.now()) for draft in drafts]
        seen = await self._imports.departments(item.id) | new
        # places follow from the counts at the last batch: a batch that is done again overwrites its notes
        await self._imports.add_notes(item.id, NoteKind.WARNING, _noted(report.warnings, item.warnings))
        await self._imports.add_notes(item.id, NoteKind.REJECT, _noted(report.rejects, item.rejects))
        return await self._note(
            claimed,
            {
                "rows_done": done,
                "warnings": item.warnings + len(report.warnings),
                "rejects": item.rejects + len(report.rejects),
                "check": _counts(item.check, [m for m in made if m is not None], len(drafts), len(seen)),
            },
            departments=new,
        )

    async def _apply(
        self, claimed: ClaimedImport, item: CatalogueImport, drafts: Sequence[MatterDraft], done: int
    ) -> CatalogueImport:
        drafts = await at_known_departments(self._organisation, drafts)
        departments, posts, rules = organisation_of(drafts)
        # the departments first: a matter never stands in the catalogue without somebody responsible
        added = await self._organisation.departments.add_missing(departments)
        await self._organisation.posts.add_missing(posts)
        await self._organisation.responsibilities.add_missing(rules)
        by_id, now = {draft.id: draft for draft in drafts}, utc(self._clock.now())
        before = item.result.departments if item.result is not None else 0

        def decide(current: Mapping[str, Matter]) -> list[Matter]:
            made = (publish(current.get(i), d, now=now, by=item.applied_by or SYSTEM.id) for i, d in by_id.items())
            return [version for version in made if version is not None]

        async def work() -> CatalogueImport:
            async with self._database.transaction() as session:
                fresh = await self._matters.publish_within(session, by_id, decide)
                counts = _counts(item.result, fresh, len(drafts), before + added)
                return await self._note(claimed, {"rows_done": done, "result": counts}, session=session)

        return await retry_transient(work, attempts=_PATIENCE)

    async def _note(
        self,
        claimed: ClaimedImport,
        changes: Mapping[str, object],
        *,
        departments: set[str] | frozenset[str] = frozenset(),
        came_on: bool = True,
        session: Session | None = None,
    ) -> CatalogueImport:
        return await self._imports.progress(
            claimed, self._clock.now(), changes, departments=departments, came_on=came_on, session=session
        )

    # --- the end -----------------------------------------------------------------------------

    async def _fail(self, claimed: ClaimedImport, problem: str) -> None:
        item = await self._imports.get(claimed.item.id)
        if item is None:
            return
        try:
            await self._finish(claimed, item, ImportState.FAILED, problem)
        except ImportLost:
            log.info("import_lost", import_id=item.id)

    async def _finish(
        self, claimed: ClaimedImport, item: CatalogueImport, state: ImportState, problem: str | None = None
    ) -> None:
        now, version = utc(self._clock.now()), item.version + 1
        ended = None if state is ImportState.CHECKED else now
        counts = {name: asdict(c) for name, c in (("check", item.check), ("result", item.result)) if c is not None}
        event = record(
            AGGREGATE, item.id, version, state.value, at=now, by=SYSTEM, changes={"problem": problem, **counts}
        )

        async def work() -> None:
            async with self._database.transaction() as session:
                changes: dict[str, object] = {"state": state, "version": version, "ended_at": ended, "problem": problem}
                if state is ImportState.CHECKED and item.check is None:  # not one row
                    changes["check"] = ImportCounts()
                if state is ImportState.APPLIED and item.result is None:
                    changes["result"] = ImportCounts()
                await self._note(claimed, changes, session=session)
                await self._events.append(event, session=session, announce=False)

        await retry_transient(work)
        log.info("import_ended", import_id=item.id, state=state.value, rows=item.rows_done)


def _size(batch: int, known: int) -> int:
    """How many rows to read: never some that are done together with some that are not."""
    return min(batch, known) if known > 0 else batch


def _next(rows: Iterator[Row], size: int) -> list[Row]:
    return list(islice(rows, size))


def _read(
    batch: Sequence[Row], mapping: ImportMapping, first_rows: dict[str, int], report: ImportReport
) -> list[MatterDraft]:
    return accepted((read_matter(row, mapping) for row in batch), first_rows, report)


def _noted(notes: Sequence[RowNote], place: int) -> list[ImportNote]:
    return [ImportNote(place + n, note.row, note.code, note.field, note.reason) for n, note in enumerate(notes)]


def _counts(before: ImportCounts | None, fresh: Sequence[Matter], rows: int, departments: int) -> ImportCounts:
    known = before or ImportCounts()
    added = sum(matter.version == 1 for matter in fresh)
    return ImportCounts(
        added=known.added + added,
        changed=known.changed + len(fresh) - added,
        unchanged=known.unchanged + rows - len(fresh),
        departments=departments,
    )
