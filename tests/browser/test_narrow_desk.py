"""The desk enlarged to twice its size, where list, conversation and guide take turns: nothing typed is lost on the way,
and the keyboard is never without a place."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from backend.commands.browser.desk import Desk
from backend.commands.browser.phone import Phone
from tests.browser.conftest import OpenDesk, OpenPhone
from tests.browser.network import Network
from tests.browser.system import System
from tests.browser.test_keyboard import tab_to
from tests.browser.test_layout import ENLARGED, on_top
from tests.browser.test_layout import MATTER as OTHER_MATTER
from tests.browser.test_readable import findings

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Route

MATTER = "养犬登记"


@dataclass
class Talk:
    """A citizen who asked, and the clerk who answers, at a narrow desk."""

    citizen: Phone
    clerk: Desk
    conv: str


@pytest.fixture
def talk(phone: OpenPhone, desk: OpenDesk, system: System) -> Talk:
    citizen, clerk = phone("韦秀兰"), desk(system.clerk_of(MATTER))
    clerk.page.set_viewport_size(ENLARGED)
    citizen.find("养狗", MATTER)
    conv = citizen.ask("小区里养狗要登记吗？怎么登记？")
    clerk.consult(conv)
    clerk.say("您好，请带免疫证明。")
    clerk.settled()
    expect(citizen.bubble()).to_have_count(2)
    return Talk(citizen, clerk, conv)


@pytest.fixture
def cut_off(talk: Talk, desk: OpenDesk, system: System, network: Callable[[], Network]) -> tuple[Desk, Network]:
    """The same clerk's second desk with the same conversation, and its network, which is gone until it is restored."""
    net = network()
    clerk = desk(system.clerk_of(MATTER), proxy=net.address)
    clerk.consult(talk.conv)
    expect(clerk.bubble()).to_have_count(2)
    clerk.faulty = True
    net.drop()
    return clerk, net


def take_back(clerk: Desk) -> None:
    """Recall what was said last."""
    clerk.bubble().last.hover()
    clerk.bubble().last.get_by_test_id("recall").click()


def correct(clerk: Desk, text: str) -> None:
    """Begin to correct what was said last, and leave it half done."""
    last = clerk.bubble().last
    last.hover()
    last.get_by_test_id("edit").click()
    expect(clerk.see("composer")).to_be_focused()
    clerk.type(text)


def test_a_correction_under_way_is_kept_as_drafts_are(talk: Talk) -> None:
    citizen, clerk = talk.citizen, talk.clerk
    composer = clerk.see("composer")
    clerk.type("另外，")
    correct(clerk, "您好，请带免疫证明和户口本")
    clerk.page.keyboard.press("Control+k")
    expect(clerk.see("conversation-search")).to_be_focused()
    row = clerk.page.locator(f'[data-testid="conversation"][href$="{talk.conv}"]')
    expect(row).to_contain_text("草稿")
    row.click()
    expect(clerk.see("correcting")).to_be_visible()
    expect(composer).to_have_value("您好，请带免疫证明和户口本")
    clerk.page.reload()
    expect(composer).to_have_value("您好，请带免疫证明和户口本")

    composer.press_sequentially("。")
    clerk.see("send").click()
    expect(citizen.bubble().nth(1)).to_contain_text("请带免疫证明和户口本。")
    expect(citizen.bubble()).to_have_count(2)
    expect(composer).to_have_value("另外，")

    # what is given up on purpose is gone, and the draft is there again
    correct(clerk, "您好，不用带")
    composer.press("Escape")
    expect(composer).to_have_value("另外，")
    clerk.page.reload()
    expect(composer).to_have_value("另外，")


def test_a_correction_that_is_refused_is_told_and_its_words_stay(talk: Talk) -> None:
    clerk = talk.clerk
    correct(clerk, "您好，请带免疫证明和照片。")
    clerk.bubble().last.get_by_test_id("recall").click()
    expect(talk.citizen.page.get_by_text("对方撤回了一条消息")).to_be_visible()
    clerk.see("send").click()
    expect(clerk.page.get_by_text("这条消息已经撤回。改的内容放回了输入框。")).to_be_visible()
    expect(clerk.see("correcting")).to_be_hidden()
    expect(clerk.see("composer")).to_have_value("您好，请带免疫证明和照片。")
    clerk.see("send").click()
    expect(talk.citizen.bubble().last).to_contain_text("请带免疫证明和照片。")


def begin(bubble: Locator) -> None:
    bubble.hover()
    bubble.get_by_test_id("edit").click()


def test_a_second_correction_lets_the_first_one_wait(talk: Talk) -> None:
    citizen, clerk = talk.citizen, talk.clerk
    composer, correcting = clerk.see("composer"), clerk.see("correcting")
    clerk.say("地址在中山路 3 号。")
    clerk.settled()
    expect(citizen.bubble()).to_have_count(3)
    first, second = clerk.bubble().nth(1), clerk.bubble().nth(2)
    clerk.type("另外，")
    begin(first)
    expect(correcting).to_contain_text("您好，请带免疫证明。")
    clerk.type("您好，请带免疫证明和户口本。")
    begin(second)
    expect(clerk.page.get_by_text("上一条改了一半，先替您留着")).to_be_visible()
    expect(composer).to_have_value("地址在中山路 3 号。")
    clerk.type("地址在中山路 5 号。")

    # each goes on where it was left, after a reload too
    begin(first)
    expect(composer).to_have_value("您好，请带免疫证明和户口本。")
    begin(second)
    expect(composer).to_have_value("地址在中山路 5 号。")
    clerk.page.reload()
    expect(composer).to_have_value("地址在中山路 5 号。")
    expect(correcting).to_contain_text("地址在中山路 3 号。")

    # what is done makes room for what waited
    clerk.see("send").click()
    expect(citizen.bubble().nth(2)).to_contain_text("地址在中山路 5 号。")
    expect(correcting).to_contain_text("您好，请带免疫证明。")
    expect(composer).to_have_value("您好，请带免疫证明和户口本。")
    clerk.see("send").click()
    expect(citizen.bubble().nth(1)).to_contain_text("请带免疫证明和户口本。")
    expect(citizen.bubble()).to_have_count(3)
    expect(correcting).to_be_hidden()
    expect(composer).to_have_value("另外，")


@pytest.mark.parametrize("back_to", ["home", "conversation"])
def test_a_correction_refused_after_a_reload_is_told(talk: Talk, cut_off: tuple[Desk, Network], back_to: str) -> None:
    clerk, net = cut_off
    correct(clerk, "您好，请带免疫证明和照片。")
    clerk.see("send").click()
    expect(clerk.bubble().last).to_contain_text("正在修改")
    # the page goes away with it, and at the other desk the message is taken back
    clerk.page.goto("about:blank")
    take_back(talk.clerk)
    expect(talk.citizen.page.get_by_text("对方撤回了一条消息")).to_be_visible()
    net.restore()

    clerk.open("/desk/" if back_to == "home" else f"/desk/conversations/{talk.conv}")
    told = clerk.page.get_by_text("这条消息已经撤回。")
    expect(told).to_be_visible()
    if back_to == "home":
        expect(told).to_contain_text("您好，请带免疫证明和照片。")
        clerk.consult(talk.conv)
    expect(clerk.see("composer")).to_have_value("您好，请带免疫证明和照片。")
    clerk.page.reload()
    expect(clerk.see("composer")).to_have_value("您好，请带免疫证明和照片。")


def test_a_recall_that_is_refused_is_told(talk: Talk, cut_off: tuple[Desk, Network]) -> None:
    clerk, net = cut_off
    take_back(clerk)
    take_back(talk.clerk)
    expect(talk.citizen.page.get_by_text("对方撤回了一条消息")).to_be_visible()
    net.restore()
    expect(clerk.page.get_by_text(re.compile("^给.+的一条消息：这条消息已经撤回。$"))).to_be_visible()


def test_what_corrects_a_message_does_not_look_like_a_note(talk: Talk) -> None:
    clerk = talk.clerk
    clerk.see("note-toggle").click()
    clerk.type("他家有两只")
    expect(clerk.see("note-mode")).to_be_visible()
    correct(clerk, "您好，请带免疫证明和照片。")
    expect(clerk.see("note-mode")).to_be_hidden()
    clerk.see("composer").press("Escape")
    expect(clerk.see("note-mode")).to_be_visible()
    expect(clerk.see("composer")).to_have_value("他家有两只")


def test_the_keyboard_goes_back_where_it_was_when_the_pane_is_closed(talk: Talk) -> None:
    clerk = talk.clerk
    keys = clerk.page.keyboard
    pane = clerk.see("pane-guide")
    clerk.see("composer").focus()
    keys.press("Alt+g")
    tab_to(clerk, "close-context")
    keys.press("Enter")
    expect(pane).to_be_hidden()
    expect(clerk.see("composer")).to_be_focused()

    tab_to(clerk, "ask-context", key="Shift+Tab")
    keys.press("Enter")
    tab_to(clerk, "guide-search")
    keys.press("Escape")
    expect(pane).to_be_hidden()
    expect(clerk.see("ask-context")).to_be_focused()

    # from what is told of the consultation to its guide: what was pressed goes, the keyboard stays in the pane
    keys.press("Enter")
    clerk.see("pane-context").click()
    matter = clerk.page.get_by_role("button", name=MATTER, exact=True)
    matter.focus()
    keys.press("Enter")
    expect(pane).to_be_focused()
    keys.press("Escape")
    expect(clerk.see("ask-context")).to_be_focused()

    # a card goes into the answer: the keyboard is where one writes on
    clerk.see("ask-context").click()
    tab_to(clerk, "clause-card")
    keys.press("Enter")
    expect(clerk.see("card-ready")).to_be_visible()
    expect(clerk.see("composer")).to_be_focused()


def back_by_keys(clerk: Desk) -> None:
    """The way back to the list is in sight and large enough, and leads there without a mouse."""
    back = clerk.see("to-list")
    on_top(back)
    box = back.bounding_box()
    assert box
    assert min(box["width"], box["height"]) >= 44
    tab_to(clerk, "to-list")
    clerk.page.keyboard.press("Enter")
    expect(clerk.see("conversation-search")).to_be_visible()
    expect(clerk.page).to_have_url(f"{clerk.url}/desk/conversations")


def test_back_from_a_conversation_to_its_row(talk: Talk) -> None:
    clerk = talk.clerk
    back_by_keys(clerk)
    expect(clerk.page.locator(f'[data-testid="conversation"][href$="{talk.conv}"]')).to_be_focused()


def test_back_from_a_conversation_of_somebody_else(talk: Talk, desk: OpenDesk, system: System) -> None:
    other = desk(system.clerk_of(OTHER_MATTER))
    other.page.set_viewport_size(ENLARGED)
    other.open(f"/desk/conversations/{talk.conv}")
    expect(other.page.get_by_text("这个咨询已经转给别人，或您无权查看")).to_be_visible()
    assert not findings(other)
    back_by_keys(other)
    expect(other.see("conversation-search")).to_be_focused()


def test_back_from_a_conversation_that_does_not_come(talk: Talk, desk: OpenDesk, system: System) -> None:
    clerk, username = desk(), system.clerk_of(MATTER)
    clerk.page.set_viewport_size(ENLARGED)
    held: list[Route] = []
    # without a ticket there is no socket, and without a socket no conversation
    clerk.page.route("**/api/socket-tickets", lambda route: held.append(route))
    clerk.open(f"/desk/conversations/{talk.conv}")
    clerk.see("username").fill(username)
    clerk.see("password").fill(system.password(username))
    clerk.see("login").click()
    expect(clerk.see("loading")).to_be_visible()
    back_by_keys(clerk)
    expect(clerk.see("conversation-search")).to_be_focused()

    # and when it does come, it is shown
    clerk.page.go_back()
    expect(clerk.see("loading")).to_be_visible()
    for route in held:
        route.continue_()
    expect(clerk.bubble()).to_have_count(2)
    expect(clerk.see("loading")).to_be_hidden()
    on_top(clerk.see("to-list"))
