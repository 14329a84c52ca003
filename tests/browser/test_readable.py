"""For everybody: no serious finding of axe on any page; large text on every page of the phone with nothing cut off."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from playwright.sync_api import expect

from backend.commands.browser.phone_pages import declared, live_through, show
from backend.commands.browser.window import Window
from config.first_accounts import ADMIN
from tests.browser.conftest import OpenDesk, OpenPhone
from tests.browser.system import ROOT, System

#: What reaches out of the window, and words of which a part is hidden.
_CUT_OFF = """() => {
  const found = []
  const wide = document.documentElement.scrollWidth
  if (wide > innerWidth + 1) found.push(`the page is ${wide} wide in a window of ${innerWidth}`)
  for (const element of document.querySelectorAll('body *')) {
    const words = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())
    if (!words || element.closest('.sr-only') || !element.checkVisibility({ visibilityProperty: true })) continue
    const box = element.getBoundingClientRect()
    const style = getComputedStyle(element)
    const name = `${element.tagName.toLowerCase()}.${element.className}: ${element.textContent.trim().slice(0, 40)}`
    if (box.right > innerWidth + 1 || box.left < -1) found.push(`out of the window: ${name}`)
    const hides = style.overflowX !== 'visible' && style.overflowX !== 'auto' && style.overflowX !== 'scroll'
    if (hides && element.scrollWidth > element.clientWidth + 1) found.push(`cut off: ${name}`)
    const excerpt = style.webkitLineClamp !== 'none'  // ends in "…" and leads to the whole
    const clips = !excerpt && (style.overflowY === 'hidden' || style.overflowY === 'clip')
    if (clips && element.scrollHeight > element.clientHeight + 4) found.push(`cut off below: ${name}`)
  }
  return found
}"""


@cache
def axe() -> str:
    file = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
    return file.read_text(encoding="utf-8")


def findings(window: Window) -> list[str]:
    """Serious and critical findings on the page as it stands. Injected past the content policy, by the debugger."""
    window.quiet()
    if not window.page.evaluate("'axe' in window"):
        window.page.evaluate(axe())
    result: dict[str, Any] = window.page.evaluate(
        "axe.run(document, { resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'] })"
    )
    return [
        f"{window.page.url}: {found['id']} ({found['impact']}): {node['html'][:160]} {node['failureSummary'][:200]}"
        for found in result["violations"]
        if found["impact"] in ("serious", "critical")
        for node in found["nodes"]
    ]


def test_every_page_of_the_phone(phone: OpenPhone, system: System) -> None:
    citizen = phone("李桂芳")
    story = live_through(citizen, system)
    assert sorted(story.pages()) == sorted(declared()), "a page is not looked at"
    found = []
    for page, query in story.pages().items():
        show(citizen, page, query)
        found += findings(citizen)
    citizen.home()
    citizen.see("text-size").click()
    expect(citizen.page.locator("html")).to_have_class("large-text")
    for page, query in story.pages().items():
        show(citizen, page, query)
        found += [f"{page}, large text: {cut}" for cut in citizen.page.evaluate(_CUT_OFF)]
        found += findings(citizen)
    assert not found, "\n".join(found)


def test_pages_of_nobody(phone: OpenPhone, desk: OpenDesk, system: System) -> None:
    visitor = phone()
    found = []
    visitor.open("/")
    visitor.page.locator("h1").wait_for()
    found += findings(visitor)
    for page in ("cases/cases", "consultations/consultations", "me/me", "notices/notices", "consult/consult"):
        visitor.go(page)
        if visitor.page.url.startswith(system.url):
            visitor.page.locator("h1").first.wait_for()
        found += findings(visitor)
    visitor.open(f"{system.standin_url}/phone")
    visitor.page.locator("button.person").first.wait_for()
    found += findings(visitor)
    visitor.become("赵建国", 66)
    for tab in ("me", "scan", "inbox"):
        visitor.page.locator(f"[data-tab={tab}]").click()
        visitor.page.locator("#tabs [aria-current]").wait_for()
        found += findings(visitor)
    clerk = desk()
    clerk.open("/")
    clerk.page.locator("h1").wait_for()
    found += findings(clerk)
    clerk.open("/desk/login")
    clerk.see("username").wait_for()
    found += findings(clerk)
    assert not found, "\n".join(found)


#: Who sees which part of the desk.
STAFF = (ADMIN, "linminyi", "dengxuewen", "zhoukexin", "penghuiru")


@pytest.mark.parametrize("username", STAFF)
def test_every_section_of_the_desk(desk: OpenDesk, username: str) -> None:
    person = desk(username)
    found = []
    sections = person.page.locator('nav [data-testid^="nav-"]')
    for section in [one.get_attribute("data-testid") or "" for one in sections.all()]:
        person.see(section).click()
        expect(person.see(section)).to_have_attribute("aria-current", "page")
        found += findings(person)
    assert not found, "\n".join(found)
