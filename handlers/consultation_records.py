"""What is left of consultations: searching in them, transcripts, and receipts where sockets are blocked."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import quote

from aiohttp import web
from pydantic import ConfigDict, Field, StringConstraints

from backend import keys
from backend.domain.access import Actor
from backend.domain.consultation_search import MAX_QUERY, Snippet
from backend.domain.errors import NotFound, TooLarge
from backend.rest.consultation_bodies import SEQ_MAX
from backend.rest.consultation_views import ConsultationView, PartyView, consultation_json, party_json
from backend.rest.operations import Routes
from backend.rest.views import Body, Id, Moment, PageQuery, Query, View, encode_cursor, id_cursor
from backend.services.consultation_base import audience_of
from backend.services.consultation_search import Found, Hit

routes = Routes("consultations")

_TYPES = {
    "text": ("text/plain; charset=utf-8", "txt"),
    "pdf": ("application/pdf", "pdf"),
    "json": ("application/x-ndjson; charset=utf-8", "jsonl"),
}


class SearchQuery(PageQuery):
    """几个词用空格分开，全部包含才算找到；不分大小写、全角半角。"""

    q: str = Field(min_length=1, max_length=MAX_QUERY, description="要找的内容，1 到 50 个字")


class SnippetView(View):
    """一段文字和其中找到的位置。文字原样给出，不是 HTML。"""

    text: str
    places: list[tuple[int, int]] = Field(
        description="找到的位置 [起, 止)，按 UTF-16 码元计，即 JavaScript 的 text.slice(起, 止)"
    )
    before: bool = Field(description="前面还有文字")
    after: bool = Field(description="后面还有文字")


class SearchHitView(View):
    """一条包含所找内容的消息（工作人员还包括内部备注）。"""

    model_config = ConfigDict(serialize_by_alias=True)

    seq: int
    kind: Literal["message", "note"]
    ts: Moment
    sender: PartyView = Field(validation_alias="from", serialization_alias="from")
    snippet: SnippetView


class FoundConsultationView(View):
    """一次咨询和其中找到的消息，最近的在前；只在主题或事项名称中找到时 hits 为空。"""

    consultation: ConsultationView
    subject: SnippetView
    matter: SnippetView | None
    hits: list[SearchHitView]
    more_hits: bool = Field(description="这次咨询中还有更早的消息也包含所找内容，没有列出")


class FoundPage(View):
    """一页搜索结果，最近发起的咨询在前。"""

    items: list[FoundConsultationView]
    next_cursor: str | None = None
    complete: bool = Field(
        description="为 false 时，这一页因为已查看的记录够多而提前结束（可能一条也没有），"
        "用 next_cursor 可以继续找更早的"
    )


class TranscriptQuery(Query):
    format: Literal["text", "pdf", "json"] = Field(
        default="text", description="text：文本；pdf：可打印；json：规范文本，每行一条，用于核对"
    )


class TranscriptClaim(Body):
    """副本末尾写明的条数和 SHA-256。"""

    last_seq: int = Field(ge=1, le=SEQ_MAX)
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class RecalledSinceView(View):
    """副本生成之后被撤回的一条消息。"""

    seq: int
    recalled_by: int
    ts: Moment


class VerdictView(View):
    """核对结果。"""

    matches: bool = Field(description="副本与系统中的记录一致；生成副本之后的撤回不影响结果")
    epoch: int
    last_seq: int = Field(description="记录现在共有多少条")
    recalled_since: list[RecalledSinceView] = Field(description="副本中有、后来被撤回的消息")


class NewReceipt(Body):
    """收到和读到的序号；只会增加，不会减少。"""

    delivered: int = Field(default=0, ge=0, le=SEQ_MAX)
    read: int = Field(default=0, ge=0, le=SEQ_MAX)


class WatermarkView(View):
    """现在记录的序号。"""

    delivered: int
    read: int


@routes.get("/consultations/search", rate=60)
async def search_consultations(request: web.Request, query: SearchQuery, actor: Actor) -> FoundPage:
    """在自己的咨询记录中搜索：市民搜自己的，工作人员搜有权查看的（包括以前答复过的）。

    查找消息现在的文字、照片名称、卡片标题、位置，以及咨询的主题和事项名称；撤回的和修改前的文字找不到。
    """
    found = await request.config_dict[keys.CONSULTATION_SEARCH].find(
        actor, query.q, limit=query.limit, before=id_cursor(query.cursor)
    )
    read = await request.config_dict[keys.CONSULTATIONS].watermarks([item.state for item in found.items])

    def view(item: Found) -> dict[str, Any]:
        return {
            "consultation": consultation_json(item.state, read[item.state.id], audience_of(actor)),
            "subject": _snippet(item.subject),
            "matter": _snippet(item.matter) if item.matter else None,
            "hits": [_hit(hit) for hit in item.hits],
            "more_hits": item.more_hits,
        }

    return FoundPage(
        items=[FoundConsultationView.model_validate(view(item)) for item in found.items],
        next_cursor=encode_cursor(found.next_before) if found.next_before else None,
        complete=found.complete,
    )


def _hit(hit: Hit) -> dict[str, Any]:
    operation = hit.operation
    return {
        "seq": operation.seq,
        "kind": operation.kind.value,
        "ts": operation.at,
        "from": party_json(operation.sender),
        "snippet": _snippet(hit.snippet),
    }


def _snippet(snippet: Snippet) -> dict[str, Any]:
    return {
        "text": snippet.text,
        "places": snippet.places,
        "before": snippet.before,
        "after": snippet.after,
    }


@routes.get(
    "/consultations/{consultation_id}/transcript",
    produces=[media_type.partition(";")[0] for media_type, _ in _TYPES.values()],
    errors=[NotFound, TooLarge],
    rate=20,
)
async def get_transcript(
    request: web.Request, consultation_id: Id, query: TranscriptQuery, actor: Actor
) -> web.Response:
    """下载咨询记录副本：自己能看到的全部内容，末尾有完整性说明和 SHA-256。

    应答头 `Banshi-Transcript-SHA256` 和 `Banshi-Transcript-Last-Seq` 给出同样的值，可交给 verify 核对；
    json 格式的内容就是计算 SHA-256 的规范文本（见 docs/protocol.md）。
    """
    service = request.config_dict[keys.TRANSCRIPTS]
    transcript = await service.of(actor, consultation_id)
    make = {"text": service.text, "pdf": service.pdf, "json": service.canonical}[query.format]
    media_type, ending = _TYPES[query.format]
    plain = f"consultation-{transcript.state.id}.{ending}"
    return web.Response(
        body=await make(transcript),
        headers={
            "Content-Type": media_type,
            # RFC 6266: the name in Chinese, and one for who does not read that member
            "Content-Disposition": f'attachment; filename="{plain}"; '
            f"filename*=UTF-8''{quote(f'{transcript.filename}.{ending}')}",
            "Banshi-Transcript-SHA256": transcript.sha256,
            "Banshi-Transcript-Last-Seq": str(transcript.last_seq),
        },
    )


@routes.post("/consultations/{consultation_id}/transcript/verify", errors=[NotFound, TooLarge], rate=20)
async def verify_transcript(
    request: web.Request, consultation_id: Id, body: TranscriptClaim, actor: Actor
) -> VerdictView:
    """核对一份记录副本与系统中的记录是否一致，以及之后有哪些消息被撤回。

    市民看到的和工作人员看到的不同，各自核对自己一方的副本。
    """
    verdict = await request.config_dict[keys.TRANSCRIPTS].verify(
        actor, consultation_id, last_seq=body.last_seq, sha256=body.sha256
    )
    return VerdictView(
        matches=verdict.matches,
        epoch=verdict.epoch,
        last_seq=verdict.last_seq,
        recalled_since=[
            RecalledSinceView(seq=item.seq, recalled_by=item.recalled_by, ts=item.at) for item in verdict.recalled_since
        ],
    )


@routes.post("/consultations/{consultation_id}/receipts")
async def add_receipt(request: web.Request, consultation_id: Id, body: NewReceipt, actor: Actor) -> WatermarkView:
    """告知收到和读到第几条：实时连接不可用时使用，结果与连接相同；重复发送没有影响。"""
    found = await request.config_dict[keys.CONSULTATIONS].receive(
        actor, consultation_id, delivered=body.delivered, read=body.read
    )
    return WatermarkView(delivered=found.delivered, read=found.read)
