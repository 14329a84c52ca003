"""A node whose web folder is a small built tree of this test."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from backend.app import create_app
from backend.composition import Services
from config.settings import Settings

SCRIPT = b"console.log('desk');" * 50
COMPRESSED = gzip.compress(SCRIPT, mtime=0)


@pytest.fixture
def web_folder(tmp_path: Path) -> Path:
    """Both clients, built; and beside them what nobody may read."""
    web = tmp_path / "web"
    desk, phone = web / "desk" / "dist", web / "citizen" / "dist" / "build" / "h5"
    for folder in (desk / "assets", phone / "assets", phone / "static"):
        folder.mkdir(parents=True)
    (web / "secret.txt").write_text("secret")
    (desk / "index.html").write_text("<!doctype html><title>desk</title>")
    (desk / "manifest.webmanifest").write_text("{}")
    (desk / "sw.js").write_text("self.skipWaiting();")
    (desk / ".hidden").write_text("secret")
    (desk / "leak.txt").symlink_to(web / "secret.txt")
    (desk / "out").symlink_to(web)
    (desk / "assets" / "main-1a2b3c4d.js").write_bytes(SCRIPT)
    (desk / "assets" / "main-1a2b3c4d.js.gz").write_bytes(COMPRESSED)
    (desk / "assets" / "main-1a2b3c4d.js.br").write_bytes(b"brotli bytes")
    (phone / "index.html").write_text("<!doctype html><title>phone</title>")
    (phone / "assets" / "index-9f8e7d6c.css").write_text("a{}")
    (phone / "static" / "logo.png").write_bytes(b"\x89PNG")
    return web


@pytest.fixture
async def settings(settings: Settings, web_folder: Path) -> Settings:
    return settings.model_copy(update={"web": web_folder})


@pytest.fixture
async def production(settings: Settings, services: Services) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a node in production mode, whose `var` still holds what a trial left there."""
    strict = settings.model_copy(
        update={"mode": "production", "public_url": "https://banshi.example", "district_name": "榕江区"}
    )
    async with (
        TestServer(create_app(strict, services)) as running,
        aiohttp.ClientSession(str(running.make_url(""))) as session,
    ):
        yield session
