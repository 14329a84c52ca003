"""Consultations over HTTP: history for everybody, and the way to talk where sockets are blocked."""

from __future__ import annotations

from typing import Literal

from aiohttp import web
from pydantic import Field

from backend import keys
from backend.domain.access import Actor
from backend.domain.consultations import Consultation, State
from backend.domain.errors import Conflict, NotFound
from backend.rest.consultation_bodies import LONG, SEQ_MAX, ContentBody
from backend.rest.consultation_views import (
    ConsultationView,
    OperationsView,
    OperationView,
    ReceiptView,
    consultation_json,
    operation_json,
    receipt_json,
)
from backend.rest.operations import Routes
from backend.rest.views import Body, Id, Page, PageQuery, Query, View, moment_cursor, page_of
from backend.services.consultation_base import audience_of
from backend.services.consultation_log import Committed
from backend.services.consultation_reading import OPEN_STATES
from backend.services.socket_tickets import LIFETIME, holder_of

routes = Routes("consultations")


class SocketTicketView(View):
    """连接凭证：只能用一次，一分钟内有效。"""

    ticket: str
    expires_in: int
    path: str
    namespace: Literal["/citizen", "/clerk"]


class NewConsultation(Body):
    """`cid` 由客户端生成：同一个 cid 再发一次得到同一次咨询。"""

    cid: Id
    subject: str = Field(min_length=1, max_length=LONG)
    matter_id: Id | None = None
    case_id: Id | None = None
    area_code: str | None = Field(default=None, pattern=r"^[0-9]{6,12}$")
    body: ContentBody | None = None


class NewMessage(Body):
    cid: Id
    body: ContentBody


class OpsQuery(Query):
    after: int = Field(default=0, ge=0, le=SEQ_MAX)
    limit: int = Field(default=200, ge=1, le=200)


class DeskQuery(PageQuery):
    state: Literal["open", "active", "waiting_answer", "closed"] = "open"


class CommittedView(View):
    """已提交的操作；`dup` 为真表示以前已经提交过。"""

    operation: OperationView
    consultation: ConsultationView
    dup: bool


async def _committed(request: web.Request, committed: Committed, actor: Actor) -> CommittedView:
    return CommittedView(
        operation=OperationView.model_validate(operation_json(committed.operation, audience_of(actor))),
        consultation=await _view(request, committed.state, actor),
        dup=committed.dup,
    )


async def _view(request: web.Request, state: Consultation, actor: Actor) -> ConsultationView:
    read = await request.config_dict[keys.CONSULTATIONS].watermarks([state])
    return ConsultationView.model_validate(consultation_json(state, read[state.id], audience_of(actor)))


async def _page(request: web.Request, found: list[Consultation], limit: int, actor: Actor) -> Page[ConsultationView]:
    read = await request.config_dict[keys.CONSULTATIONS].watermarks(found[:limit])

    def view(state: Consultation) -> ConsultationView:
        return ConsultationView.model_validate(consultation_json(state, read[state.id], audience_of(actor)))

    return page_of(found, limit, view, lambda state: (state.updated_at, state.id))


@routes.post("/socket-tickets", status=201)
async def create_socket_ticket(request: web.Request, actor: Actor) -> SocketTicketView:
    """领取一张连接凭证，用来打开实时咨询的连接。

    很多人同时连接时回答 503：在 `retry_after` 秒后再来，届时一定能领到。
    """
    if actor.kind in ("citizen", "staff"):
        request.config_dict[keys.ADMIT_TO_SOCKETS](actor.kind, holder_of(actor))
    ticket = await request.config_dict[keys.SOCKET_TICKETS].issue(actor)
    return SocketTicketView(
        ticket=ticket,
        expires_in=int(LIFETIME.total_seconds()),
        path="/socket.io/",
        namespace="/citizen" if actor.kind == "citizen" else "/clerk",
    )


@routes.get("/consultations")
async def list_consultations(request: web.Request, query: PageQuery, actor: Actor) -> Page[ConsultationView]:
    """我的咨询，最近的在前。"""
    service = request.config_dict[keys.CONSULTATIONS]
    found = await service.mine(actor, limit=query.limit + 1, before=moment_cursor(query.cursor))
    return await _page(request, found, query.limit, actor)


@routes.post("/consultations", status=201, errors=[Conflict, NotFound])
async def open_consultation(request: web.Request, body: NewConsultation, actor: Actor) -> CommittedView:
    """发起咨询：转给负责的岗位，或留言并告知答复时间。"""
    committed = await request.config_dict[keys.CONSULTATIONS].open(
        actor,
        cid=body.cid,
        subject=body.subject,
        matter_id=body.matter_id,
        case_id=body.case_id,
        area_code=body.area_code,
        content=body.body.content() if body.body else None,
    )
    return await _committed(request, committed, actor)


@routes.get("/consultations/{consultation_id}")
async def get_consultation(request: web.Request, consultation_id: Id, actor: Actor) -> ConsultationView:
    """一次咨询的当前状态。"""
    state = await request.config_dict[keys.CONSULTATIONS].read_for(actor, consultation_id, "state")
    return await _view(request, state, actor)


@routes.get("/consultations/{consultation_id}/ops")
async def get_consultation_ops(
    request: web.Request, consultation_id: Id, query: OpsQuery, actor: Actor
) -> OperationsView:
    """咨询记录：某个序号之后的操作，按顺序，没有缺口。"""
    operations, state = await request.config_dict[keys.CONSULTATIONS].operations(
        actor, consultation_id, after=query.after, limit=query.limit
    )
    last = operations[-1].seq if operations else query.after
    audience = audience_of(actor)
    return OperationsView(
        conv=state.id,
        epoch=state.epoch,
        last_seq=max(state.last_seq, last if operations else 0),
        more=last < state.last_seq,
        ops=[OperationView.model_validate(operation_json(o, audience)) for o in operations],
    )


@routes.post("/consultations/{consultation_id}/messages", status=201, errors=[Conflict])
async def send_message(request: web.Request, consultation_id: Id, body: NewMessage, actor: Actor) -> CommittedView:
    """发送消息：实时连接不可用时使用，结果与连接相同。"""
    committed = await request.config_dict[keys.CONSULTATIONS].send(
        actor, consultation_id, cid=body.cid, content=body.body.content()
    )
    return await _committed(request, committed, actor)


@routes.get("/consultations/{consultation_id}/receipts")
async def list_receipts(request: web.Request, consultation_id: Id, actor: Actor) -> list[ReceiptView]:
    """各方收到和读到的序号。"""
    found = await request.config_dict[keys.CONSULTATIONS].receipts(actor, consultation_id)
    return [ReceiptView.model_validate(receipt_json(receipt)) for receipt in found]


@routes.get("/desk/consultations")
async def list_desk_consultations(request: web.Request, query: DeskQuery, actor: Actor) -> Page[ConsultationView]:
    """工作台上的咨询：分配给我的、本岗位的、我负责的部门的。"""
    states = OPEN_STATES if query.state == "open" else (State(query.state),)
    found = await request.config_dict[keys.CONSULTATIONS].desk(
        actor, states=states, limit=query.limit + 1, before=moment_cursor(query.cursor)
    )
    return await _page(request, found, query.limit, actor)
