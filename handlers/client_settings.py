"""What a client must know before anybody logs in. Public."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from aiohttp import web
from pydantic import Field

from backend import keys
from backend.rest.operations import Routes
from backend.rest.views import Moment, View
from backend.version import VERSION

routes = Routes("client")

Mode = Literal["development", "test", "production"]


@dataclass(frozen=True, slots=True)
class ClientFacts:
    """What the composition root knows about this installation and clients may know too.

    `standin_url` is the WeChat stand-in's address, None where WeChat itself is asked. Bytes.
    """

    mode: Mode
    district_name: str | None
    standin_url: str | None
    max_photo_bytes: int


FACTS = web.AppKey("client_facts", ClientFacts)


class WeChatLoginView(View):
    """由微信登录。"""

    kind: Literal["wechat"] = "wechat"


class StandinLoginView(View):
    """由微信替身的假手机登录，只在开发和测试时出现。"""

    kind: Literal["standin"] = "standin"
    url: str = Field(description="假手机的地址；加上 ?return=<回来的地址>，登录后带着 code 回来")


class ClientSettings(View):
    """登录前需要知道的设置。"""

    mode: Mode = Field(description="运行方式")
    district_name: str | None = Field(description="区县名称；没有设置时为空")
    wechat_login: WeChatLoginView | StandinLoginView = Field(description="群众怎样登录")
    max_photo_bytes: int = Field(description="一张照片最多多少字节")
    server_time: Moment = Field(description="服务器时间")
    version: str = Field(description="服务器版本")


@routes.get("/client-settings", public=True)
async def get_client_settings(request: web.Request) -> ClientSettings:
    """登录前需要知道的设置：区县名称、登录方式、照片大小上限、服务器时间。"""
    facts = request.config_dict[FACTS]
    login = StandinLoginView(url=f"{facts.standin_url}/phone") if facts.standin_url else WeChatLoginView()
    return ClientSettings(
        mode=facts.mode,
        district_name=facts.district_name,
        wechat_login=login,
        max_photo_bytes=facts.max_photo_bytes,
        server_time=request.config_dict[keys.CLOCK].now(),
        version=VERSION,
    )
