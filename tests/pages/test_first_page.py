"""The first page: helpful for who tries things out, silent in production."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from config.settings import Settings
from tests.pages.reading import read_qr

ROWS = """# comment
admin\tadmin-password\t系统管理员\tadmin\t
lead1\tstaff-password\t陈<文>博\tlead\t公安分局
clerk1\tstaff-password\t林敏仪\tclerk\t公安分局
clerk2\tstaff-password\t黄振宇\tclerk\t公安分局
clerk3\tstaff-password\t刘承志\tclerk\t民政局
"""


@pytest.fixture(autouse=True)
def accounts(settings: Settings) -> Path:
    settings.var.mkdir(parents=True, exist_ok=True)
    file = settings.var / "first-accounts.txt"
    file.write_text(ROWS)
    return file


@pytest.fixture
async def page(http: aiohttp.ClientSession) -> AsyncIterator[str]:
    async with http.get("/") as response:
        assert response.status == 200
        assert response.headers["Cache-Control"] == "no-store"
        yield await response.text()


def test_it_leads_everywhere(page: str, settings: Settings, server: TestServer) -> None:
    origin = f"{server.host}%3A{server.port}"
    for link in (
        "/desk/",
        "/m/",
        "/api/docs/",
        "/readyz",
        f"{settings.wechat_base_url}/phone?return=http%3A%2F%2F{origin}",
    ):
        assert link in page
    assert "榕江区" in page


def test_it_says_as_whom_to_log_in_clerks_first_admin_last(page: str) -> None:
    shown, folded = page.split("<details>")
    order = [name for name in re.findall(r'data-copy="([\w-]+)"', shown) if not name.endswith("-password")]
    assert order == ["clerk1", "clerk3", "lead1", "admin"]
    assert "clerk2" in folded
    assert 'data-copy="admin-password"' in shown
    assert "陈&lt;文&gt;博" in shown


def test_nothing_is_inline(page: str) -> None:
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script>|javascript:", page)


async def test_its_files_carry_hashes(page: str, http: aiohttp.ClientSession) -> None:
    files = re.findall(r'(?:href|src)="(/assets/first-[0-9a-f]{10}\.(?:css|js))"', page)
    assert len(files) == 2
    for file in files:
        async with http.get(file) as response:
            assert response.status == 200
            assert "immutable" in response.headers["Cache-Control"]
    async with http.get("/assets/first-0000000000.css") as response:
        assert response.status == 404


@pytest.mark.parametrize(
    "headers", [{"X-Forwarded-For": "127.0.0.1"}, {"Host": "rebound.example"}, {"Forwarded": "for=x"}]
)
async def test_passwords_are_for_who_sits_at_the_machine(http: aiohttp.ClientSession, headers: dict[str, str]) -> None:
    async with http.get("/", headers=headers) as response:
        page = await response.text()
    assert response.status == 200
    assert "password" not in page
    assert "clerk1" not in page
    assert "first-accounts.txt" in page


async def test_browsers_find_the_mark_they_ask_for(http: aiohttp.ClientSession) -> None:
    async with http.get("/favicon.ico") as response:
        assert response.status == 200
        assert response.content_type == "image/svg+xml"


async def test_without_accounts_it_still_opens(http: aiohttp.ClientSession, accounts: Path) -> None:
    accounts.unlink()
    async with http.get("/") as response:
        assert response.status == 200
        assert "没有找到" in await response.text()


async def test_in_production_it_leads_to_the_two_faces_and_no_further(
    production: aiohttp.ClientSession, settings: Settings
) -> None:
    async with production.get("/") as response:
        assert response.status == 200
        page = await response.text()
    assert set(re.findall(r'href="([^"]+)"', page)) - {"/desk/", "/m/"} == set(re.findall(r"/assets/[\w.-]+css", page))
    for leak in (
        "password",
        "clerk1",
        "admin",
        "docs",
        "phone?",
        "var",
        str(settings.wechat_base_url),
        "first-accounts",
    ):
        assert leak not in page
    assert "榕江区" in page


async def test_the_qr_code_opens_the_phone(page: str, server: TestServer) -> None:
    svg = page[page.index("<svg") : page.index("</svg>")].encode()
    assert read_qr(svg) == f"http://{server.host}:{server.port}/m/"
