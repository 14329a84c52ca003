"""The second half of the tour: photographs, submission, correction, decision, closing."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import aiohttp

from backend.commands.tour.people import Person
from backend.commands.tour.photos import is_upright_and_clean, photograph
from backend.commands.tour.report import Report, TourFailed, check

_NOTICE_SECONDS = 20.0


async def upload(person: Person, case_id: str, key: str, label: str) -> dict[str, Any]:
    """One photographed page, sent twice under one upload id, as after a lost answer."""
    photo, upload_id = photograph(label), str(uuid.uuid4())
    answers = []
    for _ in range(2):
        form = aiohttp.FormData()
        form.add_field("upload_id", upload_id)
        form.add_field("file", photo, filename="IMG_0001.JPG", content_type="image/jpeg")
        answers.append(
            await person.call("POST", f"/api/cases/{case_id}/materials/{key}/pages", form=form, expect=(200, 201))
        )
    check(answers[0]["id"] == answers[1]["id"], "the same upload made two pages")
    page: dict[str, Any] = answers[0]
    return page


def applicant(name: str) -> dict[str, str]:
    """Complete data of an invented applicant; the identity number is the standard's own example."""
    return {"kind": "person", "name": name, "id_number": "11010519491231002X", "phone": "13900000000"}


async def file_case(report: Report, citizen: Person, stranger: Person, matter: dict[str, Any]) -> dict[str, Any]:
    """Draft, photograph, submit; the strangers' view of it. Returns the submitted case."""
    async with report.step(f"{citizen.name}开始填写申请，断线重试也只有一份") as step:
        case = await citizen.create("/api/cases", {"matter_id": matter["id"]})
        check(case["matter_version"] == matter["version"], "the draft is not pinned to the guide's version")
        step.saw(f"草稿 {case['id']}，办事指南第 {case['matter_version']} 版")
    async with report.step("材料不齐时提交，一次列全缺什么") as step:
        problem = await citizen.post(f"/api/cases/{case['id']}/submit", {}, expect=(409, 422))
        check(problem.get("detail"), "no reason was given")
        step.saw(problem["detail"])
    async with report.step(f"{citizen.name}填写申请人，逐份拍照上传（同一张传两次只算一页）") as step:
        case = await citizen.call(
            "PATCH",
            f"/api/cases/{case['id']}",
            {"expected_version": case["version"], "applicant": applicant(citizen.name)},
        )
        detail = await citizen.get(f"/api/cases/{case['id']}")
        required = [item for item in detail["checklist"] if item["asked"] and item["necessity"] == "required"]
        pages: dict[str, list[str]] = {}
        for number, item in enumerate(required, 1):
            pages[item["key"]] = [(await upload(citizen, case["id"], item["key"], f"material {number} page 1"))["id"]]
        first = next(iter(pages), None)
        if first is not None:
            pages[first].append((await upload(citizen, case["id"], first, "material 1 page 2"))["id"])
            swapped = list(reversed(pages[first]))
            slot = await citizen.call("PUT", f"/api/cases/{case['id']}/materials/{first}/order", {"page_ids": swapped})
            check([page["id"] for page in slot["pages"]] == swapped, "the pages did not change their order")
            stored = await citizen.get(f"/api/materials/{swapped[0]}")
            check(is_upright_and_clean(stored), "the page is not upright or still tells where it was taken")
            step.saw(f"{len(required)} 份必要材料，{sum(map(len, pages.values()))} 页；照片已转正并去掉拍摄地点")
            problem = await stranger.get(f"/api/materials/{swapped[0]}", expect=404)
            check(problem["code"] == "not-found", "a stranger learnt that the page exists")
    async with report.step("提交，拿到办件编号和回执；连点两次只提交一次") as step:
        action = {"action_id": str(uuid.uuid4())}
        first_tap, second_tap = await asyncio.gather(
            *(citizen.post(f"/api/cases/{case['id']}/submit", action) for _ in range(2))
        )
        check(first_tap["number"] == second_tap["number"], "two taps made two numbers")
        case = dict(first_tap)
        receipt = await citizen.get(f"/api/cases/{case['id']}/receipt")
        check(receipt["number"] == case["number"], "the receipt has another number")
        step.saw(f"办件编号 {case['number']}")
        if case["due"]:
            step.saw(f"{case['due']['day']} 前告知是否受理：{''.join(case['due']['derivation'])}")
        await stranger.get(f"/api/cases/{case['id']}", expect=404)
    return case


async def decide_case(
    report: Report, citizen: Person, clerk: Person, case: dict[str, Any], *, instant: bool
) -> dict[str, Any]:
    """The clerk's side up to the end. Returns the closed case."""
    path = f"/api/desk/cases/{case['id']}"
    async with report.step(f"{clerk.name}在工作清单里看到这份办件，翻看照片") as step:
        listed = await clerk.get("/api/desk/cases", params={"limit": "100"})
        check(case["id"] in {item["id"] for item in listed["items"]}, "the case is not on the clerk's list")
        detail = await clerk.get(path)
        pages = [page for slot in detail["materials"] for page in slot["page_ids"]]
        for page in pages:
            thumbnail = await clerk.get(f"/api/materials/{page}/thumbnail")
            check(isinstance(thumbnail, bytes) and thumbnail[:2] == b"\xff\xd8", "a thumbnail is no JPEG")
        step.saw(f"{len(pages)} 页材料；可以：{'、'.join(detail['actions'])}")
    key = next((slot["key"] for slot in detail["materials"] if slot["page_ids"]), "applicant")
    async with report.step("一次性告知补正，申请人补拍后再次提交") as step:
        await clerk.post(f"{path}/request-correction", {"items": [{"key": key, "text": "请补拍一页，字要看得清。"}]})
        await notice_of(citizen, case["id"], "correction_requested", step_facts=step.facts)
        if key != "applicant":
            await upload(citizen, case["id"], key, "better page")
        answers = [{"key": key, "text": "已按要求核对，信息无误。"}] if key == "applicant" else []
        resubmission = {"action_id": str(uuid.uuid4()), "answers": answers}
        await citizen.post(f"/api/cases/{case['id']}/corrections", resubmission)
    if not instant:
        async with report.step("受理：承诺时限和法定时限从此起算，并说明算法") as step:
            accepted = await clerk.post(f"{path}/accept", {"action_id": str(uuid.uuid4())})
            for name, title in (("promised", "承诺"), ("statutory", "法定")):
                deadline = accepted["deadlines"][name]
                if deadline:
                    step.saw(f"{title}时限 {deadline['day']}{'（暂按预计）' if deadline['provisional'] else ''}")
    async with report.step("准予并办结") as step:
        await clerk.post(f"{path}/approve", {"result": "已按申请办理。"})
        closed: dict[str, Any] = await clerk.post(f"{path}/close", {"action_id": str(uuid.uuid4())})
        check(closed["state"] == "closed", f"the case ended as {closed['state']}")
        again = await clerk.post(f"{path}/approve", {}, expect=409)
        check(again["code"], "a closed case was decided again")
        step.saw(f"状态：{closed['state_name']}；已办结的办件不能再改")
    async with report.step(f"{citizen.name}看到每一步，通知也都到了") as step:
        timeline = (await citizen.get(f"/api/cases/{case['id']}/timeline"))["items"]
        sequences = [item["sequence"] for item in timeline]
        check(sequences == sorted(set(sequences)), "the timeline is out of order")
        progress = await citizen.get(f"/api/cases/{case['id']}/progress")
        check(progress["state"] == "closed", "the progress query does not say closed")
        for item in timeline:
            step.saw(f"{item['at'][:16].replace('T', ' ')}  {item['text']}")
        await notice_of(citizen, case["id"], "closed", step_facts=step.facts)
    return closed


async def notice_of(citizen: Person, case_id: str, kind: str, *, step_facts: list[str]) -> None:
    """Wait for the notice that the worker makes of an event."""
    try:
        async with asyncio.timeout(_NOTICE_SECONDS):
            while True:
                page = await citizen.get("/api/notices", params={"limit": "50"})
                for notice in page["items"]:
                    if notice["subject_id"] == case_id and notice["kind"].endswith(kind):
                        step_facts.append(f"通知：{notice['title']}")
                        return
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise TourFailed(f"no notice of {kind} within {_NOTICE_SECONDS:.0f} s: does the worker run?") from None
