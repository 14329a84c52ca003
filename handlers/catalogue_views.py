"""What editors of the catalogue send and see."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any

from pydantic import StringConstraints

from backend.domain.catalogue_imports import CatalogueImport, ImportCounts, ImportState
from backend.domain.events import Event
from backend.domain.guide_checks import Severity
from backend.domain.guide_drafts import GuideDraft, draft_of
from backend.domain.matters import (
    Matter,
    MatterState,
)
from backend.rest.views import Id, Moment, View
from backend.services.catalogue_imports import ShippedMapping
from backend.services.catalogue_reading import PublishedVersion
from backend.services.editable import Editable
from backend.storage.documents import to_value

FileName = Annotated[str, StringConstraints(pattern=r"^[\w.()（）-]{1,120}$")]


class Person(View):
    """一名工作人员；`id` 为 system 时是系统。"""

    id: str
    name: str


def person(staff_id: str | None, names: Mapping[str, str]) -> Person | None:
    """Who did something; None where it was not recorded."""
    return Person(id=staff_id, name=names.get(staff_id, "")) if staff_id else None


class EditorMatterRow(View):
    """事项列表中的一行。`version` 为空表示从未发布；`scheduled` 是等待生效的日期。"""

    id: Id
    code: str
    name: str
    department_id: Id
    department_name: str
    area_code: str
    state: MatterState
    version: int | None
    effective_from: date | None
    effective_to: date | None
    has_draft: bool
    scheduled: date | None
    updated_at: Moment


class PublishedGuideView(View):
    """现行版本。"""

    version: int
    published_at: Moment
    published_by: Person | None
    guide: GuideDraft


class GuideDraftView(View):
    """草稿。`base_version` 是它所依据的已发布版本，0 表示还没有。"""

    guide: GuideDraft
    base_version: int
    saved_by: Person | None
    saved_at: Moment


class ScheduledGuideView(View):
    """等待生效的版本：从 `effective_from` 零点（`due_at`）起生效。"""

    guide: GuideDraft
    effective_from: date
    due_at: Moment
    scheduled_by: Person | None
    scheduled_at: Moment


class GuideProblemView(View):
    """`field` 是指南中的路径，如 materials.0.name；`blocking` 的不解决就不能发布，`advice` 只是建议。"""

    field: str
    code: str
    detail: str
    severity: Severity


class ResponsiblePost(View):
    """负责这个事项的岗位；`staffed` 为 false 时咨询会转给部门值班负责人。"""

    id: Id
    name: str
    staffed: bool


class EditorMatterView(View):
    """编辑人员看到的一个事项。`version` 是编辑版本号，每次修改都要带上。"""

    id: Id
    code: str
    base_code: str | None
    department_id: Id
    department_name: str
    area_code: str
    state: MatterState
    state_reason: str | None
    state_since: Moment | None
    version: int
    published: PublishedGuideView | None
    draft: GuideDraftView | None
    scheduled: ScheduledGuideView | None
    responsible: ResponsiblePost | None
    problems: list[GuideProblemView]

    @classmethod
    def of(cls, found: Editable, names: Mapping[str, str]) -> EditorMatterView:
        """The whole of what editors know about a matter."""
        matter, edit = found.matter, found.edit
        place = matter or edit
        assert place is not None  # `Editable` has at least one of them
        return cls(
            id=found.id,
            code=place.code,
            base_code=place.base_code,
            department_id=place.department_id,
            department_name=found.department_name,
            area_code=place.area_code,
            state=matter.state if matter is not None else MatterState.DRAFT,
            state_reason=matter.state_reason if matter is not None else None,
            state_since=matter.state_since if matter is not None else None,
            version=found.version,
            published=_published(matter, names),
            draft=GuideDraftView(
                guide=edit.draft.guide,
                base_version=edit.draft.base_version,
                saved_by=person(edit.draft.by, names),
                saved_at=edit.draft.at,
            )
            if edit is not None and edit.draft is not None
            else None,
            scheduled=ScheduledGuideView(
                guide=draft_of(edit.scheduled.guide),
                effective_from=edit.scheduled.effective_from,
                due_at=edit.scheduled.due_at,
                scheduled_by=person(edit.scheduled.by, names),
                scheduled_at=edit.scheduled.at,
            )
            if edit is not None and edit.scheduled is not None
            else None,
            responsible=ResponsiblePost(id=found.post.id, name=found.post.name, staffed=bool(found.post.holders))
            if found.post is not None
            else None,
            problems=[GuideProblemView.model_validate(problem) for problem in found.problems],
        )


def people_of(found: Editable) -> set[str]:
    """Whose names the view shows."""
    edit = found.edit
    ids = {found.matter.published_by} if found.matter is not None else set()
    if edit is not None:
        ids |= {part.by for part in (edit.draft, edit.scheduled) if part is not None}
    return ids


def _published(matter: Matter | None, names: Mapping[str, str]) -> PublishedGuideView | None:
    if matter is None:
        return None
    return PublishedGuideView(
        version=matter.version,
        published_at=matter.published_at,
        published_by=person(matter.published_by, names),
        guide=draft_of(matter.guide),
    )


class GuideProblems(View):
    """草稿还有哪些问题。"""

    items: list[GuideProblemView]


class MatterVersionRow(View):
    """一个已发布的版本；`changed` 是与上一版不同的字段。全文见 GET /api/matters/{matter_id}?version=。"""

    version: int
    state: MatterState
    published_at: Moment
    published_by: Person | None
    effective_from: date | None
    changed: list[str]

    @classmethod
    def of(cls, found: PublishedVersion, names: Mapping[str, str]) -> MatterVersionRow:
        """One row of the list of versions."""
        matter = found.matter
        return cls(
            version=matter.version,
            state=matter.state,
            published_at=matter.published_at,
            published_by=person(matter.published_by, names),
            effective_from=matter.guide.effective_from,
            changed=list(found.changed),
        )


class FieldChange(View):
    """一个字段修改前后的值。"""

    field: str
    old: Any
    new: Any


class MatterEventView(View):
    """谁在什么时候做了什么。"""

    sequence: int
    kind: str
    at: Moment
    by: Person | None
    changes: list[FieldChange]

    @classmethod
    def of(cls, event: Event, names: Mapping[str, str]) -> MatterEventView:
        """One entry of the history."""
        changes = [
            FieldChange(field=name, old=to_value(value.get("old")), new=to_value(value.get("new")))
            for name, value in event.changes.items()
        ]
        return cls(
            sequence=event.sequence, kind=event.kind, at=event.at, by=person(event.actor_id, names), changes=changes
        )


class GuideFileView(View):
    """上传的表格或样例；在指南里写 `name`。"""

    name: FileName
    media_type: str
    bytes: int
    url: str


class MappingView(View):
    """一个自带的字段映射；`kind` 为空时按文件名判断格式。"""

    id: str
    name: str
    kind: str | None

    @classmethod
    def of(cls, mapping: ShippedMapping) -> MappingView:
        """The short form of a mapping."""
        return cls(id=mapping.id, name=mapping.name, kind=mapping.kind)


class MappingList(View):
    """自带的字段映射。"""

    items: list[MappingView]


class CatalogueImportView(View):
    """一次导入。`check` 是试运行的结果（没有写入），`result` 是实际写入的结果；`problem` 是失败的原因。"""

    id: Id
    state: ImportState
    file_name: str
    kind: str
    bytes: int
    mapping: str
    created_by: Person | None
    created_at: Moment
    rows_total: int | None
    rows_done: int
    warnings: int
    rejects: int
    check: ImportCounts | None
    result: ImportCounts | None
    applied_by: Person | None
    ended_at: Moment | None
    problem: str | None

    @classmethod
    def of(cls, item: CatalogueImport, names: Mapping[str, str]) -> CatalogueImportView:
        """How an import stands."""
        people = {"created_by": person(item.created_by, names), "applied_by": person(item.applied_by, names)}
        plain = {name: getattr(item, name) for name in cls.model_fields if name not in (*people, "mapping")}
        return cls(**plain, **people, mapping=item.mapping_name)


class ImportNoteView(View):
    """对一行的提醒，或不收它的原因。"""

    row: int
    code: str | None
    field: str | None
    reason: str
