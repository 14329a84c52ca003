"""Receiving a photograph over real HTTP: fields, caps, early refusals, and nothing left behind."""

from __future__ import annotations

import asyncio
import hashlib
import io
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from backend.domain.errors import DomainError
from tests.uploads.samples import encoded, scene
from uploads.intake import receive, sweep

ROOT = Path(__file__).parents[2]
GOOD = encoded(scene())
CAP = 1024 * 1024

Client = TestClient[web.Request, web.Application]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    sweep(tmp_path / "tmp")
    return tmp_path / "tmp"


@pytest.fixture
async def client(folder: Path) -> AsyncIterator[Client]:
    """A server that says what it received, or why not."""

    async def upload(request: web.Request) -> web.Response:
        try:
            async with receive(
                request, folder, max_bytes=CAP, fields=frozenset({"upload_id", "position"}), seconds=20
            ) as received:
                body = received.path.read_bytes()
                assert hashlib.sha256(body).hexdigest() == received.content_sha256
                return web.json_response({"fields": received.fields, "size": len(body)})
        except DomainError as error:
            return web.json_response({"code": error.code, "field": error.field}, status=400)

    app = web.Application(client_max_size=1024)
    app.router.add_post("/", upload)
    async with TestClient(TestServer(app)) as running:
        yield running


def form(*parts: tuple[str, Any]) -> aiohttp.FormData:
    data = aiohttp.FormData(default_to_multipart=True)
    for name, value in parts:
        if isinstance(value, bytes):
            data.add_field(name, io.BytesIO(value), filename="申请表.pdf", content_type="application/pdf")
        else:
            data.add_field(name, value)
    return data


async def answer(client: Client, data: Any, **options: Any) -> dict[str, Any]:
    async with client.post("/", data=data, **options) as response:
        found: dict[str, Any] = await response.json()
        return found


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("order", [("file", "upload_id", "position"), ("position", "upload_id", "file")])
async def test_a_file_and_its_fields_in_any_order(client: Client, folder: Path, order: tuple[str, ...]) -> None:
    values: dict[str, Any] = {"file": GOOD, "upload_id": "one", "position": "3"}

    found = await answer(client, form(*((name, values[name]) for name in order)))

    assert found == {"fields": {"upload_id": "one", "position": "3"}, "size": len(GOOD)}
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("parts", "refusal"),
    [
        ([("upload_id", "one")], {"code": "invalid-input", "field": "file"}),
        ([("file", GOOD), ("file", GOOD)], {"code": "invalid-input", "field": "file"}),
        ([("file", GOOD), ("upload_id", "a"), ("upload_id", "b")], {"code": "invalid-input", "field": "upload_id"}),
        ([("file", GOOD), ("other", "a")], {"code": "invalid-input", "field": "other"}),
        ([("file", GOOD), ("upload_id", "x" * 5000)], {"code": "invalid-input", "field": "upload_id"}),
        ([("file", b"%PDF-1.7 ...")], {"code": "not-a-photo", "field": None}),
        ([("file", b"")], {"code": "damaged-photo", "field": None}),
        ([("file", GOOD + bytes(CAP))], {"code": "photo-too-large", "field": None}),
    ],
)
async def test_what_is_not_one_photo_and_its_fields_is_refused(
    client: Client, folder: Path, parts: list[tuple[str, Any]], refusal: dict[str, Any]
) -> None:
    assert await answer(client, form(*parts)) == refusal
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("body", "content_type", "code"),
    [
        (GOOD, "image/jpeg", "unsupported-media"),
        (b"{}", "application/json", "unsupported-media"),
        (b"", "multipart/form-data", "malformed-request"),
        (b"", "multipart/form-data; boundary=x", "malformed-request"),
        (b"nothing", "multipart/form-data; boundary=x", "malformed-request"),
        (b"--x\r\n\r\nno name\r\n--x--\r\n", "multipart/form-data; boundary=x", "malformed-request"),
        (
            b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + GOOD,  # no boundary at the end
            "multipart/form-data; boundary=x",
            "malformed-request",
        ),
        (
            b'--x\r\nContent-Disposition: form-data; name="upload_id"\r\n\r\n\xff\xfe\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
            "malformed-request",
        ),
        (
            b'--x\r\nContent-Disposition: form-data; name="_charset_"\r\n\r\n' + b"a" * 40 + b"\r\n--x--\r\n",
            "multipart/form-data; boundary=x",
            "malformed-request",
        ),
        (
            b"--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y--\r\n--x--\r\n",
            "multipart/form-data; boundary=x",
            "malformed-request",
        ),
    ],
)
async def test_broken_requests_are_refused(
    client: Client, folder: Path, body: bytes, content_type: str, code: str
) -> None:
    found = await answer(client, body, headers={"Content-Type": content_type})

    assert found["code"] == code
    assert not list(folder.iterdir())


async def test_a_declared_length_over_the_cap_is_refused_before_the_body(client: Client, folder: Path) -> None:
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        b"Content-Length: 500000000\r\n\r\n"
    )
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readuntil(b"}")
    writer.close()

    assert head.startswith(b"HTTP/1.1 400")
    assert b"photo-too-large" in body


async def test_a_document_is_refused_while_most_of_it_is_still_to_come(client: Client) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n%PDF-1.7\n'
        yield bytes(70_000)
        await asyncio.Event().wait()

    async with asyncio.timeout(10):
        found = await answer(client, endless(), headers={"Content-Type": "multipart/form-data; boundary=x"})

    assert found["code"] == "not-a-photo"


async def test_a_cut_connection_leaves_nothing(client: Client, folder: Path) -> None:
    _, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        b"Content-Length: 900000\r\n\r\n"
        b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + GOOD
    )
    await until(lambda: len(list(folder.iterdir())) == 1)
    writer.transport.abort()

    await until(lambda: not list(folder.iterdir()))


async def test_many_at_once_use_little_memory_and_leave_nothing(client: Client, folder: Path) -> None:
    bodies = [GOOD + bytes(index * 1000) for index in range(12)]

    found = await asyncio.gather(*(answer(client, form(("file", body))) for body in bodies))

    assert [one["size"] for one in found] == [len(body) for body in bodies]
    assert not list(folder.iterdir())


async def test_a_sweep_deletes_what_dead_processes_left_and_spares_the_living(client: Client, folder: Path) -> None:
    abandon = (
        "import os, pathlib, sys\n"
        "from uploads.intake import _create\n"
        "_create(pathlib.Path(sys.argv[1]))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", abandon, str(folder)], cwd=ROOT, check=False)
    assert len(list(folder.iterdir())) == 1
    held = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + GOOD
        await held.wait()
        yield b"\r\n--x--\r\n"

    uploading: Awaitable[dict[str, Any]] = asyncio.ensure_future(
        answer(client, slow(), headers={"Content-Type": "multipart/form-data; boundary=x"})
    )
    await until(lambda: len(list(folder.iterdir())) == 2)

    assert await asyncio.to_thread(sweep, folder) == 1

    held.set()
    assert (await uploading)["size"] == len(GOOD)
