"""Use cases of the catalogue: browse, read a guide at any version, search, publish."""

from __future__ import annotations

import hashlib
import mimetypes
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from backend.domain.access import Actor, Permission, require
from backend.domain.catalogue import MatterDraft, publish
from backend.domain.errors import InvalidInput, NotFound, TooLarge
from backend.domain.matters import Matter, MatterState
from backend.domain.organisation import Department
from backend.ports import Clock
from backend.services.catalogue import Catalogue
from backend.services.search import SearchFilters, SearchPage
from backend.storage.matters import BrowseFilters, GuideFile, MatterStore
from backend.storage.organisation import OrganisationStore

log = structlog.get_logger()

#: Guide files are forms and samples, not films.
MAX_GUIDE_FILE = 8 * 1024 * 1024
_OPEN = (MatterState.ACTIVE, MatterState.SUSPENDED, MatterState.CANCELLED)


@dataclass(frozen=True, slots=True)
class Published:
    """What a publication did: ids of new and changed matters, how many said nothing new."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: int


@dataclass(frozen=True, slots=True)
class DepartmentEntry:
    """A department with how many matters it has in use."""

    department: Department
    matters: int


class MatterService:
    """The catalogue. Reading is everybody's; publishing is for those who may edit it."""

    def __init__(
        self, *, matters: MatterStore, organisation: OrganisationStore, catalogue: Catalogue, clock: Clock
    ) -> None:
        self._store = matters
        self._organisation = organisation
        self._catalogue = catalogue
        self._clock = clock

    @property
    def revision(self) -> int:
        """Changes whenever something was published that this node has taken over."""
        return self._catalogue.revision

    async def guide(self, actor: Actor, matter_id: str, version: int | None = None) -> Matter:
        """The guide that holds now, or the one of `version`. Raises `NotFound`."""
        require(actor, Permission.READ_CATALOGUE)
        return await (self.matter(matter_id) if version is None else self.version(matter_id, version))

    async def matter(self, matter_id: str) -> Matter:
        """For other services: the version in force. Raises `NotFound`."""
        return _visible(await self._store.get(matter_id))

    async def version(self, matter_id: str, version: int) -> Matter:
        """For other services: a version that something is pinned to. Raises `NotFound`."""
        return _visible(await self._store.version(matter_id, version))

    async def by_code(self, actor: Actor, code: str) -> Matter:
        """The matter with this 实施编码 or 业务办理项编码. Raises `NotFound`."""
        require(actor, Permission.READ_CATALOGUE)
        return _visible(await self._store.by_code(code))

    async def browse(self, actor: Actor, filters: BrowseFilters, *, after: str | None, limit: int) -> list[Matter]:
        """Matters in use in the order of their codes, after the code `after`."""
        require(actor, Permission.READ_CATALOGUE)
        return await self._store.page(filters, after=after, limit=limit)

    async def search(
        self, actor: Actor, query: str, *, limit: int, offset: int = 0, filters: SearchFilters | None = None
    ) -> tuple[SearchPage, dict[str, Matter]]:
        """The best matters for `query`, and their guides by id (one may have been withdrawn meanwhile)."""
        require(actor, Permission.READ_CATALOGUE)
        page = await self._catalogue.search(query, limit=limit, offset=offset, filters=filters or SearchFilters())
        return page, await self._store.known(hit.entry.id for hit in page.hits)

    async def departments(self, actor: Actor, *, after: str | None, limit: int) -> list[DepartmentEntry]:
        """Departments in the order of their ids."""
        require(actor, Permission.READ_CATALOGUE)
        counts = (await self._catalogue.known()).by_department
        found = await self._organisation.departments.page(after=after, limit=limit)
        return [DepartmentEntry(department, counts[department.id]) for department in found]

    async def themes(self, actor: Actor) -> Counter[str]:
        """Themes with how many matters each has in use."""
        require(actor, Permission.READ_CATALOGUE)
        return (await self._catalogue.known()).by_theme

    async def publish(self, actor: Actor, drafts: Sequence[MatterDraft]) -> Published:
        """Publish what differs from the catalogue, all or nothing. Raises `Forbidden`, `InvalidInput`."""
        require(actor, Permission.EDIT_CATALOGUE)
        by_id = {draft.id: draft for draft in drafts}
        if len(by_id) != len(drafts):
            raise InvalidInput("同一次发布中有重复的事项编码。", field="code")
        now = self._clock.now()

        def decide(current: Mapping[str, Matter]) -> list[Matter]:
            versions = (publish(current.get(i), draft, now=now, by=actor.id) for i, draft in by_id.items())
            return [version for version in versions if version is not None]

        fresh = await self._store.publish(by_id, decide)
        if fresh:
            log.info("matters_published", by=actor.id, matters=len(fresh))
        return Published(
            added=tuple(matter.id for matter in fresh if matter.version == 1),
            changed=tuple(matter.id for matter in fresh if matter.version > 1),
            unchanged=len(by_id) - len(fresh),
        )

    async def preview(self, actor: Actor, drafts: Sequence[MatterDraft]) -> Published:
        """What `publish` would do; writes nothing."""
        require(actor, Permission.EDIT_CATALOGUE)
        current = await self._store.known(draft.id for draft in drafts)
        made = [(draft.id, publish(current.get(draft.id), draft, now=self._clock.now())) for draft in drafts]
        return Published(
            added=tuple(i for i, version in made if version is not None and version.version == 1),
            changed=tuple(i for i, version in made if version is not None and version.version > 1),
            unchanged=sum(version is None for _, version in made),
        )

    async def put_guide_files(self, actor: Actor, files: Mapping[str, bytes]) -> int:
        """Keep forms and samples under their names; how many were new or changed. Raises `TooLarge`."""
        require(actor, Permission.EDIT_CATALOGUE)
        changed = 0
        for name, content in files.items():
            if len(content) > MAX_GUIDE_FILE:
                raise TooLarge(f"附件“{name}”太大。", field="guide_files")
            media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
            file = GuideFile(name, media_type, hashlib.sha256(content).hexdigest(), content)
            changed += await self._store.put_file(file)
        return changed

    async def guide_file(self, actor: Actor, name: str) -> GuideFile:
        """A form or a filled sample. Raises `NotFound`."""
        require(actor, Permission.READ_CATALOGUE)
        found = await self._store.get_file(name)
        if found is None:
            raise NotFound("没有这份附件。")
        return found

    async def refresh(self) -> None:
        """Take over at once what was published, without waiting for the next look."""
        await self._catalogue.refresh()


def _visible(matter: Matter | None) -> Matter:
    if matter is None or matter.state not in _OPEN:
        raise NotFound("没有找到这个事项。")
    return matter
