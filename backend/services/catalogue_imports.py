"""Imports from the back office: a file comes in, is checked by a worker, and applied when an editor says so.

Here is the editors' side; `backend.services.import_work` does what is owed.
"""

from __future__ import annotations

import csv
import io
import tomllib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from backend.domain.access import Actor, Permission, require
from backend.domain.catalogue_imports import CatalogueImport, ImportState, check_applicable, check_cancellable
from backend.domain.errors import InvalidInput, NotFound
from backend.domain.ids import new_id
from backend.ports import Clock
from backend.services.audit import Audit
from backend.services.imports.mapping import ImportMapping, parse_mapping
from backend.storage.catalogue_imports import CatalogueImportStore, ImportNote, NoteKind
from backend.storage.documents import utc

AGGREGATE = "catalogue_import"
MAX_IMPORT = 50 * 1024 * 1024
MAX_MAPPING = 256 * 1024
_KINDS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv"}
_NOTES = 1000
#: Dots in a line: reading a dotted key takes time that grows with the square of its length.
_MAX_DOTS = 100


@dataclass(frozen=True, slots=True)
class ShippedMapping:
    """A mapping that comes with the product. `id` is the name of its file."""

    id: str
    name: str
    kind: str | None
    text: str


class CatalogueImports:
    """What editors do with imports. `mappings` is the folder of the shipped ones."""

    def __init__(self, *, imports: CatalogueImportStore, audit: Audit, clock: Clock, mappings: Path) -> None:
        self._imports = imports
        self._audit = audit
        self._clock = clock
        self._shipped = {mapping.id: mapping for mapping in map(_read_shipped, sorted(mappings.glob("*.toml")))}

    def mappings(self, actor: Actor) -> list[ShippedMapping]:
        """The mappings that come with the product."""
        require(actor, Permission.EDIT_CATALOGUE)
        return list(self._shipped.values())

    async def create(
        self,
        actor: Actor,
        content: IO[bytes],
        *,
        file_name: str,
        size: int,
        mapping: str | None,
        mapping_text: str | None,
    ) -> CatalogueImport:
        """Take a file in; a worker will check it. `mapping` names a shipped one, else `mapping_text` is one.

        Raises `InvalidInput`.
        """
        require(actor, Permission.EDIT_CATALOGUE)
        kind = _KINDS.get(Path(file_name).suffix.lower())
        name, text, chosen = self._mapping(mapping, mapping_text)
        kind = chosen.kind or kind
        if kind is None:
            raise InvalidInput("只能导入 .jsonl 或 .csv 文件。", field="file")
        if size == 0:
            raise InvalidInput("文件是空的。", field="file")
        now = utc(self._clock.now())
        item = CatalogueImport(
            id=new_id(),
            state=ImportState.QUEUED,
            file_name=file_name,
            kind=kind,
            bytes=size,
            mapping_name=name,
            mapping=text,
            created_by=actor.id,
            created_at=now,
        )
        await self._imports.put_file(item.id, file_name, content, now)
        await self._audit.save(
            actor,
            AGGREGATE,
            item.id,
            "created",
            version=1,
            changes={"file_name": file_name, "bytes": size, "mapping": name},
            write=lambda session: self._imports.add(item, session),
        )
        return item

    def _mapping(self, shipped: str | None, text: str | None) -> tuple[str, str, ImportMapping]:
        if (shipped is None) == (text is None):
            raise InvalidInput("请选择一个自带的映射，或上传一个映射文件。", field="mapping")
        if shipped is not None:
            if shipped not in self._shipped:
                raise InvalidInput("没有这个名称的映射。", field="mapping")
            found = self._shipped[shipped]
            return found.name or found.id, found.text, parse_mapping_text(found.text)
        mapping = parse_mapping_text(text or "")
        return mapping.name or "上传的映射", text or "", mapping

    async def get(self, actor: Actor, import_id: str) -> CatalogueImport:
        """Raises `NotFound`."""
        require(actor, Permission.EDIT_CATALOGUE)
        found = await self._imports.get(import_id)
        if found is None:
            raise NotFound("没有找到这次导入。")
        return found

    async def page(self, actor: Actor, *, before: str | None, limit: int) -> list[CatalogueImport]:
        """The newest first."""
        require(actor, Permission.EDIT_CATALOGUE)
        return await self._imports.page(before=before, limit=limit)

    async def notes(
        self, actor: Actor, import_id: str, kind: NoteKind, *, after: int | None, limit: int
    ) -> list[ImportNote]:
        """Warnings or rejects in the order of the file. Raises `NotFound`."""
        await self.get(actor, import_id)
        return await self._imports.notes(import_id, kind, after=after, limit=limit)

    async def rejects_csv(self, actor: Actor, import_id: str) -> AsyncIterator[bytes]:
        """All rejects as a spreadsheet opens them: UTF-8 with a byte order mark. Raises `NotFound` at once."""
        await self.get(actor, import_id)
        return self._csv(import_id)

    async def _csv(self, import_id: str) -> AsyncIterator[bytes]:
        yield "\ufeff".encode() + _line("行", "事项编码", "字段", "原因")
        after: int | None = None
        while notes := await self._imports.notes(import_id, NoteKind.REJECT, after=after, limit=_NOTES):
            yield b"".join(_line(str(n.row), n.code or "", n.field or "", n.reason) for n in notes)
            after = notes[-1].place

    async def apply(self, actor: Actor, import_id: str) -> CatalogueImport:
        """Have a checked import carried out. Raises `InvalidTransition` before the dry run is finished."""
        found = await self.get(actor, import_id)
        check_applicable(found)
        return await self._decide(
            actor, replace(found, state=ImportState.ACCEPTED, applied_by=actor.id, version=found.version + 1)
        )

    async def cancel(self, actor: Actor, import_id: str) -> CatalogueImport:
        """Stop an import where it is: what was published stays. Raises `InvalidTransition` for an ended one."""
        found = await self.get(actor, import_id)
        check_cancellable(found)
        ended_at = utc(self._clock.now())
        return await self._decide(
            actor, replace(found, state=ImportState.CANCELLED, ended_at=ended_at, version=found.version + 1)
        )

    async def _decide(self, actor: Actor, item: CatalogueImport) -> CatalogueImport:
        await self._audit.save(
            actor,
            AGGREGATE,
            item.id,
            item.state.value,
            version=item.version,
            write=lambda session: self._imports.save(item, self._clock.now(), session),
        )
        return await self.get(actor, item.id)


def parse_mapping_text(text: str) -> ImportMapping:
    """The mapping in a TOML text. Raises `InvalidInput` naming what is wrong in it."""
    if any(line.count(".") > _MAX_DOTS for line in text.splitlines()):
        raise InvalidInput(f"映射文件有一行的点号超过 {_MAX_DOTS} 个。", field="mapping_file")
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also numbers that are too long, tables in tables in tables
        raise InvalidInput(f"映射文件不是有效的 TOML：{str(error)[:200]}。", field="mapping_file") from error
    return parse_mapping(raw)


def _read_shipped(path: Path) -> ShippedMapping:
    text = path.read_text(encoding="utf-8")
    mapping = parse_mapping_text(text)
    return ShippedMapping(path.stem, mapping.name, mapping.kind, text)


def _line(*cells: str) -> bytes:
    """One line of CSV. A cell that a spreadsheet would take for a formula is marked as text."""
    line = io.StringIO()
    csv.writer(line).writerow(
        [f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell for cell in cells]
    )
    return line.getvalue().encode()
