"""The main flows without a mouse and without a finger: keys only."""

from __future__ import annotations

from playwright.sync_api import expect

from backend.commands.browser.phone import Phone
from backend.commands.browser.window import Window
from tests.browser.conftest import OpenDesk, OpenPhone
from tests.browser.system import System
from tests.browser.talk import same_everywhere

MATTER = "临时救助金给付"
_HERE = "document.activeElement?.closest('[data-testid]')?.dataset.testid ?? ''"


def tab_to(window: Window, testid: str, *, key: str = "Tab", most: int = 80) -> None:
    """Press Tab (or `key`) until the control has the focus, and see that the focus is shown."""
    for _ in range(most):
        window.page.keyboard.press(key)
        if window.page.evaluate(_HERE) == testid:
            return
    raise AssertionError(f"{testid} is not reached with {most} times {key}")


def by_keys(citizen: Phone, question: str) -> str:
    """Search, open the guide, ask; the consultation's id."""
    keys = citizen.page.keyboard
    tab_to(citizen, "search-input")
    keys.type("临时救助")
    keys.press("Enter")
    citizen.see("matter").first.wait_for()
    tab_to(citizen, "matter")
    keys.press("Enter")
    citizen.see("guide").wait_for()
    tab_to(citizen, "ask")
    keys.press("Enter")
    citizen.see("first-message").wait_for()
    tab_to(citizen, "first-message")
    keys.type(question)
    tab_to(citizen, "start-consultation")
    keys.press("Enter")
    return citizen.conversation()


def test_ask_and_answer_by_keyboard(phone: OpenPhone, desk: OpenDesk, system: System) -> None:
    clerk, citizen = desk(), phone("周玉兰")
    username = system.clerk_of(MATTER)
    clerk.open("/desk/")
    clerk.see("username").wait_for()
    clerk.page.keyboard.type(username)  # the cursor stands there already
    clerk.page.keyboard.press("Tab")
    clerk.page.keyboard.type(system.password(username))
    clerk.page.keyboard.press("Enter")
    clerk.see("nav-home").wait_for()

    citizen.home()
    conv = by_keys(citizen, "家里着火了，能申请吗？")
    tab_to(clerk, "nav-conversations")
    clerk.page.keyboard.press("Enter")
    expect(clerk.row("家里着火了")).to_be_visible()
    clerk.page.keyboard.press("Control+k")
    clerk.page.keyboard.press("ArrowDown")
    clerk.page.keyboard.press("Enter")
    expect(clerk.see("composer")).to_be_focused()
    clerk.page.keyboard.type("可以。请您先别急，")
    clerk.page.keyboard.press("Shift+Enter")
    clerk.page.keyboard.type("带身份证来社区登记。")
    clerk.page.keyboard.press("Enter")

    expect(citizen.bubble()).to_have_count(2)
    tab_to(citizen, "message-input")
    citizen.page.keyboard.type("今天就来")
    tab_to(citizen, "send-message")
    citizen.page.keyboard.press("Enter")
    said = same_everywhere(conv, clerk, citizen)
    assert said == ["家里着火了，能申请吗？", "可以。请您先别急，\n带身份证来社区登记。", "今天就来"]

    # what was said is changed and taken back without a mouse, too
    tab_to(clerk, "edit", key="Shift+Tab")
    clerk.page.keyboard.press("Enter")
    expect(clerk.see("composer")).to_be_focused()
    clerk.page.keyboard.press("End")
    clerk.page.keyboard.type("早上八点半开门。")
    clerk.page.keyboard.press("Enter")
    expect(citizen.bubble().nth(1)).to_contain_text("早上八点半开门。")
    tab_to(clerk, "recall", key="Shift+Tab")
    clerk.page.keyboard.press("Enter")
    expect(citizen.page.get_by_text("对方撤回了一条消息")).to_be_visible()
