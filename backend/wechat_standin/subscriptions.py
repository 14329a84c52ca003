"""Subscribe messages: templates, what people agreed to receive, and what was sent to them.

Everything here is in memory: a restart of the stand-in forgets agreements and inboxes, but not people.
"""

from __future__ import annotations

import itertools
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from backend.wechat_standin.wire import BusinessError

KEPT = 100  # messages per person
_STATES = frozenset({"developer", "trial", "formal"})
_LANGUAGES = frozenset({"zh_CN", "en_US", "zh_HK", "zh_TW"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CLOCK = r"([01]?\d|2[0-3]):[0-5]\d(:[0-5]\d)?"
_DATE = r"\d{4}(年\d{1,2}月\d{1,2}日|-\d{1,2}-\d{1,2})"

#: WeChat's limits on a value, by the kind of its keyword (the letters before the number in its key).
_SHAPES = {
    "thing": re.compile(r".{1,20}"),
    "number": re.compile(r"-?(?=[\d.]{1,32}$)\d+(\.\d+)?"),
    "letter": re.compile(r"[A-Za-z]{1,32}"),
    "symbol": re.compile(r"[^\w\s]{1,5}"),
    "character_string": re.compile(r"[\x20-\x7e]{1,32}"),
    "time": re.compile(rf"({_DATE} ?)?{_CLOCK}( ?~ ?({_DATE} ?)?{_CLOCK})?|{_DATE}( ?~ ?{_DATE})?"),
    "date": re.compile(rf"{_DATE}( {_CLOCK})?"),
    "amount": re.compile(r"[^\w\s]?(?=[\d.]{1,10}(元|$))\d+(\.\d+)?元?"),
    "phone_number": re.compile(r"[\d+() -]{1,17}"),
    "car_number": re.compile(r"[\u4e00-\u9fff]?[A-Z0-9]{1,7}[\u4e00-\u9fff]?"),
    "name": re.compile(r"[\u4e00-\u9fff·]{1,10}|[A-Za-z][A-Za-z .·-]{0,19}"),
    "phrase": re.compile(r"[\u4e00-\u9fff]{1,5}"),
    "enum": re.compile(r".{1,20}"),
}
_KEY = re.compile(rf"({'|'.join(_SHAPES)})[0-9]{{1,3}}")


@dataclass(frozen=True, slots=True)
class Template:
    """A message template: its keywords by key, with their labels. Long-term ones need one agreement for ever."""

    id: str
    title: str
    keywords: dict[str, str]
    long_term: bool = False

    def __post_init__(self) -> None:
        wrong = [key for key in self.keywords if not _KEY.fullmatch(key)]
        if wrong or not self.keywords:
            raise ValueError(f"keywords: {', '.join(wrong) or 'none'}: a kind and a number, such as thing1")

    def to_json(self) -> dict[str, Any]:
        """The template as the control API shows it."""
        return {"id": self.id, "title": self.title, "keywords": self.keywords, "long_term": self.long_term}


#: What the imitated mini-program has chosen from WeChat's library; more can be added through the control API.
FIRST_TEMPLATES = (
    Template(
        "standin-case-progress-0000000000000000000000",
        "办件进度通知",
        {"thing1": "事项名称", "character_string2": "办件编号", "phrase3": "当前状态", "time4": "更新时间"},
        long_term=True,
    ),
    Template(
        "standin-correction-000000000000000000000000",
        "材料补正通知",
        {"thing1": "事项名称", "thing2": "补正内容", "date3": "截止日期"},
    ),
    Template(
        "standin-answer-0000000000000000000000000000",
        "咨询回复通知",
        {"thing1": "咨询事项", "thing2": "回复内容", "name3": "回复人", "time4": "回复时间"},
    ),
)


@dataclass(frozen=True, slots=True)
class Delivered:
    """A message in somebody's inbox. `at` is in seconds since the epoch."""

    id: int
    at: float
    template: Template
    values: dict[str, str]
    page: str
    miniprogram_state: str
    lang: str

    def to_json(self) -> dict[str, Any]:
        """The message as the control API shows it, its lines in the template's order."""
        return {
            "id": self.id,
            "at": self.at,
            "template_id": self.template.id,
            "title": self.template.title,
            "lines": [
                {"key": key, "label": label, "value": self.values[key]} for key, label in self.template.keywords.items()
            ],
            "page": self.page,
            "miniprogram_state": self.miniprogram_state,
            "lang": self.lang,
        }


@dataclass(slots=True)
class Subscriptions:
    """Templates, agreements and inboxes of one stand-in; people are known here by their openid."""

    templates: dict[str, Template] = field(default_factory=lambda: {t.id: t for t in FIRST_TEMPLATES})
    _agreed: dict[tuple[str, str], int] = field(default_factory=dict)
    _inboxes: dict[str, deque[Delivered]] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1_000_000_001))

    def agree(self, openid: str, template: Template) -> None:
        """One tap on 允许: one more message of a one-time template, any number of a long-term one."""
        key = (openid, template.id)
        self._agreed[key] = 1 if template.long_term else self._agreed.get(key, 0) + 1

    def refuse(self, openid: str, template: Template) -> None:
        """Take back every agreement to a template."""
        self._agreed.pop((openid, template.id), None)

    def remaining(self, openid: str, template: Template) -> int | None:
        """How many messages may still come; None means any number."""
        agreed = self._agreed.get((openid, template.id), 0)
        return None if agreed and template.long_term else agreed

    def inbox(self, openid: str) -> list[Delivered]:
        """What was sent to somebody, the newest first."""
        return list(reversed(self._inboxes.get(openid, ())))

    def empty(self, openid: str) -> None:
        self._inboxes.pop(openid, None)

    def send(self, openid: str, asked: Mapping[str, Any], now: float) -> int:
        """`message/subscribe/send` to an openid that exists; the message's id. Raises `BusinessError`."""
        template = self.templates.get(str(asked.get("template_id", "")))
        if template is None:
            raise BusinessError(40037)
        values = _values(template, asked.get("data"))
        page, state, lang = (
            _member(asked, name, default)
            for name, default in (("page", ""), ("miniprogram_state", "formal"), ("lang", "zh_CN"))
        )
        if state not in _STATES:
            raise BusinessError(47003, "miniprogram_state invalid")
        if lang not in _LANGUAGES:
            raise BusinessError(47003, "lang invalid")
        self._use(openid, template)
        message = Delivered(next(self._numbers), now, template, values, page, state, lang)
        self._inboxes.setdefault(openid, deque(maxlen=KEPT)).append(message)
        return message.id

    def _use(self, openid: str, template: Template) -> None:
        remaining = self.remaining(openid, template)
        if remaining == 0:
            raise BusinessError(43101)
        if remaining is not None:
            self._agreed[openid, template.id] = remaining - 1


def _member(asked: Mapping[str, Any], name: str, default: str) -> str:
    value = asked.get(name) or default
    if not isinstance(value, str):
        raise BusinessError(47003, f"{name} invalid")
    return value


def _values(template: Template, data: object) -> dict[str, str]:
    """The value of every keyword of the template, each within its limits. Other members are ignored."""
    if not isinstance(data, dict):
        raise BusinessError(47003, "data invalid")
    return {key: _value(key, data.get(key)) for key in template.keywords}


def _value(key: str, given: object) -> str:
    value = given.get("value") if isinstance(given, dict) else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value:
        raise BusinessError(47003, f"data.{key}.value is empty")
    if _CONTROL.search(value) or not _SHAPES[key.rstrip("0123456789")].fullmatch(value):
        raise BusinessError(47003, f"data.{key}.value invalid")
    return value
