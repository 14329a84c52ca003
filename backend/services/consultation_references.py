"""What a consultation may refer to: a case, photographed pages; only what the speaker may see anyway."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from backend.domain.access import Actor, Permission, allows
from backend.domain.consultation_content import Attachment
from backend.domain.errors import NotFound
from backend.storage.cases import CaseStore
from backend.storage.materials import MaterialStore


class ConsultationReferences:
    def __init__(self, *, cases: CaseStore, pages: MaterialStore) -> None:
        self._cases = cases
        self._pages = pages

    async def check_case(self, actor: Actor, case_id: str) -> None:
        """Raises `NotFound` for a case that is not the actor's to see."""
        case = await self._cases.get(case_id)
        if case is None or not allows(actor, Permission.READ_CASE, case.target):
            raise NotFound("没有找到这个办件。", field="case_id")

    async def attachments(self, actor: Actor, wanted: Sequence[Attachment]) -> tuple[Attachment, ...]:
        """The attachments with what is known of the pages they name. Raises `NotFound`."""
        pages = await self._pages.get_many([a.upload_id for a in wanted])
        found = []
        for attachment in wanted:
            page = pages.get(attachment.upload_id)
            case = await self._cases.get(page.case_id) if page else None
            if page is None or case is None or not allows(actor, Permission.READ_MATERIAL, case.target):
                raise NotFound("没有找到这个附件。", field="body.attachments")
            found.append(replace(attachment, media_type=page.media_type, size=page.bytes))
        return tuple(found)
