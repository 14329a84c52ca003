"""`run.py tour`: plays the main job against the running system, through public interfaces only.

Every step checks what it sees. Exit code 0 means that everything that was checked held.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import uuid
from pathlib import Path
from typing import Any

import aiohttp

from backend.commands.environment import read_connected_settings
from backend.commands.errors import CommandError
from backend.commands.running import RunInfo
from backend.commands.terminal import say
from backend.commands.tour import people
from backend.commands.tour.browser import play as play_in_browser
from backend.commands.tour.filing import decide_case, file_case
from backend.commands.tour.people import Person
from backend.commands.tour.report import Report, TourFailed, check
from backend.commands.tour.talking import consult
from config.first_accounts import ACCOUNTS_FILE, ADMIN, read_accounts
from config.settings import Settings

#: What the tour does on the sample district: its everyday name, and how it is typed in pinyin.
_SAMPLE = ("办居住证", "juzhuzheng")
#: Matters with more required materials make a long tour of the same step.
_MOST_MATERIALS = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="以 JSON 输出 / print JSON")
    parser.add_argument(
        "--catalogue",
        action="store_true",
        help="用导入的事项清单里的事项 / play on a matter of an imported catalogue",
    )
    parser.add_argument(
        "--browser",
        action="store_true",
        help="在两个真实的浏览器窗口里走一遍 / play it in two real browser windows (needs Chromium)",
    )
    parser.add_argument(
        "--pictures",
        type=Path,
        metavar="FOLDER",
        help="图片放到哪里 / where the pictures of --browser go (var/tour)",
    )
    parser.add_argument("--matter", metavar="CODE", help="指定事项编码 / play on the matter with this code")


def run(options: argparse.Namespace) -> int:
    """Play the tour; 0 when all of it held, 1 otherwise."""
    settings, info = read_connected_settings(need_running=True)
    assert info is not None
    if info.wechat_standin_url is None or settings.mode == "production":
        raise CommandError("the tour logs in through the WeChat stand-in, which does not run here")
    accounts = {row["username"]: row for row in read_accounts(settings.var / ACCOUNTS_FILE)}
    if ADMIN not in accounts:
        raise CommandError(f"{settings.var / ACCOUNTS_FILE} is missing: the tour logs in with the first accounts")
    report = Report(quiet=options.json)
    try:
        if options.browser:
            play_in_browser(info, accounts, report, options.pictures or settings.var / "tour", ahead=_ahead(settings))
        else:
            asyncio.run(_Tour(info, accounts, report).play(options.matter, catalogue=options.catalogue))
    except TourFailed as error:
        report.failure = str(error)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        report.failure = f"{type(error).__name__}: {error}"
    result = report.as_json()
    if options.json:
        say(json.dumps(result, ensure_ascii=False, indent=2))
    else:
        passed = sum(step.ok for step in report.steps)
        say("")
        if report.failure:
            say(f"失败 / failed: {report.failure}")
        say(f"{passed}/{len(report.steps)} 步通过 / steps passed, {result['total_ms']:.0f} ms")
    return 0 if result["ok"] else 1


def _ahead(settings: Settings) -> float:
    """Seconds by which the system's clock was set ahead; its windows' clocks go with it."""
    try:
        return float(settings.clock_file.read_text()) if settings.clock_file else 0.0
    except (OSError, ValueError):
        return 0.0


class _Tour:
    def __init__(self, info: RunInfo, accounts: dict[str, dict[str, str]], report: Report) -> None:
        self._info = info
        self._accounts = accounts
        self._report = report

    async def play(self, code: str | None, *, catalogue: bool) -> None:
        """All of it, in the order in which a citizen lives it."""
        info, report = self._info, self._report
        timeout = aiohttp.ClientTimeout(total=60)
        async with aiohttp.ClientSession(info.url, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as http:
            nobody = Person(http, "访客")
            async with report.step("系统在运行") as step:
                ready = await nobody.get("/readyz")
                check(ready["status"] == "ready", f"not ready: {ready}")
                step.saw(info.url)
            async with report.step("市民用微信登录，两个人各用各的手机") as step:
                mark = uuid.uuid4().hex[:8]
                citizen = await people.citizen(http, info.wechat_standin_url or "", "陈秀英", f"tour-{mark}-a")
                stranger = await people.citizen(http, info.wechat_standin_url or "", "路人", f"tour-{mark}-b")
                me = await citizen.get("/api/citizen/me")
                check(me["id"] == citizen.id, "the token is somebody else's")
            matter = await self._find(nobody, code, catalogue=catalogue)
            clerk = await self._clerk_of(http, matter)
            await consult(report, info.url, citizen, clerk, stranger, matter)
            case = await file_case(report, citizen, stranger, matter)
            await decide_case(report, citizen, clerk, case, instant=matter["guide"]["project_type"] == "instant")
            async with report.step("在所有设备上退出登录"):
                await citizen.post("/api/sessions/logout-everywhere")
                await citizen.get("/api/citizen/me", expect=401)

    # --- the matter --------------------------------------------------------------------------

    async def _find(self, nobody: Person, code: str | None, *, catalogue: bool) -> dict[str, Any]:
        """The matter of the tour, found as a citizen finds it."""
        if code is not None:
            async with self._report.step("按编码打开办事指南"):
                return await self._guide(nobody, f"/api/matters/by-code/{code}")
        if catalogue:
            return await self._find_imported(nobody)
        async with self._report.step("搜索办事指南：说俗称、打拼音都行") as step:
            hits = []
            for words in _SAMPLE:
                found = await nobody.get("/api/matters/search", params={"q": words, "limit": "5"})
                check(found["items"], f"nothing was found for {words}")
                hits.append(found["items"][0]["matter"])
                step.saw(f"“{words}” → {hits[-1]['name']}（{hits[-1]['department_name']}）")
            check(hits[0]["id"] == hits[1]["id"], "the everyday name and its pinyin lead to different matters")
        async with self._report.step("打开办事指南") as step:
            matter = await self._guide(nobody, f"/api/matters/{hits[0]['id']}")
            guide = matter["guide"]
            step.saw(f"{len(guide['materials'])} 份材料，{len(guide['steps'])} 步，跑 {guide['visits']} 次")
            return matter

    async def _find_imported(self, nobody: Person) -> dict[str, Any]:
        """The first matter of an imported catalogue that can be filed, then found again by its name."""
        sample = {row["department"] for row in self._accounts.values()}
        async with self._report.step("在导入的清单里找一个能在网上办的事项") as step:
            cursor: str | None = None
            while True:
                params = {"limit": "100", **({"cursor": cursor} if cursor else {})}
                page = await nobody.get("/api/matters", params=params)
                for entry in page["items"]:
                    if (
                        entry["online"]
                        and entry["project_type"] != "information"
                        and entry["department_name"] not in sample
                        and entry["promised_limit"]
                    ):
                        matter = await self._guide(nobody, f"/api/matters/{entry['id']}")
                        if 1 <= len(matter["guide"]["materials"]) <= _MOST_MATERIALS:
                            found = await nobody.get("/api/matters/search", params={"q": entry["name"], "limit": "10"})
                            check(
                                entry["id"] in {hit["matter"]["id"] for hit in found["items"]},
                                f"searching for {entry['name']} does not find it",
                            )
                            step.saw(f"{entry['name']}（{entry['department_name']}），全库搜索命中")
                            return matter
                cursor = page["next_cursor"]
                if cursor is None:
                    raise TourFailed("no imported matter can be filed: run `run.py import-matters` first")

    async def _guide(self, nobody: Person, path: str) -> dict[str, Any]:
        """A full guide; asking again with its ETag is answered with 304."""
        async with nobody.http.get(path) as response:
            check(response.status == 200, f"{path} answered {response.status}")
            etag, matter = response.headers["ETag"], await response.json()
        async with nobody.http.get(path, headers={"If-None-Match": etag}) as response:
            check(response.status == 304, "a guide that did not change was sent again")
        return dict(matter)

    # --- the clerk ---------------------------------------------------------------------------

    async def _clerk_of(self, http: aiohttp.ClientSession, matter: dict[str, Any]) -> Person:
        """The A holder of the post responsible, logged in; an unstaffed post is given a holder first."""
        async with self._report.step("找到负责的岗位和经办人，经办人登录") as step:
            admin = await people.staff(http, ADMIN, self._accounts[ADMIN]["password"])
            post = await self._post_of(admin, matter)
            if post["holders"]:
                holder = min(post["holders"], key=lambda holder: holder["rank"])
                person = await admin.get(f"/api/staff/{holder['staff_id']}")
                known = self._accounts.get(person["username"])
                if known is None:
                    raise TourFailed(f"the password of {person['username']} is not in {ACCOUNTS_FILE}")
                clerk = await people.staff(http, known["username"], known["password"])
            else:
                clerk = await self._appoint(http, admin, matter, post)
                step.saw("岗位原来没有人，系统管理员刚安排了一位")
            step.saw(f"{matter['department_name']} · {post['name']} · {clerk.name}")
            return clerk

    async def _post_of(self, admin: Person, matter: dict[str, Any]) -> dict[str, Any]:
        """The post of the rule that names the matter, else of the one that covers its department."""
        for params in ({"matter_id": matter["id"]}, {"department_id": matter["department_id"]}):
            rules = (await admin.get("/api/organisation/responsibilities", params={**params, "limit": "100"}))["items"]
            general = [rule for rule in rules if not rule["area_code"] and not rule["reception_mode"]]
            for rule in general:
                if rule["matter_id"] in (None, matter["id"]):
                    return dict(await admin.get(f"/api/organisation/posts/{rule['post_id']}"))
        raise TourFailed("no post answers for this matter")

    async def _appoint(
        self, http: aiohttp.ClientSession, admin: Person, matter: dict[str, Any], post: dict[str, Any]
    ) -> Person:
        username = f"tour-{uuid.uuid4().hex[:8]}"
        made = await admin.post(
            "/api/staff",
            {
                "username": username,
                "name": "周小敏",
                "roles": ["clerk"],
                "department_id": matter["department_id"],
            },
        )
        await admin.call(
            "PATCH",
            f"/api/organisation/posts/{post['id']}",
            {"holders": [{"staff_id": made["staff"]["id"], "rank": 1}], "version": post["version"]},
        )
        return await people.staff(http, username, made["password"])
