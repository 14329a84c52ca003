"""The main job, in two windows side by side: find, ask, answer, file, correct, decide."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from backend.commands.browser import main_job
from tests.browser.conftest import OpenDesk, OpenPhone
from tests.browser.system import System
from tests.browser.talk import same_everywhere


def test_the_main_job(phone: OpenPhone, desk: OpenDesk, system: System) -> None:
    username = system.clerk_of(main_job.MATTER)
    citizen, clerk = phone(), desk()
    outcome = main_job.Outcome()

    for _ in main_job.find_and_ask(citizen, "陈秀英", outcome):
        pass
    for moment in main_job.answer(citizen, clerk, username, system.password(username), outcome):
        if moment.name == "desk-home":
            expect(clerk.page).to_have_title(re.compile(r"^\(1\)"))
            expect(clerk.see("nav-conversations")).to_contain_text("1")
    said = same_everywhere(outcome.conv, clerk, citizen)
    assert said[0] == main_job.QUESTION
    assert said[2:] == [main_job.ANSWER, main_job.THANKS]
    expect(clerk.page).to_have_title(re.compile(r"^[^(]"))

    for _ in main_job.file(citizen, outcome):
        pass
    assert re.fullmatch(r"[0-9A-Za-z]+\d{8}\d{4,}", outcome.number)
    for moment in main_job.decide(citizen, clerk, outcome):
        if moment.name == "desk-case":
            expect(clerk.see("number")).to_contain_text(outcome.number)
        if moment.name == "correction":
            expect(citizen.see("correction-item")).to_have_count(1)
            expect(citizen.see("correction-item")).to_contain_text(main_job.CORRECTION)
    expect(citizen.see("timeline")).to_contain_text("受理")
    expect(citizen.see("decision")).to_contain_text(main_job.RESULT)
    expect(citizen.see("correction")).to_have_count(0)
