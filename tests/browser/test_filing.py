"""An application survives what a phone goes through: no signal, photographs cut on their way, reloads, two phones."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from playwright.sync_api import TimeoutError, expect

from backend.commands.browser.phone import Phone
from backend.commands.tour.photos import photograph
from tests.browser.conftest import OpenPhone
from tests.browser.network import Network
from tests.embedded.machine import wait_until

MATTER = "社会保障卡申领与补换"


def test_what_was_typed_without_a_network_is_there_and_filed_once(
    phone: OpenPhone, network: Callable[[], Network]
) -> None:
    net = network()
    citizen = phone("梁惠芳", proxy=net.address)
    # An edit whose answer the cut or the reload took away has been made all the same: the phone that edits next on
    # the version it knew is told so, reads again and merges, and the citizen sees none of it.
    citizen.expect(r"/api/cases/[0-9a-f-]{36}$", 409)
    citizen.find("社保卡", MATTER)
    citizen.see("apply").click()
    citizen.see("applicant-name").fill("梁惠芳")
    citizen.page.wait_for_url("**/apply/apply?case=*")
    draft = citizen.page.url
    expect(citizen.see("saved")).to_have_attribute("data-state", "saved")
    citizen.offline()
    net.drop()
    citizen.fill_in("梁惠芳")
    citizen.see("remark").fill("卡丢了")
    expect(citizen.see("saved")).to_have_attribute("data-state", "here")
    net.restore()
    citizen.offline(away=False)
    citizen.page.reload()
    expect(citizen.see("remark")).to_have_value("卡丢了")
    expect(citizen.see("saved")).to_have_attribute("data-state", "saved")

    other = phone("梁惠芳")
    other.page.goto(draft)
    expect(other.see("remark")).to_have_value("卡丢了")
    expect(other.see("applicant-phone")).to_have_value("13900000000")

    citizen.next()
    slots = citizen.slots()
    for number, slot in enumerate(slots):
        net.freeze()
        citizen.photograph(slot, [photograph(f"material {number}")])
        expect(slot.get_by_test_id("upload")).to_have_count(1)
        net.drop()
        net.restore()
        if number == 0:  # the page is gone while the photograph is on its way
            citizen.page.reload()
            citizen.next()
        citizen.uploaded(slot, 1)
        expect(slot.get_by_test_id("page")).to_have_count(1)
    citizen.next()
    net.mute()  # the answer to the submission is lost
    citizen.see("submit").click()
    other.go("cases/cases")
    wait_until(lambda: listed(other, "open") == 1, "the submission arrived")
    net.drop()
    net.restore()
    citizen.offline()
    citizen.offline(away=False)
    wait_until(lambda: submitted(citizen), "the phone knows that it is submitted")
    assert listed(other, "open") == 1
    assert listed(other, "draft") == 0


def submitted(citizen: Phone) -> bool:
    """Press again, as people do; the phone may have learned by itself meanwhile."""
    if not citizen.see("submitted").is_visible():
        with suppress(TimeoutError):
            citizen.see("submit").click(timeout=1000)
    return citizen.see("submitted").is_visible()


def listed(citizen: Phone, phase: str) -> int:
    """How many cases the list of this phase shows after a reload."""
    citizen.page.reload()
    citizen.see(f"phase-{phase}").click()
    expect(citizen.see(f"phase-{phase}")).to_have_attribute("aria-pressed", "true")
    citizen.page.locator(".skeleton").first.wait_for(state="hidden")
    citizen.see("case").or_(citizen.page.locator(".empty")).first.wait_for()
    return citizen.see("case").count()
