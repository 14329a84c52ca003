"""A real Chromium, the built pages, the whole system, and windows that tell what goes wrong in them."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from playwright.sync_api import expect

from backend.commands.browser.desk import Desk
from backend.commands.browser.phone import Phone
from backend.commands.browser.window import PATIENCE, Window, find_chromium, open_browser
from backend.commands.build_web import build
from backend.commands.errors import CommandError
from tests.browser.network import Network
from tests.browser.system import System

if TYPE_CHECKING:
    from playwright.sync_api import Browser

#: Seconds for the first test of a process, before which Chromium may have to be installed and everything to be built,
#: one after the other with what other processes build.
SETTING_UP = 900

OpenPhone = Callable[..., Phone]
OpenDesk = Callable[..., Desk]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    usual = float(config.getini("timeout"))
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(usual + SETTING_UP))


def unavailable(reason: str) -> NoReturn:
    """What this machine cannot have: no test of it, and no green light of a build server without it."""
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(f"{reason} (with CI=true this must run)")
    pytest.skip(reason)


def install_chromium() -> None:
    """Debian's own packages, once, while the other test processes wait."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    with (Path(tempfile.gettempdir()) / "banshi-chromium.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if find_chromium():
            return
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for words in (("update",), ("install", "-y", "--no-install-recommends", "chromium", "fonts-noto-cjk")):
            subprocess.run(["apt-get", "-q", *words], env=quiet, check=False, capture_output=True, timeout=900)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One Chromium for all of this folder's tests in this process."""
    if not find_chromium():
        install_chromium()
    if not find_chromium():
        unavailable("Chromium is not on this machine: apt-get install chromium fonts-noto-cjk")
    expect.set_options(timeout=PATIENCE)
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="session")
def web() -> Path | None:
    """Makes sure that the pages are built. `BANSHI_WEB` names a workspace that somebody else has built."""
    if given := os.environ.get("BANSHI_WEB"):
        return Path(given)
    try:
        build()
    except CommandError as error:
        unavailable(f"the pages cannot be built: {error}")
    return None


@pytest.fixture(scope="package")
def system(web: Path | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The whole system on a working day at half past ten."""
    made = System(tmp_path_factory.mktemp("browser") / "var", web=web)
    try:
        made.start()
        yield made
    finally:
        made.stop()


_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[_FAILED] = report.failed
    return report


@pytest.fixture
def windows(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[Window]]:
    """Every window of this test; whatever went wrong in one of them fails it. A failed test leaves pictures."""
    opened: list[Window] = []
    yield opened
    for number, window in enumerate(opened, 1):
        if request.node.stash.get(_FAILED, True):
            window.picture(tmp_path / f"window-{number}.png")
            print(f"window {number}: {window.page.url}\n{tmp_path}/window-{number}.png")
            print("\n".join(window.problems))
    problems = [problem for window in opened for problem in window.problems]
    for window in opened:
        window.close()
    assert not problems, "\n".join(problems)


@pytest.fixture
def phone(browser: Browser, system: System, windows: list[Window]) -> OpenPhone:
    """`phone("陈秀英")`: one more phone, logged in as this person; without a name, nobody is logged in."""

    def open_phone(nickname: str = "", **options: Any) -> Phone:
        opened = Phone(browser, system.url, ahead=system.ahead, **options)
        windows.append(opened)
        if nickname:
            opened.log_in(nickname)
        return opened

    return open_phone


@pytest.fixture
def desk(browser: Browser, system: System, windows: list[Window]) -> OpenDesk:
    """`desk(username)`: one more desk, logged in."""

    def open_desk(username: str = "", **options: Any) -> Desk:
        opened = Desk(browser, system.url, ahead=system.ahead, **options)
        windows.append(opened)
        if username:
            opened.log_in(username, system.password(username))
        return opened

    return open_desk


@pytest.fixture
def network() -> Iterator[Callable[[], Network]]:
    """`network()`: a network of one window, to be cut."""
    made: list[Network] = []

    def make() -> Network:
        made.append(Network())
        return made[-1]

    yield make
    for one in made:
        one.close()
