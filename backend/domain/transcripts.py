"""A transcript (咨询记录副本): everything a reader may see of a consultation, as lines for people.

Times are legal time (Asia/Shanghai). What somebody typed is always indented, so that no message can pass for
a line of the transcript.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from backend.domain.consultation_content import CardKind, Content
from backend.domain.consultation_operations import (
    Assigned,
    AssignmentCause,
    Audience,
    Closed,
    CloseReason,
    Edit,
    Message,
    Note,
    Offered,
    Opened,
    Operation,
    Party,
    Rated,
    Recall,
    Reopened,
    Skip,
    Transferred,
    Waiting,
)
from backend.domain.consultations import Consultation, State

SHANGHAI = ZoneInfo("Asia/Shanghai")

_STATES = {
    State.QUEUED: "等待分配",
    State.OFFERED: "等待工作人员接受",
    State.ACTIVE: "正在答复",
    State.WAITING_ANSWER: "已留言，等待答复",
    State.CLOSED: "已结束",
}
_REASONS = {
    CloseReason.ANSWERED: "已答复",
    CloseReason.CITIZEN_LEFT: "市民结束",
    CloseReason.SILENT: "长时间没有新消息",
    CloseReason.MISPLACED: "不属于本处受理范围",
}
_CAUSES = {
    AssignmentCause.ROUTED: "系统按职责分配",
    AssignmentCause.TAKEN: "主动接手",
    AssignmentCause.DECLINED: "上一位退回后重新分配",
    AssignmentCause.TRANSFERRED: "转办后分配",
}
_CARDS = {CardKind.GUIDE: "办事指南", CardKind.CASE: "办件", CardKind.MATERIAL_REQUEST: "请提供材料"}
_SCORES = ("非常不满意", "不满意", "基本满意", "满意", "非常满意")
_KINDS = {"citizen": "市民", "staff": "工作人员", "system": "系统"}
#: Line ends of every kind a text may hold.
_LINE_ENDS = re.compile(r"\r\n|[\n\r\u2028\u2029]")
#: Characters that turn the direction of what follows: shown by their number, or they would turn ours.
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069\u200e\u200f]")


class Style(StrEnum):
    """What a line is, for whoever lays it out."""

    TITLE = "title"
    SECTION = "section"
    FACT = "fact"
    OPERATION = "operation"
    SAID = "said"
    SMALL = "small"
    BLANK = "blank"


@dataclass(frozen=True, slots=True)
class Line:
    style: Style
    text: str = ""


@dataclass(frozen=True, slots=True)
class ReadMark:
    """Up to which number somebody has received and read."""

    reader: Party
    delivered: int
    read: int


@dataclass(frozen=True, slots=True)
class Transcript:
    """`operations` are 1 to n as `audience` sees them; `sha256` is over their canonical lines.

    `photos` gives the SHA-256 of photographs by their upload id, where it is known.
    """

    state: Consultation
    operations: tuple[Operation, ...]
    audience: Audience
    made_for: Party
    made_at: datetime
    sha256: str
    marks: tuple[ReadMark, ...] = ()
    photos: Mapping[str, str] = field(default_factory=dict)
    district: str | None = None

    @property
    def last_seq(self) -> int:
        return self.operations[-1].seq

    @property
    def filename(self) -> str:
        """Without its ending. Nothing in it comes from what people typed."""
        day = self.state.opened_at.astimezone(SHANGHAI)
        return f"咨询记录-{day:%Y%m%d}-{self.state.id[-12:]}"


def as_of(operations: Sequence[Operation]) -> list[Operation]:
    """The operations 1 to n as they stood when n was the last one: recalled is what these recall.

    So pages that were read one after the other, with a recall in between, make one moment; and what was
    recalled later does not change what a transcript was.
    """
    recalled = {o.payload.target_seq: o.seq for o in operations if isinstance(o.payload, Recall)}

    def at_that_time(operation: Operation) -> Operation:
        target = operation.payload.target_seq if isinstance(operation.payload, Edit) else operation.seq
        by = recalled.get(target) if isinstance(operation.payload, Edit | Message) else None
        return operation if operation.recalled_by == by else replace(operation, recalled_by=by)

    return [at_that_time(operation) for operation in operations]


def lines_of(transcript: Transcript) -> Iterator[Line]:
    """The whole transcript, from the title to the statement of completeness."""
    yield Line(Style.TITLE, f"{transcript.district or ''}政务服务咨询记录")
    yield from _head(transcript)
    yield Line(Style.SECTION, "咨询内容")
    edits: dict[int, int] = {}
    for operation in transcript.operations:
        if isinstance(operation.payload, Edit):
            edits[operation.payload.target_seq] = operation.seq
    for operation in transcript.operations:
        yield from _operation(operation, edits.get(operation.seq), transcript.photos)
    yield Line(Style.SECTION, "已读情况")
    yield from _marks(transcript.marks)
    yield Line(Style.SECTION, "完整性说明")
    yield from _statement(transcript)


def shown_moment(moment: datetime) -> str:
    return f"{moment.astimezone(SHANGHAI):%Y-%m-%d %H:%M:%S}"


def tamed(text: str) -> list[str]:
    """A text as lines, with what would turn the direction of a line shown by its number."""
    safe = _TURNING.sub(lambda found: f"〔U+{ord(found.group()):04X}〕", text)
    return _LINE_ENDS.split(safe)


def _one_line(text: str) -> str:
    return " ".join(tamed(text))


def _head(transcript: Transcript) -> Iterator[Line]:
    state = transcript.state
    opened = transcript.operations[0].payload
    facts = [("主题", state.subject), ("编号", state.id)]
    if state.matter:
        facts.append(("事项", f"{state.matter.name}（办事指南第 {state.matter.version} 版）"))
    if state.case_id:
        facts.append(("办件", state.case_id))
    citizen = opened.citizen.name if isinstance(opened, Opened) else state.citizen.name
    if state.citizen.name != citizen:
        citizen = f"{citizen}（现称呼：{state.citizen.name}）"
    facts.append(("市民", citizen))
    answering = [o.payload.staff.name for o in transcript.operations if isinstance(o.payload, Assigned)]
    if answering:
        facts.append(("工作人员", "、".join(dict.fromkeys(answering))))
    facts += [("状态", _STATES[state.state]), ("发起", shown_moment(state.opened_at))]
    if state.closed_at and state.close_reason:
        facts.append(("结束", f"{shown_moment(state.closed_at)}（{_REASONS[state.close_reason]}）"))
    if state.score:
        facts.append(("评价", _score(state.score)))
    for name, value in facts:
        yield Line(Style.FACT, f"{name}：{_one_line(value)}")


def _score(score: int) -> str:
    return f"{score} 分（满分 5 分，{_SCORES[score - 1]}）"


def _operation(operation: Operation, edited_by: int | None, photos: Mapping[str, str]) -> Iterator[Line]:
    if isinstance(operation.payload, Skip):
        yield Line(Style.OPERATION, f"第 {operation.seq} 条　（工作人员内部记录，不对市民显示）")
        return
    sender = operation.sender
    name = _one_line(sender.name)
    who = _KINDS[sender.kind] if sender.kind == "system" or not name else f"{name}（{_KINDS[sender.kind]}）"
    heading = f"第 {operation.seq} 条　{shown_moment(operation.at)}　{who}　{_done(operation)}"
    if operation.recalled_by is not None:
        heading += f"〔已由第 {operation.recalled_by} 条撤回〕"
    elif edited_by is not None:
        heading += f"〔后有修改，见第 {edited_by} 条〕"
    yield Line(Style.OPERATION, heading)
    for text in _told(operation, photos):
        for line in tamed(text):
            yield Line(Style.SAID, line)


def _done(operation: Operation) -> str:
    match operation.payload:
        case Opened():
            return "发起咨询"
        case Message(content=content):
            return f"引用第 {content.reply_to} 条" if content.reply_to else ""
        case Edit(target_seq=target):
            return f"将第 {target} 条修改为"
        case Recall(target_seq=target):
            return f"撤回第 {target} 条"
        case Note():
            return "内部备注（市民看不到）"
        case Offered(staff=staff, expires_at=until):
            return f"请{_one_line(staff.name)}在 {shown_moment(until)} 前接受"
        case Assigned(staff=staff, cause=cause):
            return f"由{_one_line(staff.name) or '工作人员'}答复（{_CAUSES[cause]}）"
        case Waiting(promised_at=promised):
            return f"转为留言，承诺在 {shown_moment(promised)} 前答复"
        case Transferred():
            return "转办"
        case Closed(reason=reason):
            return f"结束咨询（{_REASONS[reason]}）"
        case Reopened():
            return "重新打开咨询"
        case Rated(score=score):
            return f"评价：{_score(score)}"
        case _:
            return ""


def _told(operation: Operation, photos: Mapping[str, str]) -> list[str]:
    """What stands below the heading."""
    if operation.recalled_by is not None:
        return []
    match operation.payload:
        case Opened(subject=subject):
            return [subject]
        case Message(content=content):
            return _content(content, photos)
        case Note(text=text, attachments=attachments):
            return _content(Content(text, attachments), photos)
        case Edit(text=text):
            return [text]
        case Assigned(explanation=text) | Waiting(explanation=text) | Transferred(reason=text):
            return [text] if text else []
        case Closed(remark=text) | Rated(comment=text):
            return [text] if text else []
        case _:
            return []


def _content(content: Content, photos: Mapping[str, str]) -> list[str]:
    told = [content.text] if content.text else []
    for number, photo in enumerate(content.attachments, 1):
        facts = [f"{photo.size} 字节", f"{photo.width}×{photo.height} 像素"]
        known = photos.get(photo.upload_id)
        facts.append(f"SHA-256 {known}" if known else f"编号 {photo.upload_id}")
        told.append(f"［照片 {number}］{_one_line(photo.name)}（{'，'.join(facts)}）")
    if place := content.location:
        named = " ".join(_one_line(part) for part in (place.name, place.address) if part)
        told.append(f"［位置］{named}（纬度 {place.latitude}，经度 {place.longitude}，GCJ-02）")
    if card := content.card:
        version = f"（第 {card.version} 版）" if card.version else ""
        item = f"：{_one_line(card.item)}" if card.item else ""
        told.append(f"［{_CARDS[card.kind]}］{_one_line(card.title)}{version}{item}")
    return told


def _marks(marks: Sequence[ReadMark]) -> Iterator[Line]:
    if not marks:
        yield Line(Style.FACT, "尚无已读回执。")
    for mark in sorted(marks, key=lambda m: (m.reader.kind, m.reader.id)):
        who = f"{_one_line(mark.reader.name)}（{_KINDS[mark.reader.kind]}）"
        yield Line(Style.FACT, f"{who}：收到第 {mark.delivered} 条，读到第 {mark.read} 条")


def _statement(transcript: Transcript) -> Iterator[Line]:
    count = transcript.last_seq
    hidden = sum(isinstance(o.payload, Skip) for o in transcript.operations)
    yield Line(Style.FACT, f"本记录包含第 1 条至第 {count} 条的全部 {count} 条，编号连续，没有缺漏。")
    if hidden:
        yield Line(Style.FACT, f"其中 {hidden} 条是工作人员内部记录，只列编号，不显示内容。")
    if transcript.audience is Audience.STAFF:
        yield Line(Style.FACT, "本记录供工作人员使用，可能含有市民看不到的内部备注，请勿交给市民。")
    made_for = transcript.made_for
    yield Line(Style.FACT, f"记录批次（epoch）：{transcript.state.epoch}")
    yield Line(Style.FACT, f"生成时间：{shown_moment(transcript.made_at)}")
    yield Line(Style.FACT, f"生成给：{_one_line(made_for.name)}（{_KINDS[made_for.kind]}）")
    yield Line(Style.FACT, f"SHA-256：{transcript.sha256}")
    yield Line(
        Style.SMALL,
        "SHA-256 是对各条内容的规范文本（JSON 格式的记录副本）计算的，凭它可以核对本记录与系统中的记录是否一致。",
    )
