"""Everything that goes wrong on the way: nothing is lost, nothing comes twice, the order is the same on all screens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from backend.commands.browser.desk import Desk
from backend.commands.browser.phone import Phone
from backend.commands.tour.photos import photograph
from tests.browser.conftest import OpenDesk, OpenPhone
from tests.browser.network import Network
from tests.browser.system import System
from tests.browser.talk import same_everywhere

if TYPE_CHECKING:
    from playwright.sync_api import Browser, StorageState

MATTER = "高龄津贴给付"


@dataclass
class Talk:
    """A citizen and a clerk who talk with each other; each on a network that can be cut."""

    citizen: Phone
    clerk: Desk
    conv: str
    phones_network: Network
    desks_network: Network

    def same(self, *others: Phone | Desk) -> list[str]:
        return same_everywhere(self.conv, self.clerk, self.citizen, *others)


@pytest.fixture(scope="module")
def kept(browser: Browser, system: System) -> StorageState:
    """What a phone has stored on which 李桂芳 has logged in, for the phones of all these tests."""
    phone = Phone(browser, system.url, ahead=system.ahead)
    phone.log_in("李桂芳")
    stored = phone.remember()
    phone.close()
    assert not phone.problems, "\n".join(phone.problems)
    return stored


@pytest.fixture
def talk(phone: OpenPhone, desk: OpenDesk, system: System, network: Callable[[], Network], kept: StorageState) -> Talk:
    phones, desks = network(), network()
    clerk = desk(system.clerk_of(MATTER), proxy=desks.address)
    citizen = phone(proxy=phones.address, kept=kept)
    citizen.find("高龄津贴", MATTER)
    conv = citizen.ask("我妈妈八十二了，怎么领高龄津贴？")
    clerk.consult(conv)
    expect(clerk.see("decline")).to_be_visible()
    clerk.say("您好，我来帮您。")
    expect(citizen.bubble()).to_have_count(2)
    return Talk(citizen, clerk, conv, phones, desks)


def test_the_phone_loses_its_network_while_typing_and_sending(talk: Talk) -> None:
    citizen, clerk = talk.citizen, talk.clerk
    citizen.type("户口本")
    citizen.offline()
    talk.phones_network.drop()
    expect(citizen.see("offline-banner")).to_be_visible()
    citizen.say("户口本在老家")
    citizen.say("身份证在我这里")
    expect(citizen.bubble("sending")).to_have_count(2)
    clerk.say("户口本拍照就行。")
    citizen.type("那我让")
    talk.phones_network.restore()
    citizen.offline(away=False)
    assert len(talk.same()) == 5
    expect(citizen.see("message-input")).to_have_value("那我让")


def test_the_answer_to_a_message_is_lost(talk: Talk) -> None:
    citizen, clerk = talk.citizen, talk.clerk
    citizen.faulty = True
    talk.phones_network.mute()
    citizen.say("到了以后找谁？")
    expect(clerk.bubble()).to_have_count(3)  # it did arrive
    expect(citizen.bubble("sending")).to_have_count(1)
    talk.phones_network.drop()
    talk.phones_network.restore()
    citizen.offline()
    citizen.offline(away=False)
    assert talk.same()[-1] == "到了以后找谁？"


def test_the_desk_loses_its_network_while_sending(talk: Talk) -> None:
    citizen, clerk = talk.citizen, talk.clerk
    clerk.faulty = True
    talk.desks_network.freeze()
    clerk.say("请带身份证。")
    expect(clerk.bubble("sending")).to_have_count(1)
    citizen.say("还要带什么？")
    clerk.type("还有银行")
    talk.desks_network.drop()
    talk.desks_network.restore()
    clerk.offline()
    clerk.offline(away=False)
    assert sorted(talk.same()[-2:]) == ["请带身份证。", "还要带什么？"]
    expect(clerk.see("composer")).to_have_value("还有银行")


def test_pages_are_reloaded_while_sending(talk: Talk) -> None:
    citizen, clerk = talk.citizen, talk.clerk
    citizen.faulty = clerk.faulty = True
    talk.phones_network.mute()
    talk.desks_network.freeze()
    citizen.say("她走不动")
    clerk.say("可以上门。")
    citizen.type("能不能")
    clerk.type("我帮您")
    for network in (talk.phones_network, talk.desks_network):
        network.drop()
        network.restore()
    citizen.page.reload()
    clerk.page.reload()
    expect(citizen.see("message-input")).to_have_value("能不能")
    expect(clerk.see("composer")).to_have_value("我帮您")
    assert sorted(talk.same()[-2:]) == ["可以上门。", "她走不动"]


def test_a_photograph_is_cut_on_its_way(talk: Talk) -> None:
    citizen, clerk = talk.citizen, talk.clerk
    citizen.faulty = True
    talk.phones_network.freeze()
    citizen.send_photos([photograph("page 1"), photograph("page 2")])
    expect(citizen.bubble("sending")).to_have_count(1)
    talk.phones_network.drop()
    talk.phones_network.restore()
    citizen.page.reload()
    expect(clerk.bubble()).to_have_count(3, timeout=40_000)
    assert talk.same()[-1] == "[2]"
    expect(clerk.bubble().nth(2).locator("img")).to_have_count(2)


def test_two_phones_of_one_citizen(talk: Talk, phone: OpenPhone) -> None:
    other = phone("李桂芳")
    other.consult(talk.conv)
    expect(other.bubble()).to_have_count(2)
    other.say("我换了女儿的手机")
    talk.citizen.say("这边也看得到")
    talk.clerk.say("两边都收到了。")
    assert len(talk.same(other)) == 5


@pytest.mark.parametrize("stays", [True, False], ids=["page stays", "loaded anew"])
def test_a_change_that_is_refused_is_told_and_its_words_stay(
    talk: Talk, phone: OpenPhone, network: Callable[[], Network], stays: bool
) -> None:
    net = network()
    other = phone("李桂芳", proxy=net.address)
    other.consult(talk.conv)
    expect(other.bubble()).to_have_count(2)
    other.faulty = True
    other.type("还有，")
    net.drop()
    _press(other, "edit")
    other.say("我妈妈八十二了，怎么领高龄津贴？要照片吗？")
    expect(other.see("message-input")).to_have_value("还有，")
    if not stays:
        other.page.goto("about:blank")
    _press(talk.citizen, "recall")
    expect(talk.clerk.page.get_by_text("撤回了一条消息")).to_be_visible()
    net.restore()
    if not stays:
        other.consult(talk.conv)
    expect(other.page.get_by_text("这条消息已经撤回。您改的话放回了输入框。")).to_be_visible()
    expect(other.see("message-input")).to_have_value("还有，\n我妈妈八十二了，怎么领高龄津贴？要照片吗？")
    # a clerk is given eight at a time, and the other tests need them
    talk.clerk.see("close").click()
    talk.clerk.see("close-submit").click()
    expect(talk.clerk.see("closed-hint")).to_be_visible()


def _press(citizen: Phone, what: str) -> None:
    """What can be done with the citizen's own first message."""
    first = citizen.bubble().first
    first.get_by_test_id("bubble-menu").click()
    first.get_by_test_id(what).click()


def test_two_tabs_of_one_clerk(talk: Talk) -> None:
    other = talk.clerk.another_tab()
    other.consult(talk.conv)
    expect(other.bubble()).to_have_count(2)
    other.say("这是另一个窗口。")
    talk.clerk.say("这是原来的窗口。")
    talk.citizen.say("都看到了")
    assert len(talk.same(other)) == 5


def test_the_system_is_killed_while_both_are_sending(talk: Talk, system: System) -> None:
    citizen, clerk = talk.citizen, talk.clerk
    citizen.faulty = clerk.faulty = True
    citizen.say("我下午来可以吗？")
    clerk.say("今天下午我都在。")
    system.kill()
    citizen.say("听得到吗？")
    clerk.say("您说几点来？")
    expect(citizen.bubble("sending").last).to_be_visible()
    expect(clerk.bubble("sending").last).to_be_visible()
    system.start()
    said = talk.same()
    assert sorted(said[2:]) == sorted(["我下午来可以吗？", "今天下午我都在。", "听得到吗？", "您说几点来？"])
    citizen.say("三点")
    assert talk.same()[-1] == "三点"
