"""Use cases of materials: put photographed pages into the slots of a case, and read them back.

The slots are part of the case and change only through its service; here are the pages. The order of an
upload is: record, bytes, slot. Each step may be repeated, so that a retry after any crash finishes what
was begun, and what was never finished is spare and deleted after a while.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from backend.domain import materials as rules
from backend.domain.access import SYSTEM, Actor, Permission, require
from backend.domain.cases import Case
from backend.domain.errors import EditConflict, IdempotencyConflict, NotFound
from backend.domain.ids import new_id
from backend.domain.materials import MaterialPage, PagesChanged
from backend.domain.photos import NormalisedPhoto
from backend.ports import Clock
from backend.storage.documents import utc
from backend.storage.materials import MaterialStore

#: How long a page that no slot names is kept: an upload may still be retried, a removal regretted.
SPARE_FOR = timedelta(hours=24)
#: How long bytes without a page are kept: an upload of the same bytes may be under way.
UNUSED_FOR = timedelta(hours=1)

#: How often a step that others were faster than is begun anew, with growing pauses (the last is 0.6 s).
_PATIENCE = 7

PageChange = Callable[[tuple[str, ...]], Sequence[str]]


class Cases(Protocol):
    """The door of the cases (`backend.services.cases.CaseService`)."""

    async def editable(self, actor: Actor, case_id: str, material_key: str) -> Case: ...

    async def change_pages(self, actor: Actor, case_id: str, material_key: str, change: PageChange) -> Case: ...

    async def readable(self, actor: Actor, case_id: str) -> Case: ...


@dataclass(frozen=True, slots=True)
class PlacedPage:
    """A page and its place in its slot, counted from 0; None when the slot does not have it (any more)."""

    page: MaterialPage
    position: int | None


@dataclass(frozen=True, slots=True)
class Upload:
    """What a client sends besides the photograph: its name for the upload, and the digest of the file."""

    id: str
    content_sha256: str


@dataclass(frozen=True, slots=True)
class CleanUp:
    """What a clean-up deleted."""

    pages: int = 0
    files: int = 0
    broken: int = 0


class MaterialService:
    def __init__(self, *, pages: MaterialStore, cases: Cases, clock: Clock) -> None:
        self._pages = pages
        self._cases = cases
        self._clock = clock

    # --- writing ---

    async def check_own(self, actor: Actor, case_id: str) -> None:
        """Whether the case is the actor's to fill: asked before anything is received.

        `NotFound` for a stranger; whether the case is still open is asked later, since a retry of what
        was done in time is answered as it was.
        """
        require(actor, Permission.ATTACH_MATERIAL)
        case = await self._cases.readable(actor, case_id)
        require(actor, Permission.ATTACH_MATERIAL, case.target)

    async def check_open(self, actor: Actor, case_id: str, key: str, *, replaces: str | None = None) -> None:
        """Whether a page could be put there now: asked before a photograph is decoded.

        Raises what `add` raises. The limit of the whole case is looked at here alone.
        """
        case = await self._cases.editable(actor, case_id, key)
        if replaces is None:
            rules.check_room(case, key)
        elif replaces not in case.pages(key) and await self._pages.get(replaces) is None:
            raise NotFound

    async def find_upload(self, actor: Actor, case_id: str, key: str, upload: Upload) -> PlacedPage | None:
        """The finished page of an upload that is sent again; None when it has to be made (or finished).

        Raises `IdempotencyConflict` when the same upload id came with another file or for another slot.
        """
        require(actor, Permission.ATTACH_MATERIAL)
        found = await self._pages.by_upload(actor.id, upload.id)
        if found is None:
            return None
        _check_same(found, case_id, key, upload)
        return await self._placed(found) if found.attached_at is not None else None

    async def add(
        self,
        actor: Actor,
        case_id: str,
        key: str,
        *,
        upload: Upload,
        photo: NormalisedPhoto,
        position: int | None = None,
        replaces: str | None = None,
    ) -> PlacedPage:
        """Put a page into a slot, at `position`, or in the place of the page `replaces`.

        Once for each upload id. Raises `NotFound`, `InvalidTransition`, `TooManyPages`,
        `IdempotencyConflict`, and `InvalidInput` for a material that the guide does not ask for.
        """
        require(actor, Permission.ATTACH_MATERIAL)
        now = self._clock.now()
        page = await self._pages.add(_page(actor, case_id, key, upload, photo, now))
        _check_same(page, case_id, key, upload)
        if page.attached_at is not None:  # sent twice at the same time, and the other one was faster
            return await self._placed(page)
        await self._pages.put(photo, now)

        def place(pages: tuple[str, ...]) -> tuple[str, ...]:
            if replaces is not None:
                return rules.replace(pages, replaces, page.id)
            return rules.insert(pages, page.id, position)

        case = await self._change(actor, case_id, key, place)
        attached = await self._pages.mark_attached(page.id, now)
        if replaces is not None:
            await self._set_aside(case, replaces)
        return PlacedPage(attached or page, _position(case, key, page.id))

    async def reorder(self, actor: Actor, case_id: str, key: str, page_ids: tuple[str, ...]) -> list[PlacedPage]:
        """Put the pages of a slot into another order. Raises `EditConflict` when they are not the same pages."""
        require(actor, Permission.ATTACH_MATERIAL)
        case = await self._change(actor, case_id, key, lambda pages: rules.reorder(pages, page_ids))
        return await self._of_slot(case, key)

    async def remove(self, actor: Actor, case_id: str, key: str, page_id: str) -> None:
        """Take a page out of its slot; again is the same. `NotFound` when it never was there."""
        require(actor, Permission.ATTACH_MATERIAL)
        page = await self._pages.get(page_id)
        if page is None or (page.case_id, page.key) != (case_id, key):
            raise NotFound
        case = await self._change(actor, case_id, key, lambda pages: rules.remove(pages, page_id))
        await self._set_aside(case, page_id)

    # --- reading ---

    async def slots(self, actor: Actor, case_id: str) -> dict[str, list[PlacedPage]]:
        """The pages of all slots of a case, by the material's key."""
        case = await self._cases.readable(actor, case_id)
        return {slot.key: await self._of_slot(case, slot.key) for slot in case.materials}

    async def page(self, actor: Actor, page_id: str) -> MaterialPage:
        """One page's record. `NotFound` for whoever may not see its case."""
        require(actor, Permission.READ_MATERIAL)
        page = await self._pages.get(page_id)
        if page is None:
            raise NotFound
        await self._cases.readable(actor, page.case_id)
        return page

    async def content(self, page: MaterialPage, start: int, end: int) -> bytes:
        """Bytes `start` to `end` (exclusive) of a page that was got from `page`."""
        return await self._pages.read(page.sha256, start, end)

    async def thumbnail(self, page: MaterialPage) -> bytes:
        """The thumbnail of a page that was got from `page`."""
        return await self._pages.thumbnail(page.sha256)

    # --- keeping clean ---

    async def forget_spare(self, *, limit: int = 500) -> CleanUp:
        """Delete pages that were taken out or never put in, files that no page has, and broken writes.

        Looks at `limit` pages at most; a result with as many says that there may be more.
        """
        now = self._clock.now()
        pages = files = 0
        for page in await self._pages.spare(now - SPARE_FOR, limit):
            if await self._is_in_slot(page):
                await self._pages.mark_attached(page.id, now)  # it died between the slot and the record
                continue
            await self._pages.delete(page)
            pages += 1
            files += await self._pages.drop_unused(page.sha256, now - UNUSED_FOR)
        return CleanUp(pages, files, await self._pages.finish_broken_writes(now - UNUSED_FOR))

    # --- parts ---

    async def _change(self, actor: Actor, case_id: str, key: str, change: PageChange) -> Case:
        """Change a slot, patiently: a phone sends nine photographs at once, and each is a step of the case."""
        for attempt in range(_PATIENCE):
            try:
                return await self._cases.change_pages(actor, case_id, key, change)
            except PagesChanged:
                raise
            except EditConflict:
                await asyncio.sleep(random.uniform(0.5, 1.5) * 0.01 * 2**attempt)
        return await self._cases.change_pages(actor, case_id, key, change)

    async def _set_aside(self, case: Case, page_id: str) -> None:
        """A page that left its slot: spare, unless an office has seen it. Never a page of another case, whatever
        id a repeated upload names."""
        page = await self._pages.get(page_id)
        in_slot = any(page_id in slot.page_ids for slot in case.materials)
        if page is not None and page.case_id == case.id and not in_slot and not rules.was_handed_in(page, case):
            await self._pages.mark_removed([page_id], self._clock.now())

    async def _of_slot(self, case: Case, key: str) -> list[PlacedPage]:
        found = await self._pages.get_many(case.pages(key))
        return [PlacedPage(found[page_id], at) for at, page_id in enumerate(case.pages(key)) if page_id in found]

    async def _placed(self, page: MaterialPage) -> PlacedPage:
        case = await self._cases.readable(SYSTEM, page.case_id)
        return PlacedPage(page, _position(case, page.key, page.id))

    async def _is_in_slot(self, page: MaterialPage) -> bool:
        try:
            return (await self._placed(page)).position is not None
        except NotFound:
            return False


def _page(actor: Actor, case_id: str, key: str, upload: Upload, photo: NormalisedPhoto, now: datetime) -> MaterialPage:
    return MaterialPage(
        id=new_id(),
        case_id=case_id,
        key=key,
        citizen_id=actor.id,
        upload_id=upload.id,
        content_sha256=upload.content_sha256,
        sha256=photo.sha256,
        media_type=photo.media_type,
        width=photo.width,
        height=photo.height,
        bytes=len(photo.page),
        created_at=utc(now),
    )


def _check_same(page: MaterialPage, case_id: str, key: str, upload: Upload) -> None:
    if (page.case_id, page.key, page.content_sha256) != (case_id, key, upload.content_sha256):
        raise IdempotencyConflict("这个上传编号已经用于另一张照片。", field="upload_id")


def _position(case: Case, key: str, page_id: str) -> int | None:
    pages = case.pages(key)
    return pages.index(page_id) if page_id in pages else None
