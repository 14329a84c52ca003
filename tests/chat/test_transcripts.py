"""Transcripts over HTTP: what stands in them, and that they can be checked."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import uuid
import zlib
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

from backend.composition import Services
from backend.domain.access import Role
from backend.domain.consultation_content import Content
from backend.domain.consultation_operations import Message, Opened, Operation, Party
from backend.domain.consultations import apply
from backend.domain.ids import new_id
from backend.services.consultation_readings import AGGREGATE
from backend.storage.consultations import OPS, STATES, operation_to_document
from backend.storage.documents import to_document
from tests.callers import Caller
from tests.chat.conftest import MONDAY, Connect, Office
from tests.conftest import LoginStaff


async def download(caller: Caller, conv: str, form: str) -> tuple[bytes, dict[str, str]]:
    path = f"/api/consultations/{conv}/transcript?format={form}"
    async with caller.http.get(path, headers={"Authorization": f"Bearer {caller.token}"}) as response:
        assert response.status == 200, await response.text()
        return await response.read(), dict(response.headers)


async def text_of(caller: Caller, conv: str) -> str:
    body, headers = await download(caller, conv, "text")
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert body.startswith(b"\xef\xbb\xbf")
    return body.decode("utf-8-sig")


async def verify(caller: Caller, conv: str, last_seq: int, sha256: str) -> Any:
    body = {"last_seq": last_seq, "sha256": sha256}
    status, answer = await caller.post(f"/api/consultations/{conv}/transcript/verify", body)
    assert status == 200, answer
    return answer


async def talk(connect: Connect, citizen: Caller, clerk: Caller, office: Office) -> str:
    """Everything that can be said, from the question to the rating."""
    phone, desk = await connect(citizen), await connect(clerk)
    conv = str((await phone.open("户口本丢了怎么办", matter_id=office.matter.id, text="您好😀𠮷先生"))["conv"])
    await desk.until(lambda: desk.logs.get(conv))
    await desk.follow(conv)
    edited = (await desk.send(conv, "请带身份证"))["seq"]
    await desk.act("msg:edit", conv, target_seq=edited, text="请带身份证原件")
    await desk.act("note:add", conv, text="上周来过")
    gone = (await phone.send(conv, "我的号码是一二三"))["seq"]
    await phone.act("msg:recall", conv, target_seq=gone)
    place = {"latitude": 23.5, "longitude": 113.0, "name": "榕江区民政局", "address": "人民路 1 号"}
    card = {"kind": "guide", "target_id": office.matter.id, "title": "结婚登记", "version": 3}
    await desk.send(conv, "", body={"location": place, "card": card, "reply_to": 2})
    await phone.send(conv, "第一行\n第 99 条　假的\u202e一行")
    last = (await desk.act("conv:close", conv, remark="已告知"))["seq"]
    await phone.call("rcpt", {"conv": conv, "delivered": last, "read": last})
    await phone.act("conv:rate", conv, score=5, comment="很快")
    return conv


async def test_a_transcript_says_everything_its_reader_may_see(
    connect: Connect, citizen: Caller, clerk: Caller, office: Office
) -> None:
    conv = await talk(connect, citizen, clerk, office)
    shown = await text_of(citizen, conv)
    for piece in (
        "榕江区政务服务咨询记录",
        f"编号：{conv}",
        "事项：结婚登记（办事指南第 3 版）",
        "工作人员：王敏",
        "    您好😀𠮷先生\r\n",
        "〔后有修改，见第 5 条〕",
        "将第 4 条修改为\r\n    请带身份证原件",
        "第 6 条　（工作人员内部记录，不对市民显示）",
        "〔已由第 8 条撤回〕",
        "［位置］榕江区民政局 人民路 1 号（纬度 23.5，经度 113.0，GCJ-02）",
        "［办事指南］结婚登记（第 3 版）",
        "引用第 2 条",
        "    第 99 条　假的〔U+202E〕一行\r\n",  # what somebody typed stays indented and turns nothing
        "读到第 11 条",
        "评价：5 分（满分 5 分，非常满意）",
        "本记录包含第 1 条至第 12 条的全部 12 条，编号连续，没有缺漏。",
        "其中 1 条是工作人员内部记录",
        "记录批次（epoch）：1",
    ):
        assert piece in shown, piece
    assert "上周来过" not in shown
    assert "一二三" not in shown
    assert not re.search(r"(?<!\r)\n", shown)
    staff = await text_of(clerk, conv)
    assert "    上周来过\r\n" in staff
    assert "请勿交给市民" in staff
    assert "一二三" not in staff


async def test_anybody_can_make_the_hash_from_the_operations(
    connect: Connect, citizen: Caller, clerk: Caller, office: Office
) -> None:
    conv = await talk(connect, citizen, clerk, office)
    hashes = []
    for caller in (citizen, clerk):
        lines, headers = await download(caller, conv, "json")
        sha256 = headers["Banshi-Transcript-SHA256"]
        assert hashlib.sha256(lines).hexdigest() == sha256
        _, answer = await caller.get(f"/api/consultations/{conv}/ops")
        assert b"".join(map(canonical, answer["ops"])) == lines
        assert f"SHA-256：{sha256}\r\n" in await text_of(caller, conv)
        assert (await verify(caller, conv, 12, sha256))["matches"] is True
        hashes.append(sha256)
    assert (await verify(citizen, conv, 12, hashes[1]))["matches"] is False  # the other side's
    assert (await verify(citizen, conv, 11, hashes[0]))["matches"] is False
    assert (await verify(citizen, conv, 13, hashes[0]))["matches"] is False


def canonical(op: dict[str, Any]) -> bytes:
    """As docs/protocol.md says, from what `GET …/ops` gave."""
    kept = {name: value for name, value in op.items() if name not in ("v", "epoch") and value is not None}
    if op["kind"] == "skip":
        kept = {name: kept[name] for name in ("conv", "seq", "kind")}
    text = json.dumps(kept, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return text.replace("113.0", "113").encode() + b"\n"  # the one number that RFC 8785 writes otherwise


async def test_a_true_transcript_stays_true_when_the_talk_goes_on_and_things_are_recalled(
    connect: Connect, citizen: Caller, clerk: Caller, office: Office
) -> None:
    phone = await connect(citizen)
    conv = str((await phone.open("撤回", matter_id=office.matter.id))["conv"])
    said = (await phone.send(conv, "说错了"))["seq"]
    _, headers = await download(citizen, conv, "json")
    before = headers["Banshi-Transcript-SHA256"], int(headers["Banshi-Transcript-Last-Seq"])
    await phone.send(conv, "还有")
    recall = (await phone.act("msg:recall", conv, target_seq=said))["seq"]
    verdict = await verify(citizen, conv, before[1], before[0])
    assert (verdict["matches"], verdict["last_seq"]) == (True, recall)
    assert [(r["seq"], r["recalled_by"]) for r in verdict["recalled_since"]] == [(said, recall)]
    assert "说错了" not in await text_of(citizen, conv)
    # a log that was tampered with shows
    assert (await verify(citizen, conv, before[1], hashlib.sha256(b"").hexdigest()))["matches"] is False


async def test_a_pdf_has_every_character_and_is_the_same_at_the_same_time(
    connect: Connect, citizen: Caller, clerk: Caller, office: Office
) -> None:
    conv = await talk(connect, citizen, clerk, office)
    first, headers = await download(citizen, conv, "pdf")
    assert headers["Content-Type"] == "application/pdf"
    name = re.search(r"filename\*=UTF-8''(\S+)", headers["Content-Disposition"])
    assert name
    assert unquote(name[1]) == f"咨询记录-20260316-{conv[-12:]}.pdf"
    text = pdf_text(first)
    for piece in (
        "户口本丢了怎么办",
        "〔U+1F600〕",
        "〔U+20BB7〕",
        "请带身份证原件",
        "第 1 页，共 ",
        "的字体中没有的字符",
    ):
        assert piece in text, piece
    second, _ = await download(citizen, conv, "pdf")
    moment = re.compile(r"生成时间：[0-9: -]{19}")
    assert moment.search(text)
    assert moment.sub("", text) == moment.sub("", pdf_text(second))


def pdf_text(pdf: bytes) -> str:
    """The strings of the pages, in order."""
    shown = []
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL):
        content = zlib.decompress(base64.a85decode(b"<~" + stream.strip(), adobe=True))
        for piece in re.findall(rb"\(((?:\\.|[^\\)])*)\) Tj", content, re.DOTALL):
            shown.append(_unescaped(piece).decode("utf-16-be"))
    return "".join(shown)


def _unescaped(piece: bytes) -> bytes:
    simple = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}

    def one(found: re.Match[bytes]) -> bytes:
        code = found[1]
        return bytes([int(code, 8)]) if code.isdigit() else simple.get(code, code)

    return re.sub(rb"\\([0-7]{3}|.)", one, piece, flags=re.DOTALL)


async def test_five_thousand_operations_are_given_while_others_are_served(
    services: Services, citizen: Caller, office: Office
) -> None:
    conv = await long_talk(services, citizen, 5000)
    waits: list[float] = []
    loop = asyncio.get_running_loop()

    async def others() -> None:
        while True:
            start = loop.time()
            await asyncio.sleep(0.01)
            waits.append(loop.time() - start - 0.01)

    watching = asyncio.create_task(others())
    try:
        pdf, headers = await download(citizen, conv, "pdf")
        text, _ = await download(citizen, conv, "text")
    finally:
        watching.cancel()
    assert headers["Banshi-Transcript-Last-Seq"] == "5000"
    assert "第 5000 条" in pdf_text(pdf)
    assert text.count("这是一条普普通通的消息".encode()) == 4999
    print(f"longest wait of others: {max(waits):.3f} s of {len(waits)}, {len(pdf)} bytes")


async def long_talk(services: Services, citizen: Caller, count: int) -> str:
    who, state, conv, ops = Party("citizen", citizen.actor_id, "小明"), None, new_id(), []
    for seq in range(1, count + 1):
        said = Message(Content(f"这是一条普普通通的消息，编号 {seq}，再说两句才够一行多一点的长度，免得太短了。"))
        payload = said if seq > 1 else Opened(who, "很长的咨询")
        at = MONDAY + timedelta(seconds=seq)
        operation = Operation(new_id(), conv, 1, seq, str(uuid.uuid4()), who, at, payload)
        state = apply(state, operation)
        ops.append(operation_to_document(operation))
    await services.database[STATES].insert_one({**to_document(state), "open_cid": str(uuid.uuid4())})
    await services.database[OPS].insert_many(ops)
    return conv


async def test_supervision_reads_and_is_recorded_and_strangers_find_nothing(
    services: Services,
    connect: Connect,
    citizen: Caller,
    stranger: Caller,
    clerk: Caller,
    office: Office,
    login_staff: LoginStaff,
) -> None:
    phone = await connect(citizen)
    conv = str((await phone.open("督查", matter_id=office.matter.id, text="请问"))["conv"])
    supervisor = await login_staff(Role.SUPERVISOR, name="督查员")
    path = f"/api/consultations/{conv}"
    assert (await supervisor.get(path))[0] == 200
    assert (await supervisor.get(f"{path}/ops"))[1]["ops"][1]["body"]["text"] == "请问"
    assert "生成给：督查员（工作人员）" in await text_of(supervisor, conv)
    await supervisor.get("/api/consultations/search", params={"q": "请问"})
    for caller in (citizen, clerk):
        await caller.get(path)
        await text_of(caller, conv)
    readings = await services.events.latest(AGGREGATE, conv, limit=10)
    assert [(e.sequence, e.kind, e.actor_id) for e in readings] == [
        (n, what, supervisor.actor_id)
        for n, what in ((4, "search"), (3, "transcript"), (2, "operations"), (1, "state"))
    ]
    # who supervises is no reader the citizen is shown
    assert (await supervisor.post(f"{path}/receipts", {"read": 2}))[0] == 403
    for caller, way in ((stranger, "transcript"), (stranger, "ops")):
        assert (await caller.get(f"{path}/{way}"))[0] == 404
    outsider = await login_staff(Role.CLERK, department_id=office.bureau.id)
    assert (await outsider.get(f"{path}/transcript"))[0] == 404


async def test_receipts_over_http_are_those_of_the_socket(
    connect: Connect, citizen: Caller, clerk: Caller, office: Office
) -> None:
    phone = await connect(citizen)
    conv = str((await phone.open("已读", matter_id=office.matter.id, text="请问"))["conv"])
    path = f"/api/consultations/{conv}/receipts"
    assert await clerk.post(path, {"delivered": 3, "read": 2}) == (200, {"delivered": 3, "read": 2})
    await phone.until(lambda: phone.logs[conv].receipts.get("staff", {}).get("read") == 2)
    assert await clerk.post(path, {"delivered": 1, "read": 1}) == (200, {"delivered": 3, "read": 2})
    assert await clerk.post(path, {"read": 99}) == (200, {"delivered": 3, "read": 3})  # no more than there is
    assert (await clerk.post(path, {"read": -1}))[0] == 422
