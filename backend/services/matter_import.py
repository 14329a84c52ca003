"""Importing a catalogue: a file and a mapping in, published versions and a report out.

Idempotent: a row that says what the catalogue says already changes nothing. Departments come out of the
rows, each with one post that answers for all its matters; the post has no holder, so it shows as unstaffed
and its questions fall to the duty lead and then to triage, until somebody is appointed.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

from backend.domain.access import Actor, Permission, require
from backend.domain.catalogue import MatterDraft
from backend.domain.ids import derived_id
from backend.domain.organisation import Department, DepartmentKind, Post, Responsibility
from backend.services.imports.mapping import ImportMapping
from backend.services.imports.reading import ReadRow, RowNote, read_matter
from backend.services.imports.rows import read_rows
from backend.services.matters import MatterService
from backend.storage.organisation import OrganisationStore

BATCH = 500

_STREET = re.compile(r"(街道办事处|街道|镇人民政府|乡人民政府)$")

Progress = Callable[[int], None]

_T = TypeVar("_T")


@dataclass(slots=True)
class ImportReport:
    """What an import did (or, `dry_run`, would do). `seconds` is the whole run."""

    dry_run: bool
    rows: int = 0
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    departments_added: int = 0
    posts_added: int = 0
    seconds: float = 0.0
    warnings: list[RowNote] = field(default_factory=list)
    rejects: list[RowNote] = field(default_factory=list)


class MatterImporter:
    """Imports catalogue files."""

    def __init__(self, *, matters: MatterService, organisation: OrganisationStore) -> None:
        self._matters = matters
        self._organisation = organisation

    async def run(
        self,
        actor: Actor,
        path: Path,
        mapping: ImportMapping,
        *,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> ImportReport:
        """Import `path`. `progress` is called with the number of rows done.

        Raises `Forbidden`, and `InvalidInput` when the file as a whole cannot be read; a bad row is
        reported and the others go on. Rows are published in batches: an import that is cut off has
        published its first batches, and running it again does the rest.
        """
        require(actor, Permission.EDIT_CATALOGUE)
        started = time.perf_counter()
        report = ImportReport(dry_run)
        first_rows: dict[str, int] = {}
        for batch in _batches(read_rows(path, kind=mapping.kind), BATCH):
            read = [read_matter(row, mapping) for row in batch]
            drafts = accepted(read, first_rows, report)
            if drafts:
                await self._take(actor, drafts, report)
            report.rows += len(batch)
            if progress is not None:
                progress(report.rows)
        if not dry_run:
            await self._matters.refresh()
        report.seconds = time.perf_counter() - started
        return report

    async def _take(self, actor: Actor, drafts: Sequence[MatterDraft], report: ImportReport) -> None:
        drafts = await at_known_departments(self._organisation, drafts)
        departments, posts, rules = organisation_of(drafts)
        if report.dry_run:
            result = await self._matters.preview(actor, drafts)
            report.departments_added += await self._missing(departments)
        else:
            # the departments first: a matter never stands in the catalogue without somebody responsible
            report.departments_added += await self._organisation.departments.add_missing(departments)
            report.posts_added += await self._organisation.posts.add_missing(posts)
            await self._organisation.responsibilities.add_missing(rules)
            result = await self._matters.publish(actor, drafts)
        report.added += len(result.added)
        report.changed += len(result.changed)
        report.unchanged += result.unchanged

    async def _missing(self, departments: Sequence[Department]) -> int:
        return len(departments) - len(await self._organisation.departments.many(d.id for d in departments))


def _batches(rows: Iterable[_T], size: int) -> Iterator[list[_T]]:
    iterator = iter(rows)
    while batch := list(islice(iterator, size)):
        yield batch


def accepted(read: Iterable[ReadRow], first_rows: dict[str, int], report: ImportReport) -> list[MatterDraft]:
    """The drafts of rows that are good and whose code did not come before; notes go into the report."""
    drafts = []
    for row in read:
        if row.draft is None:
            if row.reject is not None:
                report.rejects.append(row.reject)
            continue
        first = first_rows.setdefault(row.draft.code, row.number)
        if first != row.number:
            reason = f"事项编码与第 {first} 行相同。"
            report.rejects.append(RowNote(row.number, row.draft.code, "code", reason))
            continue
        report.warnings.extend(row.warnings)
        drafts.append(row.draft)
    return drafts


async def at_known_departments(organisation: OrganisationStore, drafts: Sequence[MatterDraft]) -> list[MatterDraft]:
    """The drafts, at the departments that have their codes already: one made by hand has an id of its own."""
    found = await organisation.departments.find({"code": {"$in": sorted({d.department_code for d in drafts})}})
    ids = {department.code: department.id for department in found}
    return [replace(draft, known_department_id=ids.get(draft.department_code)) for draft in drafts]


def organisation_of(
    drafts: Iterable[MatterDraft],
) -> tuple[list[Department], list[Post], list[Responsibility]]:
    """The departments of `drafts`, the post of each, and the rule that it answers for everything there.

    Ids follow from the department's code, so that what exists is recognised and left as it is.
    """
    departments: dict[str, Department] = {}
    for draft in drafts:
        if draft.department_id not in departments:
            kind = DepartmentKind.STREET if _STREET.search(draft.department_name) else DepartmentKind.BUREAU
            departments[draft.department_id] = Department(
                id=draft.department_id,
                code=draft.department_code,
                name=draft.department_name,
                kind=kind,
                area_code=draft.area_code,
            )
    posts = [
        Post(id=derived_id("post", f"{d.code}:general"), department_id=d.id, name="综合业务岗")
        for d in departments.values()
    ]
    rules = [
        Responsibility(id=derived_id("responsibility", d.code), department_id=d.id, post_id=post.id)
        for d, post in zip(departments.values(), posts, strict=True)
    ]
    return list(departments.values()), posts, rules
