"""Holidays and the district's own working and closing days."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from aiohttp import web
from pydantic import AfterValidator, Field, StringConstraints

from backend import keys
from backend.domain.access import Actor
from backend.domain.errors import EditConflict
from backend.domain.local_calendar import DayKind, DaySource, NotableDay, PastDay
from backend.rest.operations import Routes
from backend.rest.views import Body, Query, View
from handlers.organisation import VersionQuery
from handlers.staff import Version

routes = Routes("calendar")


def _a_day(text: str) -> str:
    date.fromisoformat(text)
    return text


Day = Annotated[
    str,
    StringConstraints(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"),
    AfterValidator(_a_day),
    Field(examples=["2026-10-09"]),
]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=30, pattern=r"^[^\x00-\x1f\x7f]+$")]


class CalendarQuery(Query):
    year: int | None = Field(default=None, ge=2004, le=2100, description="不填则为今年")


class CalendarDayBody(Body):
    """`closed` 把工作日设为休息，`opened` 把休息日设为工作。"""

    kind: DayKind
    reason: Reason = Field(description="群众在期限说明中会看到，如“台风停工”")
    version: Version | None = Field(default=None, description="修改已有的安排时填写读到的版本号")


class CalendarDayView(View):
    """一个特别的日子。`source`：national 国务院放假安排，district 本地安排。

    `provisional` 表示当年的放假安排尚未公布，此为暂定；`kind` 与 `version` 只有本地安排才有。
    """

    date: date
    is_working: bool
    reason: str
    source: DaySource
    provisional: bool
    kind: DayKind | None
    version: int | None


class CalendarView(View):
    """一年中除普通工作日和普通周末以外的每一天。`today` 之前的日子不能修改。"""

    year: int
    published: bool = Field(description="国务院是否已公布当年的放假安排；未公布的年份按周一至周五暂定")
    today: date
    days: list[CalendarDayView]


def _view(found: NotableDay) -> CalendarDayView:
    return CalendarDayView(
        date=found.what.day,
        is_working=found.what.is_working,
        reason=found.what.reason,
        source=found.source,
        provisional=found.what.provisional,
        kind=found.local.kind if found.local else None,
        version=found.local.version if found.local else None,
    )


@routes.get("/organisation/calendar")
async def get_calendar(request: web.Request, query: CalendarQuery, actor: Actor) -> CalendarView:
    """一年的节假日、调休和本地安排。"""
    found = await request.config_dict[keys.CALENDAR].year(actor, query.year)
    return CalendarView(
        year=found.year, published=found.published, today=found.today, days=[_view(day) for day in found.days]
    )


@routes.put("/organisation/calendar/days/{day}", errors=[PastDay, EditConflict])
async def set_calendar_day(request: web.Request, day: Day, body: CalendarDayBody, actor: Actor) -> CalendarDayView:
    """设置一天休息或工作；过去的日期不能修改。

    几秒内对全部服务生效；经过这一天的未办结办件会重新计算期限，并在办理进度中说明原因。
    """
    service = request.config_dict[keys.CALENDAR]
    return _view(await service.set_day(actor, date.fromisoformat(day), body.kind, body.reason, version=body.version))


@routes.delete("/organisation/calendar/days/{day}", errors=[PastDay, EditConflict])
async def clear_calendar_day(request: web.Request, day: Day, query: VersionQuery, actor: Actor) -> None:
    """取消一天的本地安排；过去的日期不能修改。"""
    service = request.config_dict[keys.CALENDAR]
    await service.clear_day(actor, date.fromisoformat(day), version=query.version)
