"""Transcripts of consultations (咨询记录副本): for both sides and for supervision, and whether one is true.

The log may be long: it is read in stretches and worked on in slices, so that the event loop serves others in
between; pages are laid out in a process of their own.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from backend.domain.access import Actor
from backend.domain.consultation_operations import (
    Audience,
    Operation,
    Recall,
    attachments_of,
    view_for,
)
from backend.domain.consultations import Consultation, apply
from backend.domain.errors import NotFound, TooLarge
from backend.domain.transcripts import ReadMark, Transcript, as_of, lines_of
from backend.ports import Clock
from backend.services.consultation_base import audience_of, party_of
from backend.services.transcript_lines import canonical_line
from backend.storage.consultation_photos import ConsultationPhotoStore
from backend.storage.consultations import ConsultationStore

#: Operations of a transcript, at most; a long talk of years has some thousand.
MAX_OPERATIONS = 20_000
_STRETCH = 500
_SLICE = 100
_BOM = b"\xef\xbb\xbf"


class Reader(Protocol):
    """Who decides whether somebody may read, and records it (`ConsultationService`)."""

    async def read_for(self, actor: Actor, consultation_id: str, what: str) -> Consultation: ...


class Printer(Protocol):
    async def make(self, *, title: str, foot: str, lines: Sequence[tuple[str, str]]) -> bytes: ...


@dataclass(frozen=True, slots=True)
class RecalledSince:
    """A message that was recalled after a transcript was made."""

    seq: int
    recalled_by: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Verdict:
    """`matches`: what a transcript up to the number that was asked for had in it is what the log has.

    `last_seq` and `epoch` are the log's today; `recalled_since` is what a transcript of today would not show
    any more.
    """

    matches: bool
    epoch: int
    last_seq: int
    recalled_since: tuple[RecalledSince, ...] = ()


class TranscriptService:
    def __init__(
        self,
        *,
        reader: Reader,
        store: ConsultationStore,
        photos: ConsultationPhotoStore,
        printer: Printer,
        clock: Clock,
        district: str | None,
    ) -> None:
        self._reader = reader
        self._store = store
        self._photos = photos
        self._printer = printer
        self._clock = clock
        self._district = district

    async def of(self, actor: Actor, consultation_id: str, *, what: str = "transcript") -> Transcript:
        """The transcript for this reader as of now. Raises `NotFound` for someone else's, `TooLarge`."""
        state = await self._reader.read_for(actor, consultation_id, what)
        audience = audience_of(actor)
        operations = [view_for(o, audience) for o in as_of(await self._log(consultation_id))]
        marks = await self._store.receipts.of(consultation_id)
        ids = [a.upload_id for o in operations for a in attachments_of(o)]
        return Transcript(
            state=await _folded(state, operations),
            operations=tuple(operations),
            audience=audience,
            made_for=party_of(actor),
            made_at=self._clock.now(),
            sha256=await _digest(operations, audience),
            marks=tuple(ReadMark(*mark) for mark in marks),
            photos=await self._photos.digests(ids) if ids else {},
            district=self._district,
        )

    async def canonical(self, transcript: Transcript) -> bytes:
        """The canonical lines, over which the SHA-256 is."""
        lines: list[bytes] = []
        async for part in _slices(transcript.operations):
            lines += [canonical_line(o, transcript.audience) for o in part]
        return b"".join(lines)

    async def text(self, transcript: Transcript) -> bytes:
        """For people: UTF-8 with a byte order mark and CRLF, which every phone and every old office computer
        shows as it is; without the mark some of them take it for GBK."""
        return await asyncio.to_thread(_text, transcript)

    async def pdf(self, transcript: Transcript) -> bytes:
        """The same as pages. Raises `Unavailable` when it cannot be made now."""
        lines = await asyncio.to_thread(lambda: [(line.style.value, line.text) for line in lines_of(transcript)])
        return await self._printer.make(title=transcript.filename, foot=f"咨询编号 {transcript.state.id}", lines=lines)

    async def verify(self, actor: Actor, consultation_id: str, *, last_seq: int, sha256: str) -> Verdict:
        """Whether a transcript of this reader's side with this hash is true to the log.

        What was recalled later counts as it was then, so that a true transcript stays one.
        """
        state = await self._reader.read_for(actor, consultation_id, "verify")
        audience = audience_of(actor)
        log = await self._log(consultation_id)
        if last_seq > len(log):
            return Verdict(False, state.epoch, len(log))
        then = [view_for(o, audience) for o in as_of(log[:last_seq])]
        matches = await _digest(then, audience) == sha256
        since = tuple(
            RecalledSince(o.payload.target_seq, o.seq, o.at)
            for o in log[last_seq:]
            if isinstance(o.payload, Recall) and o.payload.target_seq <= last_seq
        )
        return Verdict(matches, state.epoch, len(log), since)

    async def _log(self, consultation_id: str) -> list[Operation]:
        """All of it, in order. Raises `TooLarge`."""
        log: list[Operation] = []
        while stretch := await self._store.read(consultation_id, len(log), _STRETCH):
            log += stretch
            if len(log) > MAX_OPERATIONS:
                raise TooLarge(f"这次咨询的记录超过 {MAX_OPERATIONS} 条，不能生成一份文件。")
        if not log:
            raise NotFound
        return log


async def _folded(state: Consultation, operations: Sequence[Operation]) -> Consultation:
    """The state after exactly these operations: what was said while they were read is in neither."""
    if state.last_seq == operations[-1].seq:
        return state
    if state.last_seq < operations[-1].seq:
        for operation in operations[state.last_seq :]:
            state = apply(state, operation)
        return state
    raise NotFound  # a log never gets shorter


async def _digest(operations: Sequence[Operation], audience: Audience) -> str:
    digest = hashlib.sha256()
    async for part in _slices(operations):
        digest.update(b"".join(canonical_line(o, audience) for o in part))
    return digest.hexdigest()


async def _slices(operations: Sequence[Operation]) -> AsyncIterator[Sequence[Operation]]:
    for start in range(0, len(operations), _SLICE):
        yield operations[start : start + _SLICE]
        await asyncio.sleep(0)


def _text(transcript: Transcript) -> bytes:
    indents = {"said": "    ", "operation": ""}
    lines: list[str] = []
    for line in lines_of(transcript):
        if line.style.value in ("section", "operation"):
            lines.append("")
        lines.append(indents.get(line.style.value, "") + line.text)
    return _BOM + "\r\n".join([*lines, ""]).encode()
