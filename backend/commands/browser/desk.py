"""The clerk's desk: what a mouse and a keyboard do on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backend.commands.browser.window import Window

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator


class Desk(Window):
    """A browser with the desk in it. Everything is done by clicking and typing."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        super().__init__(browser, url, phone=False, **options)
        self.expect(r"/api/staff/me$", 401)  # the desk asks who is there before anybody has logged in

    def log_in(self, username: str, password: str) -> None:
        """Open the desk and log in."""
        self.open("/desk/")
        self.see("username").fill(username)
        self.see("password").fill(password)
        self.see("login").click()
        self.see("nav-home").wait_for()

    def go(self, section: str) -> None:
        """Click a section of the navigation."""
        self.see(f"nav-{section}").click()

    # --- consultations ------------------------------------------------------------------------

    def conversations(self) -> None:
        """The page of the consultations."""
        self.go("conversations")
        self.see("conversation-search").wait_for()

    def consult(self, conv: str) -> None:
        """Open one consultation by its address."""
        self.open(f"/desk/conversations/{conv}")
        self.see("thread").wait_for()

    def row(self, text: str) -> Locator:
        """The line of a consultation in the list on the left, by words that stand there."""
        return self.see("conversation-list").get_by_test_id("conversation").filter(has_text=text)

    def take(self, conv: str) -> None:
        """Find a consultation in the lists (waiting, mine), open it, and take it where nobody has it."""
        row = self.page.locator(f'[data-testid="conversation"][href$="{conv}"]')
        self.see("tab-waiting").click()
        if row.count() == 0:
            self.see("tab-mine").click()
        row.click()
        self.see("composer").wait_for()
        given = self.see("decline")  # stands only where it is mine
        self.see("take").or_(given).first.wait_for()
        if self.see("take").is_visible():
            self.see("take").click()
        self.see("take").wait_for(state="hidden")
        given.wait_for()

    def type(self, text: str) -> None:
        """Write without sending."""
        self.see("composer").fill(text)

    def say(self, text: str) -> None:
        """Write and send."""
        self.type(text)
        self.see("send").click()

    def quick_reply(self, title: str) -> str:
        """Put a quick reply into the composer, by its title; the text that stands there."""
        self.see("quick").click()
        self.see("quick-menu").get_by_role("option").filter(has_text=title).first.click()
        return self.see("composer").input_value()

    def put_clause(self, title: str) -> None:
        """Put a clause of the guide into the next message as a card."""
        self.see("pane-guide").click()
        pane = self.see("guide-pane")
        clause = pane.locator(".clause").filter(has_text=title).first
        clause.get_by_test_id("clause-card").click()
        self.see("card-ready").wait_for()

    def bubble(self, *states: str) -> Locator:
        """The messages on the screen, those in one of `states` where any is given."""
        marks = [f'[data-testid="bubble"][data-state="{state}"]' for state in states]
        return self.page.locator(", ".join(marks) or '[data-testid="bubble"]')

    def settled(self) -> None:
        """Wait until nothing is on its way any more."""
        self.bubble("sending").first.wait_for(state="hidden")

    # --- cases --------------------------------------------------------------------------------

    def open_case(self, case_id: str) -> None:
        """From the list of the cases that are to be looked at to one of them."""
        self.go("cases")
        self.see(f"case-{case_id}").click()
        self.see("number").wait_for()

    def ask_to_correct(self, material: str, text: str) -> None:
        """Mark a material as one to be corrected, with the words the citizen will read."""
        self.page.locator("nav.materials").get_by_role("button", name=material).click()
        self.see("verdict").locator("label").nth(1).click()
        self.see("verdict-text").fill(text)

    def step(self, action: str, *, result: str = "") -> None:
        """Take a step of the case (accept, request_correction, approve, …) and confirm it."""
        self.see(f"do-{action}").click()
        if result:
            self.see("step-result").fill(result)
        self.see("step-confirm").click()
        self.see("done").wait_for()
