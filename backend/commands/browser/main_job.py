"""The main job in two windows, by clicking and typing: what a test checks, the tour shows and the screens picture."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from backend.commands.browser.desk import Desk
from backend.commands.browser.phone import Phone
from backend.commands.browser.window import Window
from backend.commands.tour.photos import photograph

#: What a citizen types, and the matter of the sample district that it means.
WORDS: Final = "办居住证"
MATTER: Final = "居住证申领"
QUESTION: Final = "租的房子没有签合同，可以办居住证吗？要带什么？"
ANSWER: Final = "可以。没有合同的，请房东写一份住宿证明并签名，和身份证一起拍照上传就行。"
THANKS: Final = "明白了，谢谢您"
CORRECTION: Final = "照片有些反光，看不清，请放平后重新拍一张。"
RESULT: Final = "准予发放居住证，请凭身份证到派出所领取。"


@dataclass(frozen=True)
class Moment:
    """Something worth looking at: a short name for files, a sentence for people, and the window it is seen in."""

    name: str
    sentence: str
    window: Window


@dataclass
class Outcome:
    """What came of it, filled while it is played."""

    conv: str = ""
    case: str = ""
    number: str = ""


def play(citizen: Phone, nickname: str, clerk: Desk, username: str, password: str) -> Iterator[Moment]:
    """All of it, moment by moment. Whatever does not come about raises Playwright's own errors."""
    outcome = Outcome()
    yield from find_and_ask(citizen, nickname, outcome)
    yield from answer(citizen, clerk, username, password, outcome)
    yield from file(citizen, outcome)
    yield from decide(citizen, clerk, outcome)


def find_and_ask(citizen: Phone, nickname: str, outcome: Outcome) -> Iterator[Moment]:
    """From the first page to a question."""
    citizen.open("/")
    citizen.page.locator("h1").wait_for()
    yield Moment("first-page", "首页：两个入口，用谁的账号登录", citizen)
    citizen.page.locator('a[href="/m/"]').first.click()
    citizen.see("search-input").wait_for()
    yield Moment("home", "市民打开手机上的“办事”", citizen)
    citizen.tab("me")
    citizen.see("log-in").click()
    citizen.page.wait_for_url("**/phone?return=*")
    citizen.page.locator("button.person").or_(citizen.page.locator("#switch")).first.wait_for()
    yield Moment("fake-phone", "假手机代替微信：用谁登录", citizen)
    citizen.become(nickname, 34)
    citizen.page.wait_for_url("**/m/**")
    citizen.see("my-name").wait_for()
    citizen.tab("home")
    citizen.search(WORDS)
    yield Moment("search", f"搜“{WORDS}”，说俗称就找得到", citizen)
    citizen.open_matter(MATTER)
    yield Moment("guide", "办事指南：先说要带什么、多少钱、多久、去哪", citizen)
    outcome.conv = citizen.ask(QUESTION)
    yield Moment("asked", "直接问负责这件事的人", citizen)


def answer(citizen: Phone, clerk: Desk, username: str, password: str, outcome: Outcome) -> Iterator[Moment]:
    """The clerk comes, sees who waits, answers; the citizen reads."""
    clerk.log_in(username, password)
    clerk.see("nav-conversations").get_by_text(re.compile(r"^\d+$")).wait_for()
    yield Moment("desk-home", "经办人登录，有人在等：标题和导航上都有数字", clerk)
    clerk.conversations()
    clerk.take(outcome.conv)
    clerk.quick_reply("问候")
    clerk.see("send").click()
    clerk.put_clause("合法稳定住所证明")
    clerk.say(ANSWER)
    clerk.settled()
    citizen.bubble().nth(2).wait_for()
    yield Moment("desk-answer", "用常用语问候，把指南的条款做成卡片一起发", clerk)
    citizen.see("chat-card").first.wait_for()
    citizen.say(THANKS)
    citizen.bubble("read").nth(1).wait_for()
    clerk.bubble("read").nth(1).wait_for()
    yield Moment("answered", "市民读到回答；工作台上看得到已读", citizen)


def file(citizen: Phone, outcome: Outcome) -> Iterator[Moment]:
    """The application, with its photographs, up to the receipt."""
    citizen.find(WORDS, MATTER)
    citizen.see("apply").click()
    citizen.fill_in("陈秀英")
    yield Moment("apply", "申请：填申请人，边填边存", citizen)
    citizen.next()
    slots = citizen.slots()
    for number, slot in enumerate(slots, 1):
        pages = [photograph(f"material {number} page {page}") for page in range(1, 3 if number == 1 else 2)]
        citizen.photograph(slot, pages)
        citizen.uploaded(slot, len(pages))
    slots[0].scroll_into_view_if_needed()
    yield Moment("photographs", "每份材料拍照上传，可以拍几页", citizen)
    citizen.next()
    citizen.see("submit").wait_for()
    yield Moment("check", "核对后提交", citizen)
    outcome.number = citizen.submit()
    yield Moment("receipt", "提交后马上有编号和回执", citizen)
    outcome.case = citizen.follow()


def decide(citizen: Phone, clerk: Desk, outcome: Outcome) -> Iterator[Moment]:
    """Correction, acceptance, approval; the citizen follows."""
    clerk.go("cases")
    clerk.see(f"case-{outcome.case}").wait_for()
    yield Moment("desk-cases", "工作清单：先到期的在前", clerk)
    clerk.open_case(outcome.case)
    clerk.page.locator("nav.materials button").first.click()
    material = clerk.page.locator("nav.materials button .name").first.inner_text()
    clerk.ask_to_correct(material, CORRECTION)
    yield Moment("desk-case", "材料照片可以放大、旋转，逐份核对", clerk)
    clerk.see("do-request_correction").click()
    clerk.see("correction-preview").wait_for()
    yield Moment("desk-correction", "要求补正：写给市民看的话，一次说清", clerk)
    clerk.see("step-confirm").click()
    clerk.see("done").wait_for()

    citizen.go(f"case/case?id={outcome.case}")
    citizen.page.reload()
    citizen.see("correction").wait_for()
    yield Moment("correction", "市民看到要补什么，照着重拍", citizen)
    item = citizen.see("correction-item").first
    before = item.get_by_test_id("page").count()
    citizen.photograph(item, [photograph("material 1 anew")])
    citizen.uploaded(item, before + 1)
    citizen.see("send-corrections").click()
    citizen.see("correction").wait_for(state="hidden")

    clerk.open_case(outcome.case)
    clerk.step("accept")
    clerk.step("approve", result=RESULT)
    yield Moment("desk-approved", "受理、准予，每一步都留痕", clerk)
    citizen.page.reload()
    citizen.page.get_by_text(RESULT).first.wait_for()
    yield Moment("case", "市民看到结果和办理过程", citizen)
