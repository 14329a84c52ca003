"""What is left of a talk: quoting in it, finding it again, keeping its record and checking that record."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from backend.commands.browser import main_job
from tests.browser.conftest import OpenDesk, OpenPhone
from tests.browser.system import System
from tests.browser.test_readable import findings

ANSWER = "可以。请房东写一份住宿证明，盖章的租赁登记凭证也行。"
MARKED = ".found-hit, mark"


def test_quote_place_search_and_record(phone: OpenPhone, desk: OpenDesk, system: System) -> None:
    citizen, clerk = phone("陈秀英"), desk(system.clerk_of(main_job.MATTER))
    citizen.context.grant_permissions(["geolocation"])
    citizen.context.set_geolocation({"latitude": 39.911954, "longitude": 116.377817, "accuracy": 12})
    citizen.find(main_job.WORDS, main_job.MATTER)
    conv = citizen.ask(main_job.QUESTION)
    clerk.conversations()
    clerk.take(conv)
    clerk.say(ANSWER)
    for number in range(12):
        clerk.say(f"补充第 {number + 1} 点，具体请看办事指南。")
    clerk.settled()
    expect(citizen.bubble()).to_have_count(14)

    # a quote: shown with author and excerpt on both sides, and a tap leads to the original
    citizen.bubble().nth(1).get_by_test_id("bubble-menu").click()
    citizen.see("quote").click()
    citizen.say("凭证在哪里办？")
    quoted = citizen.see("quoted")
    expect(quoted).to_contain_text(f"：{ANSWER}")
    quoted.click()
    found = citizen.page.locator(".thread-message.found")
    expect(found).to_contain_text(ANSWER)
    expect(found).to_be_in_viewport()
    expect(clerk.see("quoted")).to_contain_text(ANSWER)

    # where the phone is, in the degrees of Chinese maps; nothing of a map is fetched
    citizen.see("add-photo").click()
    citizen.see("add-place").click()
    citizen.see("locate").click()
    expect(citizen.see("place-panel")).to_contain_text("误差约 12 米")
    citizen.see("place-name").fill("菜市场东门")
    citizen.see("send-place").click()
    place = clerk.see("place")
    expect(place).to_contain_text("菜市场东门")
    expect(place.locator("a")).to_have_attribute("href", re.compile(r"position=116\.384047,39\.913345"))
    citizen.settled()
    assert not findings(citizen)

    # found again by words, on the phone and on the desk
    citizen.go("consultations/consultations")
    citizen.see("history-search").fill("登记凭证")
    hit = citizen.see("history-hit")
    expect(hit.locator(MARKED)).to_have_text("登记凭证")
    assert not findings(citizen)
    hit.click()
    expect(found).to_contain_text(ANSWER)
    expect(found).to_be_in_viewport()
    clerk.see("conversation-search").fill("登记凭证")
    hit = clerk.see("history-hit")
    expect(hit.locator(MARKED)).to_have_text("登记凭证")
    hit.click()
    expect(clerk.see("thread").locator(".found")).to_be_in_viewport()
    assert not findings(clerk)

    # the record: a file on either side, and what the desk's check says of it before and after a recall
    citizen.see("record").click()
    with citizen.page.expect_download() as saving:
        citizen.see("record-text").click()
    text = saving.value.path().read_text(encoding="utf-8")
    assert ANSWER in text
    expect(citizen.see("record-code")).to_be_visible()
    assert citizen.see("record-code").inner_text().strip() in text
    clerk.see("record").click()
    with clerk.page.expect_download() as saving:
        clerk.see("record-pdf").click()
    assert saving.value.path().read_bytes().startswith(b"%PDF-")
    length, code = clerk.see("record-last-seq").inner_text(), clerk.see("record-code").inner_text()
    verdict = clerk.see("verdict")

    def check(code: str) -> None:
        clerk.see("check-number").fill(length)
        clerk.see("check-code").fill(code)
        clerk.see("check-submit").click()

    check("0" * 64)
    expect(verdict).to_have_attribute("data-matches", "false")
    check(code.upper())
    expect(verdict).to_have_attribute("data-matches", "true")
    assert not findings(clerk)
    clerk.page.keyboard.press("Escape")
    last = clerk.bubble().filter(has_text="补充第 12 点")
    last.hover()
    last.get_by_test_id("recall").click()
    expect(citizen.page.get_by_text("对方撤回了一条消息")).to_be_visible()
    clerk.see("record").click()
    check(code)
    expect(verdict).to_have_attribute("data-matches", "true")
    expect(verdict).to_contain_text("1 条消息被撤回")
