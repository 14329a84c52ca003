"""Chromium and the windows in it: a citizen's phone, a clerk's desk, and what goes wrong in them."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from backend.commands.errors import CommandError

if TYPE_CHECKING:
    from playwright.sync_api import (
        Browser,
        BrowserContext,
        ConsoleMessage,
        Locator,
        Page,
        Request,
        Response,
        StorageState,
        WebError,
    )

PHONE: Final = {"width": 390, "height": 844}
DESK: Final = {"width": 1366, "height": 768}

#: How long a condition may take to come true, in milliseconds. Long: it is only waited for where something is wrong.
PATIENCE: Final = 20_000

_FLAGS: Final = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

#: The clock of the device runs as far ahead as the system's own.
_AHEAD: Final = """(() => {
  const ahead = %d, Real = Date
  globalThis.Date = class extends Real {
    constructor(...given) { given.length ? super(...given) : super(Real.now() + ahead) }
    static now() { return Real.now() + ahead }
  }
})()"""

#: Until what was decided is drawn, and what comes in gently has come.
_DRAWN: Final = """new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))
.then(() => Promise.all(
  document.getAnimations()
    .filter((one) => Number.isFinite(one.effect?.getComputedTiming().endTime))
    .map((one) => one.finished.catch(() => null))
)).then(() => null)"""

#: What a browser says of a network that is away.
_NETWORK: Final = re.compile(
    r"net::ERR_|WebSocket connection to .* failed|Failed to load resource|status of 50[0-9]|WebSocket is closed"
)


def find_chromium() -> str | None:
    """The path of a Chromium of this machine; None when there is none."""
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


@contextmanager
def open_browser(*, headless: bool = True) -> Iterator[Browser]:
    """A running Chromium. Raises `CommandError` where it or Playwright is missing, with the words that help."""
    if importlib.util.find_spec("playwright") is None:
        raise CommandError(
            "缺少 Playwright：运行一次 make run 或 pip install playwright / Playwright is missing: "
            "`make run` installs it, or pip install playwright"
        )
    path = find_chromium()
    if path is None:
        raise CommandError(
            "找不到 Chromium：Debian、Ubuntu 上 apt-get install chromium fonts-noto-cjk / "
            "Chromium is missing: apt-get install chromium fonts-noto-cjk"
        )
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        root = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=path, args=[*root, *_FLAGS], headless=headless)
        try:
            yield browser
        finally:
            browser.close()


class Window:
    """One window of one person, with everything that went wrong in it.

    `problems` are errors on the console, breaches of the content policy, requests to our own server that failed
    or were refused. `expect` names the refusals that belong to the play; while `faulty` is set, the network may fail.
    `kept` is what an earlier window had stored (`remember`): whoever had logged in there is logged in here.
    """

    def __init__(
        self,
        browser: Browser,
        url: str,
        *,
        phone: bool,
        ahead: float = 0.0,
        proxy: str | None = None,
        pictures: float = 1.0,
        kept: StorageState | None = None,
    ) -> None:
        options: dict[str, Any] = {
            "viewport": PHONE if phone else DESK,
            "has_touch": phone,
            "is_mobile": phone,
            "device_scale_factor": pictures,
            "locale": "zh-CN",
            "timezone_id": "Asia/Shanghai",
            "base_url": url,
            "permissions": ["notifications", "clipboard-read", "clipboard-write"],
            "reduced_motion": "reduce",
        }
        if kept:
            options["storage_state"] = kept
        if proxy:
            options["proxy"] = {"server": proxy, "bypass": "<-loopback>"}
        self.context: BrowserContext = browser.new_context(**options)
        self.context.set_default_timeout(PATIENCE)
        if ahead:
            self.context.add_init_script(_AHEAD % int(ahead * 1000))
        self.url = url
        self.problems: list[str] = []
        self.faulty = False
        self._expected: list[tuple[re.Pattern[str], int]] = []
        self.context.on("console", self._said)
        self.context.on("weberror", self._thrown)
        self.context.on("requestfailed", self._unanswered)
        self.context.on("response", self._answered)
        self._pending: dict[int, str] = {}
        self.context.on("request", self._asked)
        self.context.on("requestfinished", self._over)
        self.context.on("requestfailed", self._over)
        self.page: Page = self.context.new_page()

    def expect(self, path: str, status: int) -> None:
        """A refusal that belongs to the play: `path` is a regular expression on the address."""
        self._expected.append((re.compile(path), status))

    def remember(self) -> StorageState:
        """What this window has stored, for one to be opened later."""
        return self.context.storage_state()

    def another_tab(self) -> Self:
        """One more tab of the same window: the same person, the same storage, the same problems."""
        other = copy(self)
        other.page = self.context.new_page()
        return other

    def offline(self, *, away: bool = True) -> None:
        """What the device says of its network."""
        self.faulty = self.faulty or away
        self.context.set_offline(away)

    def see(self, testid: str) -> Locator:
        """What the page marks so."""
        return self.page.get_by_test_id(testid)

    def open(self, path: str) -> None:
        """Type an address of our server."""
        self.page.goto(path)

    def quiet(self) -> None:
        """Wait until the page shows what it has: no request is on its way, nothing stands for what is to come."""
        calm = 0
        for _ in range(400):
            self.page.evaluate(_DRAWN)
            waits = self.page.locator(".skeleton:visible, .el-skeleton:visible").count()
            calm = 0 if self._pending or waits else calm + 1
            if calm == 3:
                return
        raise TimeoutError(f"{self.page.url} does not come to rest: {sorted(self._pending.values())}")

    def close(self) -> None:
        """Close the window and forget what it kept."""
        self.context.close()

    def picture(self, file: Path, *, whole: bool = False) -> None:
        """A picture of the page; `whole` with what lies below the fold."""
        self.page.screenshot(path=file, full_page=whole, animations="disabled", caret="hide")

    # --- what goes wrong ----------------------------------------------------------------------

    def _may(self, address: str, status: int) -> bool:
        return any(status == known and path.search(address) for path, known in self._expected)

    def _asked(self, request: Request) -> None:
        self._pending[id(request)] = request.url

    def _over(self, request: Request) -> None:
        self._pending.pop(id(request), None)

    def _said(self, message: ConsoleMessage) -> None:
        text = message.text
        if message.type != "error" and "Content Security Policy" not in text:
            return
        if text.startswith("Failed to load resource: the server responded"):
            return  # the answer itself is looked at
        if self.faulty and _NETWORK.search(text):
            return
        self.problems.append(f"console: {text} ({message.location.get('url', '')})")

    def _thrown(self, error: WebError) -> None:
        self.problems.append(f"uncaught: {error.error}")

    def _unanswered(self, request: Request) -> None:
        if self.faulty or not request.url.startswith(self.url) or request.failure == "net::ERR_ABORTED":
            return
        self.problems.append(f"no answer: {request.method} {request.url} {request.failure}")

    def _answered(self, response: Response) -> None:
        if response.status < 400 or not response.url.startswith(self.url) or self._may(response.url, response.status):
            return
        if self.faulty and response.status >= 500:
            return
        self.problems.append(f"{response.status}: {response.request.method} {response.url}")
