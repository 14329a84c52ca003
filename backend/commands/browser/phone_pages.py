"""Every page of the phone, and how to get there with something to see on it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from backend.commands.browser.fresh_system import FreshSystem
from backend.commands.browser.phone import Phone
from backend.commands.build_web import WEB
from backend.commands.tour.photos import photograph

MATTER = "失业保险金申领"


def declared() -> list[str]:
    """The pages that the phone's own list names, without the leading `pages/`."""
    text = (WEB / "citizen" / "src" / "pages.json").read_text(encoding="utf-8")
    return re.findall(r'"path": "pages/([a-z/-]+)"', text)


@dataclass
class Story:
    """What one citizen has begun: so that no page is empty."""

    matter: str
    announcement: str
    conv: str
    draft: str
    case: str

    def pages(self) -> dict[str, str]:
        """Page → its query."""
        return {
            "home/home": "",
            "consultations/consultations": "",
            "cases/cases": "",
            "me/me": "",
            "browse/browse": "",
            "search/search": "q=居住证",
            "guide/guide": f"id={self.matter}",
            "announcements/announcements": "",
            "announcement/announcement": f"id={self.announcement}",
            "notices/notices": "",
            "sessions/sessions": "",
            "login/login": "",
            "consult/consult": f"id={self.conv}",
            "apply/apply": f"case={self.draft}",
            "case/case": f"id={self.case}",
        }


def file_case(citizen: Phone, words: str, matter: str) -> str:
    """From search to the page of a submitted case; its id."""
    citizen.find(words, matter)
    citizen.see("apply").click()
    citizen.fill_in("李桂芳")
    citizen.next()
    for number, slot in enumerate(citizen.slots(), 1):
        citizen.photograph(slot, [photograph(f"material {number}")])
        citizen.uploaded(slot, 1)
    citizen.next()
    citizen.submit()
    return citizen.follow()


def live_through(citizen: Phone, system: FreshSystem) -> Story:
    """Ask, begin an application, submit another one."""
    citizen.find("失业金", MATTER)
    matter = citizen.page.url.rpartition("id=")[2]
    conv = citizen.ask("公司倒闭了，能领失业金吗？")
    citizen.find("失业金", MATTER)
    citizen.see("apply").click()
    citizen.fill_in("李桂芳")
    citizen.page.wait_for_url("**/apply/apply?case=*")
    draft = citizen.page.url.rpartition("case=")[2]
    case = file_case(citizen, "社保卡", "社会保障卡申领与补换")
    announcement = system.ask("GET", "/api/announcements")["items"][0]["id"]
    return Story(matter=matter, announcement=announcement, conv=conv, draft=draft, case=case)


def show(citizen: Phone, page: str, query: str) -> None:
    """Open a page and wait until it shows what it has."""
    if page == "home/home":
        citizen.home()  # afresh: the tab keeps what was typed into the search
    else:
        citizen.go(f"{page}?{query}" if query else page)
    citizen.page.locator("h1").first.wait_for()
    citizen.quiet()
