"""`run.py screens`: pictures of every page into docs/screens, from a fresh system in which something has happened."""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from PIL import Image

from backend.commands.browser import main_job
from backend.commands.browser.desk import Desk
from backend.commands.browser.fresh_system import FreshSystem
from backend.commands.browser.phone import Phone
from backend.commands.browser.phone_pages import Story, declared, live_through, show
from backend.commands.browser.window import Window, open_browser
from backend.commands.build_web import WEB, build
from backend.commands.environment import ROOT, read_settings
from backend.commands.errors import CommandError
from backend.commands.terminal import say
from config.first_accounts import ADMIN

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FOLDER: Final = ROOT / "docs" / "screens"
#: No picture is larger, in bytes: the pictures lie in the repository.
MOST: Final = 150_000
_PHONE_PIXELS: Final = 1.5

#: Pages of the phone that are shown in large text, too.
_LARGE: Final = ("home/home", "guide/guide", "consult/consult")

#: Whose pictures of the main job are pages of their own.
_MOMENTS: Final = {
    "first-page": "first-page",
    "fake-phone": "fake-phone-login",
    "photographs": "phone-apply-photographs",
    "receipt": "phone-apply-receipt",
    "desk-answer": "desk-conversation",
    "desk-cases": "desk-cases",
    "desk-case": "desk-case",
    "desk-correction": "desk-correction",
    "correction": "phone-correction",
    "answered": "phone-consult",
    "case": "phone-case",
}

#: Sections of the back office whose lists lead to pages of their own.
_DETAILS: Final = ("matters", "announcements", "organisation", "posts", "staff")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--into", type=Path, default=FOLDER, metavar="FOLDER", help="放到哪里 / where to (docs/screens)"
    )


def run(options: argparse.Namespace) -> int:
    """Draw them all anew; those that no page has any more go. Raises `CommandError`."""
    web = read_settings().web
    if web == WEB:
        build()
    options.into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, open_browser() as browser:
        system = FreshSystem(Path(folder) / "var", web=web)
        system.start()
        try:
            drawn = _Artist(browser, system, options.into).draw()
        finally:
            system.stop()
    for old in options.into.glob("*.png"):
        if old.stem not in drawn:
            old.unlink()
    total = sum(file.stat().st_size for file in options.into.glob("*.png"))
    say(f"{len(drawn)} 张图片 / pictures, {total / 1e6:.1f} MB → {options.into}")
    return 0


class _Artist:
    def __init__(self, browser: Browser, system: FreshSystem, folder: Path) -> None:
        self._browser = browser
        self._system = system
        self._folder = folder
        self._drawn: set[str] = set()

    def draw(self) -> set[str]:
        """The names of all pictures."""
        username = self._system.clerk_of(main_job.MATTER)
        password = self._system.password(username)
        clerk = Desk(self._browser, self._system.url, ahead=self._system.ahead)
        clerk.open("/desk/login")
        clerk.see("username").wait_for()
        self._keep("desk-login", clerk)
        citizen = self._phone()
        for moment in main_job.play(citizen, "陈秀英", clerk, username, password):
            if moment.name in _MOMENTS:
                self._keep(_MOMENTS[moment.name], moment.window)
        self._phone_pages(citizen)
        self._desk_pages(clerk)
        clerk.close()
        self._fake_phone(citizen)
        citizen.close()
        self._back_office()
        return self._drawn

    def _phone(self) -> Phone:
        return Phone(self._browser, self._system.url, ahead=self._system.ahead, pictures=_PHONE_PIXELS)

    def _phone_pages(self, citizen: Phone) -> None:
        story = live_through(citizen, self._system)
        pages = story.pages()
        if sorted(pages) != sorted(declared()):
            raise CommandError("backend/commands/browser/phone_pages.py does not know every page of pages.json")
        for page, query in pages.items():
            name = f"phone-{page.partition('/')[0]}"
            if name in self._drawn:
                continue
            show(citizen, page, query)
            self._keep(name, citizen)
        self._large(citizen, story)
        visitor = self._phone()
        show(visitor, "login/login", "")
        self._keep("phone-login", visitor)
        visitor.close()

    def _large(self, citizen: Phone, story: Story) -> None:
        citizen.home()
        citizen.see("text-size").click()
        for page in _LARGE:
            show(citizen, page, story.pages()[page])
            self._keep(f"phone-{page.partition('/')[0]}-large", citizen)
        citizen.home()
        citizen.see("text-size").click()

    def _fake_phone(self, citizen: Phone) -> None:
        citizen.open(f"{self._system.standin_url}/phone")
        citizen.page.locator("#switch").wait_for()
        self._keep("fake-phone", citizen)
        for tab in ("scan", "inbox"):
            citizen.page.locator(f"[data-tab={tab}]").click()
            citizen.page.locator(f"[data-tab={tab}][aria-current]").wait_for()
            self._keep(f"fake-phone-{tab}", citizen)

    def _desk_pages(self, clerk: Desk) -> None:
        clerk.go("home")
        self._keep("desk-home", clerk)

    def _back_office(self) -> None:
        """What clerks do not see: as the administrator, who sees all of it."""
        admin = Desk(self._browser, self._system.url, ahead=self._system.ahead)
        admin.log_in(ADMIN, self._system.password(ADMIN))
        links = admin.page.locator('nav [data-testid^="nav-"]').all()
        sections = [(link.get_attribute("data-testid") or "").removeprefix("nav-") for link in links]
        for section in sections:
            if f"desk-{section}" in self._drawn:
                continue
            admin.go(section)
            admin.page.locator(f'[data-testid="nav-{section}"][aria-current="page"]').wait_for()
            self._keep(f"desk-{section}", admin)
            if section in _DETAILS:
                self._detail(admin, section)
        admin.close()

    def _detail(self, admin: Desk, section: str) -> None:
        admin.quiet()
        path = admin.page.url.removeprefix(self._system.url)
        inner = admin.page.locator(f'main a[href^="{path}/"]:not([href$="/new"])')
        if inner.count() == 0:
            return
        inner.first.click()
        admin.page.wait_for_url(f"**{path}/*")
        self._keep(f"desk-{section}-one", admin)

    def _keep(self, name: str, window: Window) -> None:
        window.quiet()
        with Image.open(io.BytesIO(window.page.screenshot(animations="disabled", caret="hide"))) as picture:
            (self._folder / f"{name}.png").write_bytes(small(picture))
        self._drawn.add(name)
        say(f"  {name}")


def small(picture: Image.Image) -> bytes:
    """A PNG with as many colours as fit into `MOST` bytes. Raises `CommandError` where even few do not."""
    plain = picture.convert("RGB")
    for colours in (256, 128, 64, 32, 16):
        stored = io.BytesIO()
        plain.quantize(colours, dither=Image.Dither.NONE).save(stored, "PNG", optimize=True)
        if stored.tell() <= MOST:
            return stored.getvalue()
    raise CommandError(f"a picture stays larger than {MOST} bytes")
