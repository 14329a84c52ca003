"""What stands beside a conversation on the desk."""

from __future__ import annotations

from aiohttp import web
from pydantic import Field

from backend import keys
from backend.domain.access import Actor
from backend.domain.accounts import shown_name
from backend.domain.cases import Case
from backend.domain.consultations import Consultation
from backend.domain.matters import Matter, MatterState
from backend.domain.procedure import NEXT_STEPS
from backend.rest.consultation_views import MatterRefView
from backend.rest.operations import Routes
from backend.rest.views import Id, Moment, Page, PageQuery, View, moment_cursor, page_of
from backend.services.consultation_context import Context
from handlers.case_views import DeskBrief

routes = Routes("desk")


class ContextQuery(PageQuery):
    limit: int = Field(default=10, ge=1, le=100, description="以前的咨询一页的数量")


class ContextCitizen(View):
    id: Id
    name: str = Field(description="现在的称呼")
    first_seen_at: Moment | None = Field(description="第一次登录的时间")
    earlier_consultations: int = Field(description="这次之前的咨询次数，包括您看不到的")


class ContextMatter(View):
    """咨询时的事项版本，和现在的版本。"""

    id: str
    version: int
    name: str
    current_version: int | None
    current_name: str | None
    newer: bool = Field(description="咨询开始后办事指南又有新版本")
    in_force: bool = Field(description="事项现在是否在办")


class ContextCase(DeskBrief):
    next_step: str | None = Field(description="下一步；已经结束时为 null")


class EarlierConsultation(View):
    id: Id
    subject: str
    matter: MatterRefView | None
    state: str
    close_reason: str | None
    score: int | None
    opened_at: Moment
    updated_at: Moment


class ContextView(View):
    """一次咨询的来龙去脉：市民、事项、办件和以前的咨询。只有您有权查看的内容。"""

    citizen: ContextCitizen
    matter: ContextMatter | None
    case: ContextCase | None = Field(description="咨询所说的办件；没有、还是草稿或无权查看时为 null")
    other_cases: list[ContextCase] = Field(description="这位市民的其他办件，新的在前，最多五十件")
    earlier: Page[EarlierConsultation]


@routes.get("/desk/consultations/{consultation_id}/context")
async def get_consultation_context(
    request: web.Request, consultation_id: Id, query: ContextQuery, actor: Actor
) -> ContextView:
    """一次咨询的来龙去脉，显示在对话旁边。"""
    found = await request.config_dict[keys.CONSULTATION_CONTEXT].of(
        actor, consultation_id, limit=query.limit + 1, before=moment_cursor(query.cursor)
    )
    now = request.config_dict[keys.CLOCK].now()

    def case_view(case: Case) -> ContextCase:
        brief = DeskBrief.at(case, overdue=case.due is not None and case.due.due_at < now)
        return ContextCase(**brief.model_dump(exclude={"next_step"}), next_step=NEXT_STEPS.get(case.state))

    return ContextView(
        citizen=_citizen(found),
        matter=_matter(found.state, found.matter),
        case=case_view(found.case) if found.case else None,
        other_cases=[case_view(case) for case in found.other_cases],
        earlier=page_of(
            found.earlier, query.limit, EarlierConsultation.model_validate, lambda state: (state.updated_at, state.id)
        ),
    )


def _citizen(found: Context) -> ContextCitizen:
    citizen = found.citizen
    return ContextCitizen(
        id=found.state.citizen.id,
        name=shown_name(citizen.id, citizen.name) if citizen else found.state.citizen.name,
        first_seen_at=citizen.created_at if citizen else None,
        earlier_consultations=found.earlier_count,
    )


def _matter(state: Consultation, present: Matter | None) -> ContextMatter | None:
    if state.matter is None:
        return None
    return ContextMatter(
        id=state.matter.id,
        version=state.matter.version,
        name=state.matter.name,
        current_version=present.version if present else None,
        current_name=present.guide.name if present else None,
        newer=present is not None and present.version > state.matter.version,
        in_force=present is not None and present.state is MatterState.ACTIVE,
    )
