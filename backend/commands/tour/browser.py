"""`run.py tour --browser`: the main job in two real browser windows, with numbered pictures."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

from backend.commands.browser import main_job
from backend.commands.browser.desk import Desk
from backend.commands.browser.fresh_system import find_clerk
from backend.commands.browser.phone import Phone
from backend.commands.browser.window import Window, open_browser
from backend.commands.running import RunInfo
from backend.commands.tour.report import Report, Step
from config.first_accounts import ADMIN

_MESSAGE = 300  # characters of what Playwright says


def play(
    info: RunInfo, accounts: dict[str, dict[str, str]], report: Report, pictures: Path, *, ahead: float = 0.0
) -> None:
    """Play it, keep a picture of every moment below `pictures`, note what went wrong in `report`.

    Raises:
        CommandError: Chromium or Playwright is missing, or the sample district is not there.

    """
    with open_browser() as browser:
        from playwright.sync_api import Error

        username = find_clerk(info.url, accounts[ADMIN]["password"], main_job.MATTER)
        pictures.mkdir(parents=True, exist_ok=True)
        citizen = Phone(browser, info.url, ahead=ahead, pictures=2.0)
        clerk = Desk(browser, info.url, ahead=ahead)
        somebody = f"陈秀英{uuid.uuid4().hex[:4]}"  # who has asked before goes on with the old consultation
        started = time.perf_counter()
        try:
            moments = main_job.play(citizen, somebody, clerk, username, accounts[username]["password"])
            for number, moment in enumerate(moments, 1):
                file = pictures / f"{number:02}-{moment.name}.png"
                moment.window.picture(file)
                step = Step(moment.sentence, ms=round((time.perf_counter() - started) * 1000, 1), ok=True)
                step.saw(str(file))
                report.add(step)
                started = time.perf_counter()
        except Error as error:
            report.failure = _where(error, citizen, clerk, pictures)
        problems = [*citizen.problems, *clerk.problems]
        if problems and report.failure is None:
            report.failure = "; ".join(problems)


def _where(error: Exception, citizen: Window, clerk: Window, pictures: Path) -> str:
    """The complaint, with a picture of both windows beside the others."""
    for name, window in (("phone", citizen), ("desk", clerk)):
        window.picture(pictures / f"failed-{name}.png")
    return f"{str(error)[:_MESSAGE]} — {pictures}/failed-phone.png, failed-desk.png"
