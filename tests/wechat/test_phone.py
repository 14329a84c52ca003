"""The fake phone's page, its files and its scanner."""

from __future__ import annotations

import io
import re

import aiohttp
import pytest
import segno
from aiohttp import web
from PIL import Image
from yarl import URL

from backend.wechat_standin import create_standin_app
from tests.wechat.conftest import StandinServer

ADDRESS = "http://127.0.0.1:8080/m/#/pages/guide/guide?id=0191d2a6-0000-7000-8000-000000000001"


def picture(text: str = ADDRESS, kind: str = "png", **options: object) -> bytes:
    drawn = io.BytesIO()
    segno.make(text).save(drawn, kind="png", scale=6, **options)
    if kind == "png":
        return drawn.getvalue()
    written = io.BytesIO()
    Image.open(drawn).convert("RGB").rotate(17, expand=True, fillcolor="white").save(written, kind)
    return written.getvalue()


async def scan(standin: StandinServer, body: bytes) -> tuple[int, dict[str, list[str]]]:
    async with standin.http.post(f"{standin.url}/standin/scan", data=body) as response:
        return response.status, await response.json()


async def test_the_page_and_all_it_loads_are_served(standin: StandinServer) -> None:
    async with standin.http.get(f"{standin.url}/phone", params={"return": "http://x.example/"}) as response:
        assert response.status == 200
        assert response.content_type == "text/html"
        page, policy = await response.text(), response.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "script-src 'self'" in policy
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script>", page)
    files = set(re.findall(r'(?:href|src)="(/phone/[\w.]+)"', page))
    async with standin.http.get(f"{standin.url}/phone/phone.js") as response:
        files |= {f"/phone/{name}" for name in re.findall(r"from '\./([\w.]+)'", await response.text())}
    assert len(files) == 4
    for file in files:
        async with standin.http.get(standin.url + file) as response:
            assert response.status == 200, file
            assert response.content_type in ("text/css", "text/javascript")
    for other in ("phone.html", "..%2fapp.py", "nothing.js"):
        async with standin.http.get(URL(f"{standin.url}/phone/{other}", encoded=True)) as response:
            assert response.status == 404


@pytest.mark.parametrize(
    "body",
    [
        picture(),
        picture(kind="jpeg"),
        picture(kind="webp"),
        picture(light=None),
        picture(dark="white", light="black"),
    ],
    ids=["plain", "turned jpeg", "turned webp", "transparent", "inverted"],
)
async def test_a_code_in_a_picture_is_read(standin: StandinServer, body: bytes) -> None:
    assert await scan(standin, body) == (200, {"texts": [ADDRESS]})


async def test_a_picture_without_a_code_says_so(standin: StandinServer) -> None:
    blank = io.BytesIO()
    Image.new("RGB", (200, 200), "white").save(blank, "png")
    assert await scan(standin, blank.getvalue()) == (200, {"texts": []})


@pytest.mark.parametrize("body", [b"", b"no picture", picture()[:60]], ids=["nothing", "text", "half"])
async def test_what_is_no_picture_is_refused(standin: StandinServer, body: bytes) -> None:
    status, answer = await scan(standin, body)
    assert status == 400
    assert "error" in answer


async def test_a_picture_of_too_many_pixels_is_not_decoded(standin: StandinServer) -> None:
    huge = io.BytesIO()
    Image.new("1", (9000, 9000)).save(huge, "png")
    status, _ = await scan(standin, huge.getvalue())
    assert status == 400


async def test_it_says_where_the_mini_program_is() -> None:
    runner = web.AppRunner(create_standin_app(app_url="http://127.0.0.1:8080/m/"))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/standin/") as response:
        assert (await response.json())["app_url"] == "http://127.0.0.1:8080/m/"
    await runner.cleanup()
