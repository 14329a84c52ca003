"""Subscribe messages: what WeChat refuses by number, and what arrives in an inbox."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backend.integrations.wechat.client import AsyncWeChatClient
from backend.wechat_standin.app import DEFAULT_APPID, DEFAULT_SECRET
from tests.wechat.conftest import STABLE, StandinServer

SEND = "cgi-bin/message/subscribe/send"
WHO = "lin-guilan"
ONCE, LONG = "once-template", "long-template"
DATA = {"thing1": {"value": "居住证申领"}, "phrase2": {"value": "已受理"}}


class Sender:
    """The product's side of it: a token, and raw calls."""

    def __init__(self, standin: StandinServer, openid: str, token: str) -> None:
        self.standin, self.openid, self.token = standin, openid, token

    async def raw(self, body: bytes | None, token: str | None = None, method: str = "POST") -> dict[str, Any]:
        url = f"{self.standin.url}/{SEND}"
        query = {"access_token": self.token if token is None else token}
        async with self.standin.http.request(method, url, params=query, data=body) as response:
            assert response.status == 200
            return dict(json.loads(await response.read()))

    async def send(self, **changes: Any) -> dict[str, Any]:
        document = {"touser": self.openid, "template_id": ONCE, "data": DATA} | changes
        return await self.raw(json.dumps(document).encode())

    async def value(self, key: str, value: Any) -> dict[str, Any]:
        """Send one value of a template that asks for nothing else."""
        await self.standin.call("PUT", f"templates/only-{key}", title="一项", keywords={key: "项"}, long_term=True)
        await self.standin.call("POST", f"users/{WHO}/subscriptions/only-{key}")
        return await self.send(template_id=f"only-{key}", data={key: {"value": value}})


@pytest.fixture
async def sender(standin: StandinServer) -> Sender:
    keywords = {"thing1": "事项名称", "phrase2": "状态"}
    await standin.call("PUT", f"templates/{ONCE}", title="一次", keywords=keywords)
    await standin.call("PUT", f"templates/{LONG}", title="长期", keywords=keywords, long_term=True)
    body = {"grant_type": "client_credential", "appid": DEFAULT_APPID, "secret": DEFAULT_SECRET}
    async with standin.http.post(f"{standin.url}/{STABLE}", json=body) as response:
        token = json.loads(await response.read())["access_token"]
    return Sender(standin, (await standin.call("GET", f"users/{WHO}"))["openid"], token)


async def agree(standin: StandinServer, template: str = ONCE) -> None:
    await standin.call("POST", f"users/{WHO}/subscriptions/{template}")


async def remaining(standin: StandinServer, template: str) -> int | None:
    known = (await standin.call("GET", f"users/{WHO}/subscriptions"))["subscriptions"]
    return next(item["remaining"] for item in known if item["id"] == template)  # type: ignore[no-any-return]


async def inbox(standin: StandinServer, who: str = WHO) -> list[dict[str, Any]]:
    return list((await standin.call("GET", f"users/{who}/messages"))["messages"])


async def test_a_message_arrives_with_its_lines_in_the_templates_order(standin: StandinServer, sender: Sender) -> None:
    await agree(standin)
    data = {"phrase2": {"value": "已受理"}, "thing1": {"value": "居住证申领"}}
    answer = await sender.send(data=data, page="pages/case/case?id=1", miniprogram_state="trial")
    assert (answer["errcode"], answer["errmsg"]) == (0, "ok")
    (message,) = await inbox(standin)
    assert message["id"] == answer["msgid"]
    assert message["title"] == "一次"
    assert [(line["label"], line["value"]) for line in message["lines"]] == [
        ("事项名称", "居住证申领"),
        ("状态", "已受理"),
    ]
    assert message["page"] == "pages/case/case?id=1"
    assert message["miniprogram_state"] == "trial"
    assert await inbox(standin, "chen-maofu") == []


async def test_one_tap_is_one_message(standin: StandinServer, sender: Sender) -> None:
    refused = await sender.send()
    assert refused["errcode"] == 43101
    assert refused["errmsg"].startswith("user refuse to accept the msg")
    await agree(standin)
    await agree(standin)
    assert await remaining(standin, ONCE) == 2
    assert [(await sender.send())["errcode"] for _ in range(3)] == [0, 0, 43101]
    assert len(await inbox(standin)) == 2


async def test_what_is_refused_uses_nothing_up(standin: StandinServer, sender: Sender) -> None:
    await agree(standin)
    assert (await sender.send(data={}))["errcode"] == 47003
    assert await remaining(standin, ONCE) == 1


async def test_a_long_term_agreement_lasts_until_it_is_taken_back(standin: StandinServer, sender: Sender) -> None:
    await agree(standin, LONG)
    assert await remaining(standin, LONG) is None
    assert [(await sender.send(template_id=LONG))["errcode"] for _ in range(3)] == [0, 0, 0]
    await standin.call("DELETE", f"users/{WHO}/subscriptions/{LONG}")
    assert (await sender.send(template_id=LONG))["errcode"] == 43101


@pytest.mark.parametrize(
    ("changes", "errcode"),
    [
        ({"touser": "oNobody"}, 40003),
        ({"touser": None}, 40003),
        ({"template_id": "unknown"}, 40037),
        ({"template_id": None}, 40037),
        ({"data": None}, 47003),
        ({"data": []}, 47003),
        ({"data": {"thing1": {"value": "居住证申领"}}}, 47003),
        ({"data": DATA | {"phrase2": "已受理"}}, 47003),
        ({"miniprogram_state": "release"}, 47003),
        ({"lang": "fr_FR"}, 47003),
        ({"page": 7}, 47003),
    ],
)
async def test_what_is_wrong_is_said_by_number(
    standin: StandinServer, sender: Sender, changes: dict[str, Any], errcode: int
) -> None:
    await agree(standin)
    assert (await sender.send(**changes))["errcode"] == errcode
    assert await inbox(standin) == []


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("thing1", "字" * 20, "字" * 21),
        ("number1", "12.50", "12元"),
        ("letter1", "abc", "abc1"),
        ("character_string1", "BJ-20260302-0001", "办件一"),
        ("time1", "2026年3月2日 15:01", "下午三点"),
        ("time1", "15:01~16:30", "25:00"),
        ("date1", "2026-03-02", "三月二日"),
        ("amount1", "¥10.50元", "十元"),
        ("phone_number1", "0771-12345", "电话"),
        ("car_number1", "粤A12345", "粤A1234567890"),
        ("name1", "林桂兰", "一二三四五六七八九十一"),
        ("phrase1", "已受理", "已受理1"),
        ("thing1", "好", "换\n行"),
        ("thing1", "好", ""),
    ],
)
async def test_every_kind_of_value_has_its_limits(sender: Sender, key: str, good: str, bad: str) -> None:
    assert (await sender.value(key, good))["errcode"] == 0
    refused = await sender.value(key, bad)
    assert refused["errcode"] == 47003
    assert f"argument invalid! data.{key}.value" in refused["errmsg"]


async def test_tokens_and_bodies_are_checked_as_everywhere(standin: StandinServer, sender: Sender) -> None:
    body = json.dumps({"touser": sender.openid}).encode()
    assert (await sender.raw(body, token=""))["errcode"] == 41001
    assert (await sender.raw(body, token="nonsense"))["errcode"] == 40001
    assert (await sender.raw(None, method="GET"))["errcode"] == 43002
    assert (await sender.raw(b""))["errcode"] == 44002
    assert (await sender.raw(b"{"))["errcode"] == 47001
    await standin.advance(7201)
    assert (await sender.raw(body))["errcode"] == 42001


async def test_forced_errors_name_themselves(standin: StandinServer, sender: Sender) -> None:
    await agree(standin)
    await standin.fault(SEND, "errcode", errcode=43108)
    refused = await sender.send()
    assert refused["errcode"] == 43108
    assert "concurrent" in refused["errmsg"]
    assert (await sender.send())["errcode"] == 0


async def test_a_hundred_messages_are_kept_until_they_are_cleared(standin: StandinServer, sender: Sender) -> None:
    await agree(standin, LONG)
    numbers = [(await sender.send(template_id=LONG))["msgid"] for _ in range(103)]
    assert [message["id"] for message in await inbox(standin)] == numbers[:2:-1]
    await standin.call("DELETE", f"users/{WHO}/messages")
    assert await inbox(standin) == []


async def test_wechatpy_sends_through_our_client(
    standin: StandinServer, sender: Sender, wechat: AsyncWeChatClient
) -> None:
    await agree(standin)
    answer = await wechat.wxa.send_subscribe_message(sender.openid, ONCE, DATA, page="pages/me/me")
    assert answer["errcode"] == 0
    assert [message["page"] for message in await inbox(standin)] == ["pages/me/me"]


async def test_wrong_templates_are_refused(standin: StandinServer) -> None:
    for keywords in ({}, {"stuff1": "x"}, {"thing": "x"}, {"thing1": 7}, "thing1"):
        body = {"title": "x", "keywords": keywords}
        async with standin.http.put(f"{standin.url}/standin/templates/wrong", json=body) as response:
            assert response.status == 400, keywords
    for method, path in (("POST", "subscriptions/unknown"), ("DELETE", "subscriptions/unknown")):
        async with standin.http.request(method, f"{standin.url}/standin/users/{WHO}/{path}") as response:
            assert response.status == 404
    async with standin.http.get(f"{standin.url}/standin/users/nobody/messages") as response:
        assert response.status == 404
