"""The first half of the tour: a question asked and answered live, and nothing lost on a bad network."""

from __future__ import annotations

import uuid
from typing import Any

from backend.commands.tour.people import Person
from backend.commands.tour.report import Report, TourFailed, check
from chat.client import ChatClient, LocalLog, Refused


def device(url: str, person: Person, namespace: str, *, logs: dict[str, LocalLog] | None = None) -> ChatClient:
    """A phone or a desk of `person`; every connection is opened with a fresh ticket. `logs` is what it has already."""

    async def ticket() -> str:
        return str((await person.post("/api/socket-tickets"))["ticket"])

    return ChatClient(url, ticket, namespace=namespace, device=f"tour-{uuid.uuid4()}", logs=logs)


async def consult(
    report: Report, url: str, citizen: Person, clerk: Person, stranger: Person, matter: dict[str, Any]
) -> None:
    """Ask, be answered, lose the network, come back with everything, on a second device too."""
    question = "请问材料可以拍照上传吗？原件要带去窗口吗？"
    answers = ["您好，可以拍照上传，原件现场核对一下就行。", "拍的时候四个角都要拍到。"]
    async with device(url, clerk, "/clerk") as desk, device(url, citizen, "/citizen") as phone:
        async with report.step(f"{citizen.name}就“{matter['guide']['name']}”提问") as step:
            opened = await phone.open("材料怎么交", matter_id=matter["id"], text=question)
            conv, header = opened["conv"], opened["consultation"]
            check(header["matter"]["version"] == matter["version"], "the question is not pinned to the guide's version")
            live = header["state"] == "active"
            step.saw(header["explanation"])
            if live:
                check(header["staff"]["id"] == clerk.id, "somebody else than the clerk responsible was asked")
            else:
                check(header["promised_at"], "nobody is on duty and no time was promised")
                step.saw(f"现在不在值班时间：已留言，{header['promised_at'][:16].replace('T', ' ')} 前答复")
        async with report.step(f"{clerk.name}的桌面{'马上收到' if live else '看到这条留言'}，连同事项和提问人") as step:
            if live:
                await desk.until_texts(conv, question)
            else:
                await _take(clerk, desk, conv, question)
            seen = desk.logs[conv].header
            check(seen["matter"]["id"] == matter["id"], "the desk does not see which matter it is about")
            check(seen["citizen"]["name"], "the desk does not see who asks")
            step.saw(f"{seen['citizen']['name']} 问：{question}")
        async with report.step(f"{clerk.name}当场回答，{citizen.name}的手机收到；重发不会变成两条") as step:
            cid = str(uuid.uuid4())
            first = await desk.send(conv, answers[0], cid=cid)
            again = await desk.send(conv, answers[0], cid=cid)
            check(again["dup"] and again["seq"] == first["seq"], "a repeated message became a second one")
            await phone.until_texts(conv, question, answers[0])
            step.saw(answers[0])
        async with report.step("同一编号换了内容会被拒绝"):
            try:
                await desk.send(conv, "另一句话", cid=cid)
            except Refused as refused:
                check(refused.problem.get("status") == 409, f"refused as {refused.code}")
            else:
                raise TourFailed("the same client id with another text was accepted")
        async with report.step("手机断网期间的回答，回来后一条不少") as step:
            await phone.stop()
            await desk.act("note:add", conv, text="群众已走，下次回访。")
            await desk.send(conv, answers[1])
            async with device(url, citizen, "/citizen", logs=phone.logs) as back:
                texts = await back.until_texts(conv, question, *answers)
                check(texts == [question, *answers], f"the log is not what was said: {texts}")
                check(back.logs[conv].doubles == 0, "something came twice")
                kinds = [op["kind"] for op in back.logs[conv].ops]
                check("note" not in kinds and "skip" in kinds, "the citizen sees the clerk's note or a gap")
                step.saw(f"{len(kinds)} 条操作，序号连续；内部备注对群众只占一个号")
        async with (
            report.step(f"{citizen.name}换一部手机，看到的完全一样"),
            device(url, citizen, "/citizen") as second,
        ):
            await second.follow(conv)
            await second.until_texts(conv, question, *answers)
            mine = (await citizen.get(f"/api/consultations/{conv}/ops", params={"after": "0"}))["ops"]
            check(
                [op["seq"] for op in second.logs[conv].ops] == [op["seq"] for op in mine],
                "socket and HTTP tell different logs",
            )
        async with report.step("别人看不到这段咨询，也连不上别人的身份"):
            await stranger.get(f"/api/consultations/{conv}", expect=404)
            await stranger.post(
                f"/api/consultations/{conv}/messages",
                {"cid": str(uuid.uuid4()), "body": {"text": "我来插一句"}},
                expect=404,
            )


async def _take(clerk: Person, desk: ChatClient, conv: str, question: str) -> None:
    """A message that waits: it stands on the desk's list; the clerk takes it up."""
    listed = await clerk.get("/api/desk/consultations", params={"state": "waiting_answer", "limit": "100"})
    found = next((item for item in listed["items"] if item["id"] == conv), None)
    if found is None:
        raise TourFailed("the message is not on the desk's list")
    await desk.act("offer:accept", conv, ver=found["version"])
    await desk.follow(conv)
    await desk.until_texts(conv, question)
