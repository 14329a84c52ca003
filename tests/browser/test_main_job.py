"""The main job, in two windows side by side: ask, answer, file, correct, decide."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.conftest import OpenDesk, OpenPhone
from tests.browser.system import System
from tests.browser.talk import same_everywhere

MATTER = "居住证申领"


def test_asking_and_answering(phone: OpenPhone, desk: OpenDesk, system: System) -> None:
    clerk = desk(system.clerk_of(MATTER))
    citizen = phone("陈秀英")
    citizen.find("办居住证", MATTER)
    conv = citizen.ask("租的房子没有合同，能办吗？")

    expect(clerk.page).to_have_title(re.compile(r"^\(1\)"))
    clerk.conversations()
    clerk.take("租的房子")
    expect(clerk.bubble()).to_have_count(1)
    expect(citizen.see("consultation-state")).to_have_attribute("data-state", "active")

    clerk.say("能办。请房东写一份居住证明，签字就行。")
    expect(citizen.bubble().nth(1)).to_contain_text("请房东写一份居住证明")
    expect(clerk.bubble("read")).to_have_count(1)
    same_everywhere(conv, clerk, citizen)
