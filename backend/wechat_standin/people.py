"""The fake people whose phones the stand-in plays. Every name here is invented."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class FakeUser:
    """One phone. `blocked` is a user whom WeChat holds for high-risk (40226)."""

    id: str
    openid: str
    nickname: str
    name: str
    phone_number: str
    age: int
    unionid: str | None = None
    blocked: bool = False

    def to_json(self) -> dict[str, Any]:
        """The user as the control API shows it and as the state file keeps it."""
        return asdict(self)

    def changed(self, **changes: Any) -> FakeUser:
        """The same phone with other properties."""
        return replace(self, **changes)


def openid_for(appid: str, user_id: str) -> str:
    """28 characters, the same for the same pair for ever, different between mini-programs."""
    return "o" + _digest(f"openid:{appid}:{user_id}")[:27]


def unionid_for(user_id: str) -> str:
    """A unionid has the same shape and does not depend on the mini-program."""
    return "o" + _digest(f"unionid:{user_id}")[:27]


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


# id, nickname, name, phone number, age, whether the mini-program is bound to an open platform account
_FIRST = (
    ("lin-guilan", "桂兰奶奶", "林桂兰", "19900000001", 74, False),
    ("chen-maofu", "老陈", "陈茂福", "19900000002", 81, False),
    ("zhou-xiaoyu", "小雨", "周小雨", "19900000003", 27, True),
    ("huang-jianming", "建明五金店", "黄建明", "19900000004", 45, True),
    ("he-aizhen", "爱珍", "何爱珍", "19900000005", 68, False),
    ("xu-ziheng", "Hengzz", "许子恒", "19900000006", 22, True),
    ("ouyang-ruolan", "若兰妈妈", "欧阳若兰", "19900000007", 33, True),
    ("ma-yusuf", "优素福拉面", "马玉素福", "19900000008", 39, False),
)


def first_users(appid: str) -> list[FakeUser]:
    """Who is there before anybody was created."""
    return [
        FakeUser(
            id=user_id,
            openid=openid_for(appid, user_id),
            nickname=nickname,
            name=name,
            phone_number=phone_number,
            age=age,
            unionid=unionid_for(user_id) if bound else None,
        )
        for user_id, nickname, name, phone_number, age, bound in _FIRST
    ]
