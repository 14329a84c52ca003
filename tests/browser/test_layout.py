"""Nothing covers anything: with long words, large text, small windows, and the desk enlarged to twice its size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from playwright.sync_api import Locator, expect

from tests.browser.conftest import OpenDesk, OpenPhone
from tests.browser.system import System
from tests.browser.test_readable import findings

if TYPE_CHECKING:
    from playwright.sync_api import ViewportSize

MATTER = "残疾人证新办"  # nobody else here fills its clerk's desk
#: A desk of 1366 by 768 at 200 %.
ENLARGED: Final[ViewportSize] = {"width": 683, "height": 384}
#: A small phone, the keyboard half over it.
LOW: Final[ViewportSize] = {"width": 360, "height": 480}
LONG = "我在外地打工，户口还在老家，小孩明年要上小学，房子是租的，没有房产证，请问入学要准备哪些材料、到哪个学校报名"

_ON_TOP = """element => {
  const box = element.getBoundingClientRect()
  return [0.1, 0.5, 0.9].every((part) => {
    const found = document.elementFromPoint(box.left + box.width / 2, box.top + box.height * part)
    return element.contains(found)
  })
}"""


def on_top(control: Locator) -> None:
    """All of it is in the window, and nothing lies over it."""
    expect(control).to_be_in_viewport(ratio=1)
    assert control.evaluate(_ON_TOP), control


def test_what_stays_in_sight_on_the_phone_covers_nothing(phone: OpenPhone) -> None:
    citizen = phone("罗桂香")
    for text in (LONG, "社保卡丢了怎么办"):
        citizen.go("consultations/consultations")
        citizen.see("new-consultation").click()
        citizen.see("subject").fill(text)
        citizen.see("first-message").fill("请问要带什么？")
        citizen.see("start-consultation").click()
        citizen.conversation()
    citizen.home()
    citizen.see("text-size").click()
    citizen.page.set_viewport_size(LOW)
    citizen.go("consultations/consultations")
    expect(citizen.see("consultation")).to_have_count(2)
    on_top(citizen.see("new-consultation"))
    on_top(citizen.see("tab-consultations"))

    citizen.see("consultation").filter(has_text=LONG[:20]).click()
    for number in range(6):
        citizen.say(f"补充第 {number + 1} 点")
    citizen.settled()
    expect(citizen.bubble()).to_have_count(7)
    state = citizen.see("consultation-state").locator(".chat-status-title")
    on_top(state)
    on_top(citizen.see("message-input"))
    more = citizen.bubble().last.get_by_test_id("bubble-menu")
    on_top(more)
    box = more.bounding_box()
    assert box
    assert min(box["width"], box["height"]) >= 44
    citizen.offline()
    on_top(citizen.see("offline-banner"))
    on_top(state)
    citizen.offline(away=False)


def test_a_consultation_on_a_desk_enlarged_to_twice_its_size(phone: OpenPhone, desk: OpenDesk, system: System) -> None:
    citizen, clerk = phone("罗桂香"), desk(system.clerk_of(MATTER))
    clerk.page.set_viewport_size(ENLARGED)
    citizen.find("残疾人证", MATTER)
    citizen.ask("爸爸中风后走不了路，怎么办残疾人证？")
    clerk.conversations()
    on_top(clerk.see("conversation-search"))
    expect(clerk.row("中风后走不了")).to_be_visible()
    clerk.see("nav-conversations").focus()
    clerk.page.keyboard.press("ArrowDown")
    expect(clerk.see("conversation").first).to_be_focused()
    clerk.row("中风后走不了").click()

    on_top(clerk.see("composer"))
    clerk.say("您好，我来帮您。")
    expect(citizen.bubble()).to_have_count(2)
    clerk.say("请带身份证和户口本。")
    clerk.settled()
    for control in ("to-list", "transfer", "close", "record", "ask-context"):
        on_top(clerk.see(control))
    on_top(clerk.bubble().last)
    assert not findings(clerk)

    clerk.see("ask-context").click()
    on_top(clerk.see("pane-guide"))
    assert not findings(clerk)
    clerk.page.keyboard.press("Escape")
    expect(clerk.see("pane-guide")).to_be_hidden()
    clerk.page.keyboard.press("Control+k")
    expect(clerk.see("conversation-search")).to_be_focused()
    expect(clerk.see("composer")).to_be_hidden()
