"""The first page, `/`: what this is and the way in; outside production also how to try it."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from urllib.parse import quote, urlsplit

from aiohttp import web

from backend.rest.context import PUBLIC_ORIGIN, public_origin
from backend.version import VERSION
from handlers.client_settings import FACTS, ClientFacts
from handlers.page_policy import page_policy
from handlers.qr_codes import draw
from handlers.static_tree import FOREVER

_FILES = Path(__file__).parent / "page_files"
_TYPES = {"first.css": "text/css", "first.js": "text/javascript"}
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

#: Roles as people call them, in the order in which somebody who tries things out meets them.
_ROLES = {
    "clerk": "经办人",
    "lead": "值班负责人",
    "triage": "总台",
    "hall": "综窗人员",
    "supervisor": "督查",
    "editor": "事项管理",
    "admin": "系统管理员",
}
#: How many accounts stand open; the others are folded away.
_CLERKS_SHOWN = 4

Account = dict[str, str]


@dataclass(frozen=True, slots=True)
class FirstPageFacts:
    """What only a server for trying things out shows. `accounts` reads the first accounts' file (it blocks).

    `listens_beyond` says whether other machines reach this server.
    """

    accounts: Callable[[], list[Account]]
    listens_beyond: bool


FIRST_PAGE = web.AppKey("first_page", FirstPageFacts)


def mount(app: web.Application) -> None:
    """Serve `/`, its two files, and the mark that browsers ask for on every page of ours."""
    app.router.add_get("/", _page)
    app.router.add_get("/assets/{name}", _asset)
    app.router.add_get("/favicon.ico", _icon)


@cache
def _assets() -> dict[str, tuple[bytes, str]]:
    """Hashed name → content and type."""
    found = {}
    for name, kind in _TYPES.items():
        content = (_FILES / name).read_bytes()
        stem, suffix = name.split(".")
        found[f"{stem}-{hashlib.sha256(content).hexdigest()[:10]}.{suffix}"] = (content, kind)
    return found


def _address(suffix: str) -> str:
    return next(f"/assets/{name}" for name in _assets() if name.endswith(suffix))


def style_address() -> str:
    """Where the style sheet of our plain pages is."""
    return _address(".css")


async def _asset(request: web.Request) -> web.Response:
    found = _assets().get(request.match_info["name"])
    if found is None:
        raise web.HTTPNotFound
    return web.Response(body=found[0], content_type=found[1], charset="utf-8", headers={"Cache-Control": FOREVER})


async def _icon(_: web.Request) -> web.FileResponse:
    headers = {"Content-Type": "image/svg+xml", "Cache-Control": "public, max-age=86400"}
    return web.FileResponse(_FILES / "icon.svg", headers=headers)


async def _page(request: web.Request) -> web.Response:
    facts = request.config_dict[FACTS]
    origin = public_origin(request)
    parts = [_head(facts)]
    if facts.mode == "production":
        parts.append(_faces(""))
    else:
        first = request.config_dict[FIRST_PAGE]
        at_the_machine = _at_the_machine(request)
        rows = await asyncio.to_thread(first.accounts) if at_the_machine else []
        phone_origin, reachable = _phone_origin(request, origin, first)
        parts += [
            _faces(_qr_figure(phone_origin, reachable=reachable)),
            _steps(facts, origin, at_the_machine=at_the_machine),
            _accounts(rows, at_the_machine=at_the_machine),
            _tools(),
        ]
    parts.append(f'<footer>办事 Banshi {escape(VERSION)}</footer></main><script src="{_address(".js")}"></script>')
    return web.Response(
        text="".join([*parts, "</body></html>\n"]),
        content_type="text/html",
        # it may show passwords, and says what is true at this moment
        headers={"Content-Security-Policy": page_policy(origin), "Cache-Control": "no-store"},
    )


def _at_the_machine(request: web.Request) -> bool:
    """Whether the reader sits at this machine: passwords are shown to nobody else.

    A proxy's headers, or a foreign name that was made to point here, mean that somebody else may be reading.
    """
    try:
        local = ipaddress.ip_address(request.remote or "").is_loopback
    except ValueError:
        return False
    named = urlsplit(f"//{request.host}").hostname in _LOOPBACK_NAMES
    return local and named and not {"X-Forwarded-For", "Forwarded", "X-Real-IP"} & set(request.headers)


def _phone_origin(request: web.Request, origin: str, first: FirstPageFacts) -> tuple[str, bool]:
    """Where a phone in the same network finds us, and whether it can."""
    parts = urlsplit(origin)
    if request.config_dict.get(PUBLIC_ORIGIN) or parts.hostname not in _LOOPBACK_NAMES:
        return origin, True
    address = _lan_address() if first.listens_beyond else None
    return (f"{parts.scheme}://{address}:{parts.port or 80}", True) if address else (origin, False)


def _lan_address() -> str | None:
    """This machine's address towards the outside; nothing is sent to find it out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # of the range for documentation (RFC 5737)
        except OSError:
            return None
        return str(probe.getsockname()[0])


# --- the parts of the page ------------------------------------------------------------------


def _head(facts: ClientFacts) -> str:
    where = f"{facts.district_name} · " if facts.district_name else ""
    trying = "" if facts.mode == "production" else '<p class="badge">试用环境 <span lang="en">for trying out</span></p>'
    return f"""<!doctype html>
<html lang="zh-CN"><head><meta charset="utf-8"><title>{escape(where)}办事</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light">
<link rel="stylesheet" href="{style_address()}"></head>
<body><main class="first">
<header>{trying}
<p class="where">{escape(where)}政务服务</p>
<h1>办事</h1>
<p class="lead">看懂要带什么，拍照交材料，随时问经办人。</p>
<p class="lead-en" lang="en">Banshi: guides in plain words, papers by photograph, and the clerk in charge one message
away.</p></header>
"""


def _faces(phone_extra: str) -> str:
    return f"""<section class="faces" aria-label="两个入口">
<div class="face phone"><div class="words"><h2>群众 · 手机端 <span lang="en">Citizens</span></h2>
<p>查事项、问经办人、交材料、看进度。</p>
<p class="go"><a class="button" href="/m/">打开手机端</a></p></div>{phone_extra}</div>
<div class="face desk"><div class="words"><h2>经办人 · 工作台 <span lang="en">Clerks</span></h2>
<p>答咨询、审材料、办件，一个窗口里完成。可以装到桌面上，断网了会自己接上。</p>
<p class="go"><a class="button" href="/desk/">打开工作台</a></p></div></div>
</section>
"""


def _qr_figure(origin: str, *, reachable: bool) -> str:
    address = f"{origin}/m/"
    picture = draw(address).decode().split("?>", 1)[1]
    note = "真手机扫一扫" if reachable else "本机地址"
    hint = "手机要和这台电脑在同一个网络里。" if reachable else "想用真手机打开，请以 BANSHI_HOST=0.0.0.0 启动。"
    return f"""<figure><div class="qr" role="img" aria-label="手机端的二维码，{escape(address)}">{picture}</div>
<figcaption>{note}</figcaption></figure><p class="about-qr">{hint} <code>{escape(address)}</code></p>"""


def _steps(facts: ClientFacts, origin: str, *, at_the_machine: bool) -> str:
    if facts.standin_url is None:
        phone = "在左边的窗口打开<a href='/m/'>手机端</a>，用微信登录。"
    elif at_the_machine:
        fake = f"{facts.standin_url}/phone?return={quote(f'{origin}/m/', safe='')}"
        phone = (
            f"打开<a href='/m/'>手机端</a>，登录时会出现<a href='{escape(fake)}'>假手机</a>（代替微信），"
            "挑一位群众就行。"
        )
    else:
        phone = "打开<a href='/m/'>手机端</a>。代替微信的假手机只在运行服务的那台电脑上能用。"
    return f"""<section><h2>两个窗口，试一遍 <span lang="en">Try it: two windows side by side</span></h2>
<ol class="steps">
<li><b>左边当群众</b><p>{phone}</p><p lang="en">Log in as a citizen through the fake phone.</p></li>
<li><b>右边当经办人</b><p>另开一个窗口打开<a href="/desk/">工作台</a>，用下面第一个账号登录，设为在线。</p>
<p lang="en">Open the desk as a clerk and go on duty.</p></li>
<li><b>问一句，办一件</b><p>在手机上搜“办居住证”，问一个问题，再拍照提交；工作台上马上能看到。</p>
<p lang="en">Ask, photograph, submit: the desk follows live.</p></li>
</ol></section>
"""


def _accounts(rows: list[Account], *, at_the_machine: bool) -> str:
    title = '<h2>登录工作台的账号 <span lang="en">Accounts for the desk</span></h2>'
    if not at_the_machine:
        return f"""<section>{title}<p>账号和密码只在运行服务的那台电脑上显示，也可以看那里的
<code>first-accounts.txt</code>。</p></section>"""
    if not rows:
        return f"<section>{title}<p>没有找到首次启动时生成的账号；请用管理员给您的账号登录。</p></section>"
    shown, folded = _chosen(rows)
    more = ""
    if folded:
        more = f"""<details><summary>其余 {len(folded)} 个账号 <span lang="en">the others</span></summary>
<ul class="accounts">{"".join(map(_account, folded))}</ul></details>"""
    return f"""<section>{title}
<p class="hint">首次启动时生成的账号和密码；改过密码的以新密码为准。</p>
<ul class="accounts">{"".join(map(_account, shown))}</ul>{more}</section>
"""


def _chosen(rows: list[Account]) -> tuple[list[Account], list[Account]]:
    """Clerks of different departments first, then one of every other role; and all the others."""
    shown: list[Account] = []
    departments: set[str] = set()
    for row in rows:
        fresh = row.get("department", "") not in departments
        if row.get("roles") == "clerk" and fresh and len(shown) < _CLERKS_SHOWN:
            shown.append(row)
            departments.add(row.get("department", ""))
    for role in list(_ROLES)[1:]:
        found = [row for row in rows if role in row.get("roles", "").split(",") and row not in shown]
        shown += found[:1]
    return shown, [row for row in rows if row not in shown]


def _account(row: Account) -> str:
    roles = "、".join(_ROLES.get(role, role) for role in row.get("roles", "").split(",") if role)
    about = " · ".join(escape(part) for part in (roles, row.get("department", "")) if part)
    return f"""<li><p class="who"><b>{escape(row.get("name", ""))}</b><span>{about}</span></p>
<p class="entry"><span>账号</span>{_copied(row.get("username", ""))}</p>
<p class="entry"><span>密码</span>{_copied(row.get("password", ""))}</p></li>"""


def _copied(text: str) -> str:
    return f'<code>{escape(text)}</code><button type="button" data-copy="{escape(text)}" hidden>复制</button>'


def _tools() -> str:
    return """<section><h2>给开发者 <span lang="en">For developers</span></h2>
<ul class="tools">
<li><a href="/api/docs/">接口文档</a> <span lang="en">API docs</span></li>
<li><a href="/api/openapi.json">OpenAPI</a></li>
<li><a href="/readyz">运行状况</a> <span lang="en">health</span></li>
<li><a href="/metrics">运行指标</a> <span lang="en">metrics</span></li>
</ul></section>
"""
