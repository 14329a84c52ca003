"""The citizen's phone: what a thumb does on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from backend.commands.browser.window import PATIENCE, Window

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FilePayload, Locator

#: The identity number of the standard's own example; nobody's.
ID_NUMBER: Final = "11010519491231002X"


def payload(data: bytes, name: str = "IMG_0001.JPG") -> FilePayload:
    """A photograph as the phone's album hands it over."""
    return {"name": name, "mimeType": "image/jpeg", "buffer": data}


class Phone(Window):
    """A phone with the H5 on it. Everything is done by tapping and typing."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        super().__init__(browser, url, phone=True, **options)

    # --- getting around -----------------------------------------------------------------------

    def home(self) -> None:
        """Open the H5 at its first page."""
        self.open("/m/")
        self.see("search-input").wait_for()

    def go(self, page: str) -> None:
        """Open one of its pages by address: `go("case/case?id=…")`."""
        name, _, query = page.partition("?")
        self.open(f"/m/#/pages/{name}{'?' + query if query else ''}")

    def tab(self, name: str) -> None:
        """Tap one of the four tabs: home, talk, cases, me."""
        self.see(f"tab-{name}").click()

    def log_in(self, nickname: str, age: int = 40) -> None:
        """Log in through the fake phone as a person made there and then, and come back."""
        self.go("me/me")
        self.see("log-in").click()
        self.page.wait_for_url("**/phone?return=*")
        self.become(nickname, age)
        self.page.wait_for_url("**/m/**")
        self.see("my-name").wait_for()

    def become(self, nickname: str, age: int = 40) -> None:
        """On the fake phone: make a person and use the phone as theirs."""
        switch = self.page.locator("#switch")
        person = self.page.locator("button.person").first
        switch.or_(person).first.wait_for()
        if switch.is_visible():
            switch.click()
        known = self.page.locator("button.person").filter(has=self.page.get_by_text(nickname, exact=True))
        person.wait_for()
        if known.count():
            known.first.click()
            return
        self.page.locator("summary").click()
        self.page.locator("#nickname").fill(nickname)
        self.page.locator("#age").fill(str(age))
        self.page.get_by_role("button", name="新建并使用").click()

    def search(self, words: str) -> None:
        """Type into the search of the home page and look at what is found."""
        self.see("search-input").fill(words)
        self.see("search-go").click()
        self.see("matter").first.wait_for()

    def open_matter(self, name: str) -> None:
        """Tap a matter in a list; its guide opens."""
        self.see("matter").filter(has_text=name).first.click()
        self.see("guide").wait_for()

    def find(self, words: str, name: str) -> None:
        """From the home page to a guide, by search."""
        self.home()
        self.search(words)
        self.open_matter(name)

    # --- consultation -------------------------------------------------------------------------

    def ask(self, question: str) -> str:
        """On a guide: begin a consultation; its id once the server has it."""
        self.see("ask").click()
        self.see("first-message").fill(question)
        self.see("start-consultation").click()
        return self.conversation()

    def conversation(self) -> str:
        """The id of the consultation that is open, once it has one."""
        self.bubble("sent", "delivered", "read").first.wait_for()
        self.page.wait_for_url("**/consult/consult?id=*")
        return self.page.url.rpartition("id=")[2]

    def consult(self, conv: str) -> None:
        """Open a consultation by its address."""
        self.go(f"consult/consult?id={conv}")
        self.see("thread").wait_for()

    def type(self, text: str) -> None:
        """Write without sending."""
        self.see("message-input").fill(text)

    def say(self, text: str) -> None:
        """Write and send."""
        self.type(text)
        self.see("send-message").click()

    def send_photos(self, photos: Sequence[bytes]) -> None:
        """Choose photographs from the album and send them."""
        self.see("add-photo").click()
        with self.page.expect_file_chooser() as chooser:
            self.see("photo-album").click()
        chooser.value.set_files([payload(data, f"IMG_{number:04}.JPG") for number, data in enumerate(photos, 1)])

    def bubble(self, *states: str) -> Locator:
        """The messages on the screen, those in one of `states` where any is given."""
        marks = [f'[data-testid="bubble"][data-state="{state}"]' for state in states]
        return self.page.locator(", ".join(marks) or '[data-testid="bubble"]')

    def settled(self) -> None:
        """Wait until nothing is on its way any more."""
        self.bubble("sending").first.wait_for(state="hidden")

    # --- filing -------------------------------------------------------------------------------

    def fill_in(self, name: str, phone: str = "13900000000") -> None:
        """The first step of an application: who applies."""
        self.see("applicant-name").fill(name)
        self.see("applicant-id-number").fill(ID_NUMBER)
        self.see("applicant-phone").fill(phone)

    def next(self) -> None:
        """To the next step."""
        self.see("next").click()

    def slots(self) -> list[Locator]:
        """The places for photographs, in order."""
        self.page.locator('[data-testid^="slot-"]').first.wait_for()
        return self.page.locator('[data-testid^="slot-"]').all()

    def photograph(self, slot: Locator, photos: Sequence[bytes]) -> None:
        """Choose photographs for one place."""
        with self.page.expect_file_chooser() as chooser:
            slot.get_by_test_id("add-album").click()
        chooser.value.set_files([payload(data, f"IMG_{number:04}.JPG") for number, data in enumerate(photos, 1)])

    def uploaded(self, slot: Locator, pages: int) -> None:
        """Wait until so many pages of it are on the server and none is on its way."""
        slot.get_by_test_id("page").nth(pages - 1).wait_for(timeout=2 * PATIENCE)
        slot.get_by_test_id("upload").first.wait_for(state="hidden")

    def submit(self) -> str:
        """Submit what was filled in; the number of the case on the receipt."""
        self.see("submit").click()
        self.see("submitted").wait_for()
        receipt = self.see("receipt")
        receipt.wait_for()
        return receipt.locator(".receipt-value").first.inner_text().strip()

    def follow(self) -> str:
        """From the receipt to the page of the case; its id."""
        self.see("see-case").click()
        self.see("case-state").wait_for()
        return self.page.url.rpartition("id=")[2].partition("&")[0]
