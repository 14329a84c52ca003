"""Outside duty hours: nobody answers live, and a time is promised."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenPhone
from tests.browser.system import System


@pytest.fixture(scope="module")
def system(web: Path | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    made = System(tmp_path_factory.mktemp("night") / "var", hour=22, web=web)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def test_a_question_at_night_is_promised_an_answer(phone: OpenPhone) -> None:
    citizen = phone("何秀珍")
    citizen.find("办居住证", "居住证申领")
    conv = citizen.ask("明天可以来办吗？")
    state = citizen.see("consultation-state")
    expect(state).to_have_attribute("data-state", "waiting_answer")
    expect(state).to_contain_text("前答复")
    expect(citizen.see("waiting-detail")).to_contain_text("公安局")
    citizen.go("consultations/consultations")
    expect(citizen.see("consultation").first).to_contain_text("前答复")
    citizen.consult(conv)
    expect(citizen.bubble()).to_have_count(1)
