"""The desk on a phone: nothing has to be moved sideways to be seen, and fingers find what is to be pressed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from playwright.sync_api import Locator, expect

from backend.commands.browser.desk import Desk
from backend.commands.browser.phone_pages import file_case
from config.first_accounts import ADMIN
from tests.browser.conftest import OpenDesk, OpenPhone
from tests.browser.system import System
from tests.browser.test_layout import LONG, on_top
from tests.browser.test_layout import MATTER as OTHER_MATTER
from tests.browser.test_readable import findings

if TYPE_CHECKING:
    from playwright.sync_api import Route, ViewportSize

MATTER = "养犬登记"
PHONE: Final[ViewportSize] = {"width": 390, "height": 844}
#: The same while its keyboard is out.
TYPING: Final[ViewportSize] = {"width": 390, "height": 420}

#: What one would have to move the page sideways for. A table, tabs and the sections move in a box of their own.
_SIDEWAYS = """() => {
  const found = []
  const wide = document.documentElement.scrollWidth
  if (wide > innerWidth) found.push(`the page is ${wide} wide in a window of ${innerWidth}`)
  const scrolls = (box) => ['auto', 'scroll'].includes(getComputedStyle(box).overflowX)
  for (const element of document.querySelectorAll('body *')) {
    if (!element.checkVisibility({ visibilityProperty: true }) || element.closest('.skip, .banshi-unseen')) continue
    const { left, right, width } = element.getBoundingClientRect()
    if (!width || (left >= -1 && right <= innerWidth + 1)) continue
    let box = element.closest('table, nav, [role="tablist"]')
    while (box && !scrolls(box)) box = box.matches('main') ? null : box.parentElement
    if (box && !box.matches('main, .scroll') && box.getBoundingClientRect().right <= innerWidth + 1) continue
    found.push(`${element.tagName}.${element.className} ${left}–${right}: ${element.textContent.trim().slice(0, 20)}`)
  }
  return found
}"""


def sideways(desk: Desk) -> list[str]:
    """What stands outside of the window once the page has come to rest."""
    desk.quiet()
    return sideways_now(desk)


def sideways_now(desk: Desk) -> list[str]:
    """What stands outside of the window at this moment."""
    return [f"{desk.page.url}: {found}" for found in desk.page.evaluate(_SIDEWAYS)]


def for_a_finger(control: Locator) -> None:
    """All of it is in sight, and large enough."""
    on_top(control)
    box = control.bounding_box()
    assert box
    assert min(box["width"], box["height"]) >= 44, (control, box)


def whole(words: Locator) -> None:
    """In sight, on one line, nothing of it cut off."""
    on_top(words)
    assert words.evaluate("element => element.scrollWidth <= element.clientWidth"), words
    assert words.evaluate("element => element.clientHeight < 2 * parseFloat(getComputedStyle(element).fontSize)"), words


@pytest.fixture
def clerk(desk: OpenDesk, system: System) -> Desk:
    opened = desk(system.clerk_of(MATTER))
    opened.page.set_viewport_size(PHONE)
    return opened


@pytest.mark.parametrize("language", ["zh-CN", "en"])
def test_a_conversation_fits(phone: OpenPhone, clerk: Desk, desk: OpenDesk, system: System, language: str) -> None:
    citizen = phone("韦秀兰")
    citizen.find("养狗", MATTER)
    conv = citizen.ask(LONG)
    clerk.page.evaluate("language => localStorage.setItem('banshi.language', language)", language)
    clerk.consult(conv)
    expect(clerk.see("take").or_(clerk.see("decline")).first).to_be_visible()
    assert not sideways(clerk)
    clerk.say("您好，请带免疫证明。")
    clerk.settled()
    expect(citizen.bubble()).to_have_count(2)
    whole(clerk.page.locator(".head h2"))
    for control in ("to-list", "decline", "transfer", "close", "record", "ask-context"):
        for_a_finger(clerk.see(control))
    for control in ("add-photo", "quick", "note-toggle", "send", "nav-conversations"):
        for_a_finger(clerk.see(control))
    assert not sideways(clerk)
    assert not findings(clerk)

    # what comes beside the words: how many more there may be, that a message is corrected, that it is a note
    clerk.type("请" * 1900)
    assert not sideways(clerk)
    for control in ("add-photo", "quick", "note-toggle", "send"):
        for_a_finger(clerk.see(control))
    clerk.see("note-toggle").click()
    assert not sideways(clerk)
    clerk.see("note-toggle").click()
    clerk.type("")
    clerk.bubble().last.hover()
    clerk.bubble().last.get_by_test_id("edit").click()
    expect(clerk.see("correcting")).to_be_visible()
    assert not sideways(clerk)
    clerk.see("composer").press("Escape")

    # with the keyboard out one still sees what is said, and sends
    clerk.page.set_viewport_size(TYPING)
    for control in ("to-list", "send", "composer"):
        on_top(clerk.see(control))
    expect(clerk.bubble().last).to_be_in_viewport()
    clerk.page.set_viewport_size(PHONE)

    clerk.see("ask-context").click()
    for pane in ("pane-guide", "pane-context"):
        clerk.see(pane).click()
        for_a_finger(clerk.see(pane))
        assert not sideways(clerk)
    assert not findings(clerk)
    for_a_finger(clerk.see("close-context"))
    clerk.see("close-context").click()

    clerk.see("to-list").click()
    expect(clerk.row("请带免疫证明").first).to_be_visible()
    for tab in ("tab-waiting", "tab-closed", "tab-mine"):
        clerk.see(tab).click()
        assert not sideways(clerk)
    assert not findings(clerk)

    other = desk(system.clerk_of(OTHER_MATTER))
    other.page.set_viewport_size(PHONE)
    other.open(f"/desk/conversations/{conv}")
    expect(other.page.get_by_text("这个咨询已经转给别人，或您无权查看")).to_be_visible()
    assert not sideways(other)
    for_a_finger(other.see("to-list"))


def test_the_name_of_the_section_keeps_to_its_line_while_connecting(clerk: Desk) -> None:
    held: list[Route] = []
    clerk.page.route("**/api/socket-tickets", lambda route: held.append(route))
    clerk.conversations()
    clerk.page.reload()
    expect(clerk.see("presence")).to_have_attribute("data-state", "unknown")
    where = clerk.page.locator(".top .where")
    expect(where).to_have_text("咨询")
    whole(where)
    assert not sideways_now(clerk)
    for route in held:
        route.continue_()
    clerk.page.unroute("**/api/socket-tickets")
    expect(clerk.see("presence")).not_to_have_attribute("data-state", "unknown")
    whole(where)


#: A page behind the list of a section, by what leads to it.
BEHIND = {
    "nav-matters": "table a.name",
    "nav-announcements": "table a",
    "nav-organisation": "table a",
    "nav-posts": "table a",
    "nav-staff": "table a",
}


@pytest.mark.parametrize("username", [ADMIN, "linminyi", "dengxuewen", "zhoukexin", "penghuiru"])
def test_no_section_is_moved_sideways(desk: OpenDesk, username: str) -> None:
    person = desk(username)
    person.page.set_viewport_size(PHONE)
    found = []
    sections = person.page.locator('nav [data-testid^="nav-"]')
    for section in [one.get_attribute("data-testid") or "" for one in sections.all()]:
        person.see(section).click()
        expect(person.see(section)).to_have_attribute("aria-current", "page")
        expect(person.see(section)).to_be_in_viewport(ratio=1)
        found += sideways(person)
        found += findings(person)
        if section in BEHIND:
            person.page.locator(BEHIND[section]).first.click()
            person.page.locator("main form").first.wait_for()
            found += sideways(person)
    assert not found, "\n".join(found)


def test_one_case_and_the_way_in(phone: OpenPhone, desk: OpenDesk, system: System) -> None:
    visitor = desk()
    visitor.page.set_viewport_size(PHONE)
    visitor.open("/desk/login")
    for control in ("username", "password", "login"):
        on_top(visitor.see(control))
    assert not sideways(visitor)

    matter = "社会保障卡申领与补换"
    case = file_case(phone("李桂芳"), "社保卡", matter)
    clerk = desk(system.clerk_of(matter))
    clerk.page.set_viewport_size(PHONE)
    clerk.go("cases")
    clerk.see(f"case-{case}").wait_for()
    assert not sideways(clerk)
    clerk.see(f"case-{case}").locator("a").first.click()
    on_top(clerk.see("number"))
    assert not sideways(clerk)
    assert not findings(clerk)
    for control in ("do-accept", "do-request_correction", "next-case"):
        on_top(clerk.see(control))
    # materials, photograph and verdict are reached by moving down
    photograph = clerk.page.locator(".stage > img.ready")
    photograph.scroll_into_view_if_needed()
    clerk.see("verdict").scroll_into_view_if_needed()
    on_top(clerk.see("verdict").locator("label").first)
