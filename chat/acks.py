"""Acknowledgements: `{ok: true, …}`, or `{ok: false, problem, retry, after_ms}` with HTTP's problem object."""

from __future__ import annotations

from typing import Any

from backend.domain.errors import DomainError, InvalidInput, may_be_retried
from backend.rest.problems import problem_of

Ack = dict[str, Any]


class UnknownEvent(InvalidInput):
    """No event of this name in this version of the protocol."""

    code = "unknown-event"
    title = "不认识的事件"


class UnsupportedVersion(InvalidInput):
    """The client speaks another version of the protocol."""

    code = "unsupported-version"
    title = "客户端版本不受支持，请更新"


def ok(**members: Any) -> Ack:
    return {"ok": True, **members}


def refusal(error: DomainError) -> Ack:
    """The answer to what was refused. `retry` says whether the same event again may succeed, `after_ms` when."""
    retry = may_be_retried(error)
    found: Ack = {
        "ok": False,
        "problem": problem_of(error).model_dump(mode="json", exclude_none=True),
        "retry": retry,
    }
    if retry:
        found["after_ms"] = round(getattr(error, "retry_after", 1) * 1000)
    return found
