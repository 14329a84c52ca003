"""Nothing covers anything: with long words, large text and small windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from playwright.sync_api import Locator, expect

from tests.browser.conftest import OpenPhone

if TYPE_CHECKING:
    from playwright.sync_api import ViewportSize

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
