"""Materials: what citizens hand in, as photographed pages.

The order of the pages in a slot is part of the case (`backend.domain.cases`); here is what a page is, and
how a slot's list of page ids changes. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from backend.domain.cases import MAX_PAGES, Case
from backend.domain.errors import EditConflict, InvalidInput, NotFound

#: All slots of a case together take this many pages.
MAX_PAGES_PER_CASE = 200


class PagesChanged(EditConflict):
    """The slot's pages are not those that the caller saw."""


class TooManyPages(InvalidInput):
    """The slot or the case is full."""

    code = "too-many-pages"
    title = "页数太多"


@dataclass(frozen=True, slots=True)
class MaterialPage:
    """One uploaded page. It belongs to its case for good, whichever slot names it or no longer does.

    `upload_id` is the client's name for the upload and `content_sha256` the digest of what was sent: the
    same name with the same content is the same page. `sha256` addresses the stored file, of `bytes` bytes.
    `attached_at` is set once the page has been put into its slot, `removed_at` when a page that was never
    submitted was taken out again: then it is spare, and deleted after a while.
    """

    id: str
    case_id: str
    key: str
    citizen_id: str
    upload_id: str
    content_sha256: str
    sha256: str
    media_type: str
    width: int
    height: int
    bytes: int
    created_at: datetime
    attached_at: datetime | None = None
    removed_at: datetime | None = None


def check_room(case: Case, key: str) -> None:
    """Raises `TooManyPages` when one more page does not fit into the slot or the case."""
    if len(case.pages(key)) >= MAX_PAGES:
        raise TooManyPages(f"一份材料最多 {MAX_PAGES} 页。")
    if sum(len(slot.page_ids) for slot in case.materials) >= MAX_PAGES_PER_CASE:
        raise TooManyPages(f"一份申请最多 {MAX_PAGES_PER_CASE} 页。")


def insert(pages: Sequence[str], page_id: str, position: int | None) -> tuple[str, ...]:
    """`pages` with the page at `position` (from 0; None or beyond the end is the end). Idempotent."""
    if page_id in pages:
        return tuple(pages)
    at = len(pages) if position is None else min(position, len(pages))
    return (*pages[:at], page_id, *pages[at:])


def replace(pages: Sequence[str], old: str, new: str) -> tuple[str, ...]:
    """`pages` with `new` where `old` was. Idempotent; `NotFound` when `old` is not there."""
    if new in pages:
        return tuple(pages)
    if old not in pages:
        raise NotFound
    return tuple(new if page == old else page for page in pages)


def reorder(pages: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """`wanted`, when it is the same pages in another order; else `PagesChanged`."""
    if sorted(pages) != sorted(wanted):
        raise PagesChanged("这份材料的页面已有变化，请刷新后再调整顺序。")
    return tuple(wanted)


def remove(pages: Sequence[str], page_id: str) -> tuple[str, ...]:
    """`pages` without the page. Idempotent."""
    return tuple(page for page in pages if page != page_id)


def was_handed_in(page: MaterialPage, case: Case) -> bool:
    """Whether an office may have seen the page: then it is part of the file and kept for good.

    A page that came after the last submission (in a draft, or while correcting) was seen by nobody else.
    """
    handed_in = case.received_at or case.submitted_at
    return handed_in is not None and page.created_at <= handed_in
