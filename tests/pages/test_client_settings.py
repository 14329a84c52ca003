"""What clients learn before anybody logs in."""

from __future__ import annotations

from datetime import datetime

import aiohttp

from backend.version import VERSION
from config.settings import Settings


async def test_clients_learn_how_to_log_in(http: aiohttp.ClientSession, settings: Settings) -> None:
    async with http.get("/api/client-settings") as response:
        assert response.status == 200
        told = await response.json()
    assert told["mode"] == "test"
    assert told["district_name"] == "榕江区"
    assert told["wechat_login"] == {"kind": "standin", "url": f"{settings.wechat_base_url}/phone"}
    assert told["max_photo_bytes"] == settings.max_photo
    assert told["version"] == VERSION
    assert datetime.fromisoformat(told["server_time"]).utcoffset() is not None


async def test_production_knows_no_standin(production: aiohttp.ClientSession) -> None:
    async with production.get("/api/client-settings") as response:
        told = await response.json()
    assert told["mode"] == "production"
    assert told["wechat_login"] == {"kind": "wechat"}


def test_wechat_itself_is_no_standin() -> None:
    assert Settings(wechat_base_url="https://api.weixin.qq.com").standin_url is None
    assert Settings(wechat_base_url=None).standin_url is None
    assert Settings(wechat_base_url="http://127.0.0.1:9001").standin_url == "http://127.0.0.1:9001"
