"""The built clients as a browser gets them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from tests.pages.conftest import COMPRESSED, SCRIPT

MAIN = "/desk/assets/main-1a2b3c4d.js"


async def raw(server: TestServer, path: str) -> tuple[int, bytes]:
    """Ask for exactly `path`: no client tidies it up on the way."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    await writer.drain()
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return int(answer.split()[1]), answer


@pytest.mark.parametrize("path", ["/desk/", "/desk/login", "/desk/consultations/0191d2a6-0000-7000-8000-000000000001"])
async def test_every_address_of_the_desk_answers_its_page(http: aiohttp.ClientSession, path: str) -> None:
    async with http.get(path) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert response.headers["Cache-Control"] == "no-cache"
        assert "<title>desk</title>" in await response.text()
        etag = response.headers["ETag"]
    async with http.get(path, headers={"If-None-Match": etag}) as response:
        assert response.status == 304
        assert response.headers["Cache-Control"] == "no-cache"


async def test_the_phone_has_one_address(http: aiohttp.ClientSession) -> None:
    async with http.get("/m/") as response:
        assert "<title>phone</title>" in await response.text()
    async with http.get("/m/pages/home") as response:
        assert response.status == 404
    async with http.get("/m/static/logo.png") as response:
        assert response.content_type == "image/png"
        assert response.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    ("path", "goal"), [("/desk", "/desk/"), ("/m", "/m/"), ("/desk?a=1&b=%26", "/desk/?a=1&b=%26")]
)
async def test_without_its_slash_it_moves_for_good(http: aiohttp.ClientSession, path: str, goal: str) -> None:
    async with http.get(path, allow_redirects=False) as response:
        assert response.status == 308
        assert response.headers["Location"] == goal


async def test_hashed_names_are_kept_for_ever_and_others_asked_about(http: aiohttp.ClientSession) -> None:
    async with http.get(MAIN) as response:
        assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert response.headers["Content-Type"] == "text/javascript; charset=utf-8"
    async with http.get("/desk/sw.js") as response:
        assert response.headers["Cache-Control"] == "no-cache"
        assert "ETag" in response.headers
    async with http.get("/desk/manifest.webmanifest") as response:
        assert response.headers["Cache-Control"] == "no-cache"
        assert response.content_type == "application/manifest+json"


@pytest.mark.parametrize(
    ("accepts", "encoding", "body"),
    [("gzip", "gzip", COMPRESSED), ("gzip, deflate, br", "br", b"brotli bytes"), ("identity", None, SCRIPT)],
    ids=["gzip", "br", "identity"],
)
async def test_the_compressed_twin_is_sent_to_who_takes_it(
    server: TestServer, accepts: str, encoding: str | None, body: bytes
) -> None:
    async with (
        aiohttp.ClientSession(str(server.make_url("")), auto_decompress=False) as plain,
        plain.get(MAIN, headers={"Accept-Encoding": accepts}) as response,
    ):
        assert response.headers.get("Content-Encoding") == encoding
        assert response.headers["Vary"] == "Accept-Encoding"
        assert response.content_type == "text/javascript"
        assert await response.read() == body


@pytest.mark.parametrize(
    "path",
    [
        "/desk/../secret.txt",
        "/desk/%2e%2e/%2e%2e/secret.txt",
        "/desk/..%2f..%2fsecret.txt",
        "/desk/assets/..%2f..%2f..%2fsecret.txt",
        "/desk/..%5c..%5csecret.txt",
        "/desk//etc/passwd",
        "/desk/%2fetc%2fpasswd",
        "/desk/.hidden",
        "/desk/%2ehidden",
        "/desk/leak.txt",
        "/desk/out/secret.txt",
        "/desk/sw.js%00",
        "/desk/assets/main-1a2b3c4d.js.gz",
        "/desk/assets",
        "/m/assets/",
    ],
)
async def test_nothing_beside_the_build_is_read(server: TestServer, path: str) -> None:
    status, answer = await raw(server, path)
    assert status in (400, 404) or b"<title>desk</title>" in answer
    assert b"secret" not in answer.replace(path.encode(), b"")
    assert b"root:" not in answer


@pytest.mark.parametrize("path", ["/desk/.hidden", "/desk/leak.txt", "/desk/out/secret.txt", "/desk/assets/old-0.js"])
async def test_what_is_not_there_is_not_found(http: aiohttp.ClientSession, path: str) -> None:
    async with http.get(path) as response:
        assert response.status == 404


async def test_head_says_what_get_would(http: aiohttp.ClientSession) -> None:
    async with http.head(MAIN, headers={"Accept-Encoding": "identity"}) as response:
        assert response.status == 200
        assert response.headers["Content-Length"] == str(len(SCRIPT))
        assert await response.read() == b""
    async with http.head("/") as response:
        assert response.status == 200
    async with http.head("/desk/nothing.js") as response:
        assert response.status == 404


@pytest.mark.parametrize("path", ["/desk/", "/m/", "/desk/sw.js", "/"])
async def test_the_policy_lets_nothing_inline_run(http: aiohttp.ClientSession, server: TestServer, path: str) -> None:
    async with http.get(path) as response:
        policy = dict(part.strip().split(" ", 1) for part in response.headers["Content-Security-Policy"].split(";"))
    assert policy["script-src"] == policy["style-src"] == policy["default-src"] == "'self'"
    assert policy["connect-src"] == f"'self' ws://{server.host}:{server.port}"
    assert policy["frame-ancestors"] == "'none'"


async def test_a_strange_host_header_stays_out_of_the_policy(server: TestServer) -> None:
    async with (
        aiohttp.ClientSession(str(server.make_url(""))) as plain,
        plain.get("/desk/", headers={"Host": "x; script-src *"}) as response,
    ):
        assert "*" not in response.headers["Content-Security-Policy"]


async def test_in_production_sockets_go_to_the_public_address(production: aiohttp.ClientSession) -> None:
    async with production.get("/desk/") as response:
        assert "connect-src 'self' wss://banshi.example;" in response.headers["Content-Security-Policy"]


async def test_what_is_not_built_says_how_to_build_it(http: aiohttp.ClientSession, web_folder: Path) -> None:
    (web_folder / "desk" / "dist" / "index.html").unlink()
    async with http.get("/desk/login") as response:
        assert response.status == 503
        page = await response.text()
        assert "make web" in page
        assert "make run" in page
        assert "还没有构建" in page
    (web_folder / "desk" / "dist" / "index.html").write_text("built meanwhile")
    async with http.get("/desk/login") as response:
        assert await response.text() == "built meanwhile"
