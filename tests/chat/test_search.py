"""Searching in one's own history over HTTP."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from backend.composition import Services
from backend.domain.access import Role
from backend.domain.consultation_content import Content
from backend.domain.consultation_operations import MatterRef, Message, Opened, Operation, Party
from backend.domain.consultations import apply
from backend.domain.ids import new_id
from backend.storage.consultations import OPS, STATES, operation_to_document
from backend.storage.documents import to_document
from tests.callers import Caller
from tests.chat.conftest import MONDAY, Connect, Office
from tests.conftest import LoginStaff

SEARCH = "/api/consultations/search"


async def opened(caller: Caller, office: Office, subject: str, *texts: str) -> str:
    body = {"cid": str(uuid.uuid4()), "subject": subject, "matter_id": office.matter.id}
    status, answer = await caller.post("/api/consultations", body)
    assert status == 201, answer
    for text in texts:
        await said(caller, answer["consultation"]["id"], text)
    return str(answer["consultation"]["id"])


async def said(caller: Caller, conv: str, text: str, **members: Any) -> int:
    body = {"cid": str(uuid.uuid4()), "body": {"text": text, **members}}
    status, answer = await caller.post(f"/api/consultations/{conv}/messages", body)
    assert status == 201, answer
    return int(answer["operation"]["seq"])


async def found(caller: Caller, q: str, **query: Any) -> Any:
    status, page = await caller.get(SEARCH, params={"q": q, **query})
    assert status == 200, page
    return page


def ids(page: Any) -> list[str]:
    return [item["consultation"]["id"] for item in page["items"]]


def hits(page: Any) -> list[str]:
    return [hit["snippet"]["text"] for item in page["items"] for hit in item["hits"]]


def marked(snippet: dict[str, Any]) -> list[str]:
    """The pieces the places point at, cut as JavaScript cuts."""
    units = snippet["text"].encode("utf-16-le")
    return [units[2 * start : 2 * end].decode("utf-16-le") for start, end in snippet["places"]]


async def test_a_piece_of_a_text_is_found_with_its_place(citizen: Caller, clerk: Caller, office: Office) -> None:
    conv = await opened(citizen, office, "户口", "您好😀我想把户口迁到榕江，ＡＢＣ表在哪领？", "谢谢")
    seq = await said(clerk, conv, "户口本请带原件")
    page = await found(citizen, "户口")
    assert ids(page) == [conv]
    item = page["items"][0]
    assert [hit["seq"] for hit in item["hits"]] == [seq, 3]
    assert [marked(hit["snippet"]) for hit in item["hits"]] == [["户口"], ["户口"]]
    assert (item["hits"][0]["from"]["name"], item["hits"][0]["kind"]) == ("王敏", "message")
    assert marked(item["subject"]) == ["户口"]
    # halves of characters and of words, other widths and cases
    assert marked((await found(citizen, "口迁到"))["items"][0]["hits"][0]["snippet"]) == ["口迁到"]
    assert marked((await found(citizen, "abc"))["items"][0]["hits"][0]["snippet"]) == ["ＡＢＣ"]
    assert marked((await found(citizen, "😀"))["items"][0]["hits"][0]["snippet"]) == ["😀"]
    assert ids(await found(citizen, "户籍")) == []


async def test_all_words_must_be_there_in_the_message_or_in_what_it_is_about(citizen: Caller, office: Office) -> None:
    conv = await opened(citizen, office, "办证", "要带身份证吗", "照片要几寸")
    assert hits(await found(citizen, "身份证 带")) == ["要带身份证吗"]
    assert ids(await found(citizen, "身份证 几寸")) == []  # two messages
    assert hits(await found(citizen, "结婚登记 几寸")) == ["照片要几寸"]  # the matter's name and a message
    page = await found(citizen, "结婚 办证")
    assert (ids(page), hits(page)) == ([conv], [])
    assert marked(page["items"][0]["matter"]) == ["结婚"]


async def test_long_texts_are_cut_around_the_place(citizen: Caller, office: Office) -> None:
    await opened(citizen, office, "长", "甲" * 500 + "\n补正材料" + "乙" * 500)
    snippet = (await found(citizen, "补正"))["items"][0]["hits"][0]["snippet"]
    assert (len(snippet["text"]), marked(snippet)) == (80, ["补正"])
    assert (snippet["before"], snippet["after"], "\n" in snippet["text"]) == (True, True, False)


async def test_the_present_text_is_found_and_the_old_one_and_recalled_ones_are_not(
    connect: Connect, citizen: Caller, office: Office
) -> None:
    phone = await connect(citizen)
    conv = (await phone.open("改", matter_id=office.matter.id))["conv"]
    edited = (await phone.send(conv, "住在东风街"))["seq"]
    await phone.act("msg:edit", conv, target_seq=edited, text="住在人民路")
    gone = (await phone.send(conv, "身份证号一二三"))["seq"]
    await phone.act("msg:edit", conv, target_seq=gone, text="身份证号四五六")
    await phone.act("msg:recall", conv, target_seq=gone)
    assert [hit["seq"] for hit in (await found(citizen, "人民路"))["items"][0]["hits"]] == [edited]
    assert hits(await found(citizen, "东风街")) == []
    assert hits(await found(citizen, "身份证号")) == []


async def test_notes_are_found_by_staff_alone(connect: Connect, citizen: Caller, clerk: Caller, office: Office) -> None:
    conv = await opened(citizen, office, "备注", "您好")
    desk = await connect(clerk)
    await desk.follow(conv)
    await desk.act("note:add", conv, text="此人来过三次")
    assert (hits(await found(clerk, "三次")), (await found(clerk, "三次"))["items"][0]["hits"][0]["kind"]) == (
        ["此人来过三次"],
        "note",
    )
    assert ids(await found(citizen, "三次")) == []


async def test_each_searches_what_they_may_read_and_no_more(
    citizen: Caller,
    stranger: Caller,
    clerk: Caller,
    colleague: Caller,
    office: Office,
    login_staff: LoginStaff,
) -> None:
    mine = await opened(citizen, office, "甲问", "找得到")
    theirs = await opened(stranger, office, "乙问", "找得到")
    assert ids(await found(citizen, "找得到")) == [mine]
    assert ids(await found(clerk, "找得到")) == [theirs, mine]
    outsider = await login_staff(Role.CLERK, department_id=office.bureau.id)
    assert ids(await found(outsider, "找得到")) == []
    lead = await login_staff(Role.CLERK, Role.LEAD, department_id=office.bureau.id)
    assert ids(await found(lead, "找得到")) == [theirs, mine]
    editor = await login_staff(Role.EDITOR)
    assert (await editor.get(SEARCH, params={"q": "找得到"}))[0] == 403


async def test_the_check_of_the_deployment_is_in_nobodys_search(services: Services, login_staff: LoginStaff) -> None:
    triage = await login_staff(Role.TRIAGE)
    async with services.canaries.opened() as canary:
        assert ids(await found(triage, canary.consultation.subject)) == []


async def test_pages_are_stable_and_the_query_is_checked(citizen: Caller, office: Office) -> None:
    made = [await opened(citizen, office, f"第{n}次", "同一句话") for n in range(5)]
    seen: list[str] = []
    cursor: dict[str, str] = {}
    for _ in range(3):
        page = await found(citizen, "同一句", limit=2, **cursor)
        seen += ids(page)
        # what is said in between moves nothing from one page to another
        await said(citizen, made[0], "同一句话")
        cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else {}
    assert (seen, cursor) == (made[::-1], {})
    for bad in ("", " ", "字" * 51, "a b c d e f g h i"):
        assert (await citizen.get(SEARCH, params={"q": bad}))[0] == 422
    assert (await citizen.get(SEARCH, params={"q": "话", "cursor": "nonsense"}))[0] == 422
    for special in (".*", "(", "[a", "\\", "同.句"):
        assert ids(await found(citizen, special)) == []


async def test_a_thousand_talks_are_searched_at_once_and_no_request_looks_at_everything(
    services: Services, citizen: Caller, stranger: Caller, office: Office, login_staff: LoginStaff
) -> None:
    await fill(services, Party("citizen", citizen.actor_id, "小明"), office, talks=1000, said=20)
    await fill(services, Party("citizen", stranger.actor_id, "李四"), office, talks=1000, said=20)
    page = await found(citizen, "第 3 句 零零七")
    assert (len(hits(page)), page["next_cursor"], page["complete"]) == (1, None, True)
    supervisor = await login_staff(Role.SUPERVISOR)
    first = await found(supervisor, "没有的词")
    assert (first["items"], first["complete"]) == ([], False)
    rest = await found(supervisor, "没有的词", cursor=first["next_cursor"])
    assert (rest["items"], rest["complete"], rest["next_cursor"]) == ([], True, None)


async def fill(services: Services, who: Party, office: Office, *, talks: int, said: int) -> None:
    """Past talks, as they lie in the database. One message says 零零七."""
    states, ops = [], []
    for talk in range(talks):
        state, conv = None, new_id()
        for seq in range(1, said + 2):
            text = f"第 {seq} 句{'零零七' if (talk, seq) == (7, 3) else ''}"
            payload = Message(Content(text)) if seq > 1 else Opened(who, "旧事", MatterRef(office.matter.id, 3, "结婚"))
            at = MONDAY + timedelta(seconds=talk)
            operation = Operation(new_id(), conv, 1, seq, str(uuid.uuid4()), who, at, payload)
            state = apply(state, operation)
            ops.append(operation_to_document(operation))
        states.append({**to_document(state), "open_cid": str(uuid.uuid4())})
    await services.database[STATES].insert_many(states)
    await services.database[OPS].insert_many(ops)
