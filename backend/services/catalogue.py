"""What each node knows of the catalogue by heart: the search index and the counts for browsing.

A node looks at the catalogue's revision once a second and takes over what was published since. The index
is built in a thread and swapped whole: a search sees the old catalogue or the new one.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import structlog

from backend.domain.errors import Unavailable
from backend.domain.matters import MatterState
from backend.services.search import SearchEntry, SearchFilters, SearchIndex, SearchPage, analysis, entry_of
from backend.storage.failures import is_storage_failure
from backend.storage.matters import MatterStore

log = structlog.get_logger()

#: Above this share of changed matters a fresh index is cheaper and better weighted than a patched one.
_REBUILD_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Known:
    """One state of the catalogue. Immutable; the newest one is swapped in."""

    revision: int
    entries: dict[str, SearchEntry]
    index: SearchIndex
    by_theme: Counter[str]
    by_department: Counter[str]


def _known(revision: int, entries: dict[str, SearchEntry], index: SearchIndex) -> Known:
    return Known(
        revision,
        entries,
        index,
        Counter(theme for entry in entries.values() for theme in entry.themes),
        Counter(entry.department_id for entry in entries.values()),
    )


class Catalogue:
    """The catalogue as this node knows it."""

    def __init__(self, store: MatterStore, *, interval: float = 1.0) -> None:
        self._store = store
        self._interval = interval
        self._known = _known(0, {}, SearchIndex.build(()))
        self._loaded = False
        self._lock = asyncio.Lock()

    @property
    def revision(self) -> int:
        """The publication this node has taken over."""
        return self._known.revision

    async def known(self) -> Known:
        """The catalogue; the first caller waits for it to be loaded. Raises the store's errors."""
        if not self._loaded:
            await self.refresh()
        return self._known

    async def search(self, query: str, *, limit: int, offset: int, filters: SearchFilters) -> SearchPage:
        """The best matters for `query`; see `SearchIndex.search`."""
        return (await self.known()).index.search(query, limit=limit, offset=offset, filters=filters)

    async def refresh(self) -> None:
        """Take over what was published since; at once a no-op when there is nothing new."""
        async with self._lock:
            revision = await self._store.revision()
            if revision == self._known.revision and self._loaded:
                return
            # a revision that fell back is another database: forget everything
            base = self._known if revision >= self._known.revision else _known(0, {}, SearchIndex.build(()))
            changed: dict[str, SearchEntry] = {}
            removed: set[str] = set()
            async for matter in self._store.changed_since(base.revision):
                if matter.state is MatterState.ACTIVE:
                    changed[matter.id] = entry_of(matter)
                else:
                    removed.add(matter.id)
            self._known = await asyncio.to_thread(_updated, base, revision, changed, removed)
            self._loaded = True
            log.info("catalogue_known", revision=revision, matters=len(self._known.entries), changed=len(changed))

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Follow the catalogue as long as the context is open; within it no search waits for a dictionary."""
        await asyncio.to_thread(analysis.load)
        task = asyncio.create_task(self._follow(), name="catalogue")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _follow(self) -> None:
        while True:
            try:
                await self.refresh()
            except Unavailable:
                log.warning("catalogue_unreachable")
            except Exception as error:
                if not is_storage_failure(error):
                    log.exception("catalogue_refresh_failed")
                else:
                    log.warning("catalogue_unreachable", error=type(error).__name__)
            await asyncio.sleep(self._interval)


def _updated(base: Known, revision: int, changed: dict[str, SearchEntry], removed: set[str]) -> Known:
    entries = {i: entry for i, entry in base.entries.items() if i not in removed} | changed
    if len(changed) + len(removed) > _REBUILD_SHARE * len(entries):
        index = SearchIndex.build(entries.values())
    else:
        index = base.index.with_changes(changed.values(), removed)
    return _known(revision, entries, index)
