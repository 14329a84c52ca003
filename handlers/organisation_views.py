"""Departments, posts, responsibilities and their changes as the staff see them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from backend.domain.accounts import Staff
from backend.domain.events import Event
from backend.domain.matters import ReceptionMode
from backend.domain.organisation import Department, DepartmentKind, DutySpan, Post, Responsibility
from backend.rest.views import Id, Moment, View
from backend.storage.organisation import PostCount

Changed = Literal["department", "post", "responsibility", "staff", "calendar_day"]


class SpanView(View):
    start: str
    end: str


class ColleagueView(View):
    """一名工作人员；已停用的 `active` 为 false。"""

    id: str
    name: str
    active: bool


class HolderView(View):
    """`name` 为空表示查不到这名工作人员。"""

    staff_id: str
    rank: int
    name: str


class DepartmentView(View):
    id: Id
    code: str
    name: str
    kind: DepartmentKind
    area_code: str
    duty_lead_ids: list[str]
    duty_leads: list[ColleagueView]
    duty_spans: list[SpanView]
    address: str | None
    phone: str | None
    version: int


class DepartmentRow(DepartmentView):
    """`unstaffed_posts` 是没有人的岗位数。"""

    posts: int
    unstaffed_posts: int


class PostView(View):
    id: Id
    department_id: str
    name: str
    holders: list[HolderView]
    duty_spans: list[SpanView]
    unstaffed: bool
    version: int


class ResponsibilityView(View):
    id: Id
    department_id: str
    post_id: str
    matter_id: str | None
    area_code: str | None
    reception_mode: ReceptionMode | None
    version: int


class ChangeView(View):
    """一次修改。`fields` 是改动的项目；`by` 为空表示系统。"""

    at: Moment
    kind: str
    by: ColleagueView | None
    fields: list[str]
    version: int


class ChangeList(View):
    items: list[ChangeView]


Names = Mapping[str, Staff]


def _span_views(spans: Sequence[DutySpan]) -> list[SpanView]:
    return [SpanView(start=f"{span.start:%H:%M}", end=f"{span.end:%H:%M}") for span in spans]


def _colleague(staff: Staff) -> ColleagueView:
    return ColleagueView(id=staff.id, name=staff.name, active=staff.active)


def _department_fields(item: Department, names: Names) -> dict[str, object]:
    return {
        "id": item.id,
        "code": item.code,
        "name": item.name,
        "kind": item.kind,
        "area_code": item.area_code,
        "duty_lead_ids": list(item.duty_lead_ids),
        "duty_leads": [_colleague(names[i]) for i in item.duty_lead_ids if i in names],
        "duty_spans": _span_views(item.duty_spans),
        "address": item.address,
        "phone": item.phone,
        "version": item.version,
    }


def department_view(item: Department, names: Names) -> DepartmentView:
    return DepartmentView.model_validate(_department_fields(item, names))


def department_row(item: Department, names: Names, counts: Mapping[str, PostCount]) -> DepartmentRow:
    count = counts.get(item.id, PostCount(0, 0))
    fields = _department_fields(item, names)
    return DepartmentRow.model_validate({**fields, "posts": count.posts, "unstaffed_posts": count.unstaffed})


def post_view(item: Post, names: Names) -> PostView:
    return PostView(
        id=item.id,
        department_id=item.department_id,
        name=item.name,
        holders=[
            HolderView(
                staff_id=holder.staff_id,
                rank=holder.rank,
                name=names[holder.staff_id].name if holder.staff_id in names else "",
            )
            for holder in sorted(item.holders, key=lambda holder: holder.rank)
        ],
        duty_spans=_span_views(item.duty_spans),
        unstaffed=not item.holders,
        version=item.version,
    )


def responsibility_view(item: Responsibility) -> ResponsibilityView:
    return ResponsibilityView.model_validate(item)


def change_view(event: Event, names: Names) -> ChangeView:
    staff = names.get(event.actor_id)
    return ChangeView(
        at=event.at,
        kind=event.kind,
        by=_colleague(staff) if staff else None,
        fields=sorted(event.changes),
        version=event.sequence,
    )


def people_of(items: Iterable[Department | Post]) -> set[str]:
    """The ids of the staff that departments and posts name."""
    found: set[str] = set()
    for item in items:
        found |= set(item.duty_lead_ids) if isinstance(item, Department) else {h.staff_id for h in item.holders}
    return found
