"""An import of a catalogue file as it stands: checked first, and applied when somebody says so."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from backend.domain.errors import InvalidTransition


class ImportState(StrEnum):
    """queued → checking → checked → accepted → applying → applied; failed or cancelled at any time before."""

    QUEUED = "queued"  # waits for a worker to check it
    CHECKING = "checking"  # the dry run is under way
    CHECKED = "checked"  # the dry run is finished; nothing was written
    ACCEPTED = "accepted"  # somebody said apply; waits for a worker
    APPLYING = "applying"
    APPLIED = "applied"
    FAILED = "failed"
    CANCELLED = "cancelled"


#: A worker is wanted or at work.
OPEN = (ImportState.QUEUED, ImportState.CHECKING, ImportState.ACCEPTED, ImportState.APPLYING)
#: Nothing will happen any more; the file is not needed.
ENDED = (ImportState.APPLIED, ImportState.FAILED, ImportState.CANCELLED)


@dataclass(frozen=True, slots=True)
class ImportCounts:
    """Rows by what they do to the catalogue; departments that are new."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    departments: int = 0


@dataclass(frozen=True, slots=True)
class CatalogueImport:
    """One import. `mapping` is its TOML text, `rows_total` None until the rows were counted.

    `rows_done` counts in the run that is under way. `check` is what the dry run found, `result` what was
    really done so far. `problem` says why it failed.
    """

    id: str
    state: ImportState
    file_name: str
    kind: str  # jsonl, csv
    bytes: int
    mapping_name: str
    mapping: str
    created_by: str  # staff
    created_at: datetime
    rows_total: int | None = None
    rows_done: int = 0
    warnings: int = 0
    rejects: int = 0
    check: ImportCounts | None = None
    result: ImportCounts | None = None
    applied_by: str | None = None
    ended_at: datetime | None = None
    problem: str | None = None
    version: int = 1  # counts the actions, and is the sequence of their events


def check_applicable(found: CatalogueImport) -> None:
    """Raises `InvalidTransition` unless the dry run is finished and nothing was applied yet."""
    if found.state in (ImportState.QUEUED, ImportState.CHECKING):
        raise InvalidTransition("试运行还没有结束，请稍候。")
    if found.state is not ImportState.CHECKED:
        raise InvalidTransition("这次导入已经执行、失败或取消，不能再执行。")


def check_cancellable(found: CatalogueImport) -> None:
    """Raises `InvalidTransition` for an import that has ended."""
    if found.state in ENDED:
        raise InvalidTransition("这次导入已经结束。")
