"""problem+json (RFC 9457): the one place where a meaning becomes an HTTP status and an error object."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from backend.domain import errors

MEDIA_TYPE = "application/problem+json"

#: Meaning → HTTP status. A subclass that is not named here has its nearest ancestor's.
STATUS: dict[type[errors.DomainError], int] = {
    errors.DomainError: 500,
    errors.InvalidInput: 422,
    errors.Malformed: 400,
    errors.Unauthenticated: 401,
    errors.WrongCredentials: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.TooLarge: 413,
    errors.UnsupportedMedia: 415,
    errors.RangeNotSatisfiable: 416,
    errors.RateLimited: 429,
    errors.Unavailable: 503,
}


class FieldProblem(BaseModel):
    """What is wrong with one field. The value itself is never repeated."""

    field: str
    code: str
    detail: str


class Problem(BaseModel):
    """An error, the same object in HTTP answers and in acknowledgements of socket events."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    code: str
    title: str
    status: int
    detail: str
    field: str | None = None
    errors: list[FieldProblem] | None = None
    request_id: str | None = None
    retry_after: int | float | None = None


def status_of(kind: type[errors.DomainError]) -> int:
    """The HTTP status of an error class: its own or its nearest ancestor's."""
    return next(STATUS[base] for base in kind.__mro__ if base in STATUS)


def problem_of(error: errors.DomainError, request_id: str | None = None) -> Problem:
    """The error object for `error`."""
    return Problem(
        code=error.code,
        title=error.title,
        status=status_of(type(error)),
        detail=error.detail,
        field=error.field,
        request_id=request_id,
        retry_after=getattr(error, "retry_after", None),
        **{key: value for key, value in error.extra.items() if key != "retry_after"},
    )


def problem_response(problem: Problem, headers: Mapping[str, str] | None = None) -> web.Response:
    """`problem` as an HTTP answer, with Retry-After where it says when to come back."""
    response = web.Response(
        status=problem.status,
        body=orjson.dumps(problem.model_dump(mode="json", exclude_none=True)),
        content_type=MEDIA_TYPE,
        headers=headers,
    )
    if problem.retry_after is not None:
        response.headers["Retry-After"] = str(math.ceil(problem.retry_after))
    if problem.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="banshi"'
    response.headers["Cache-Control"] = "no-store"
    return response


#: aiohttp's own refusals, in our words.
_HTTP_MEANINGS: dict[int, tuple[str, str, str]] = {
    400: ("malformed-request", "请求格式不正确", "请求无法读取，请检查后重试。"),
    404: ("not-found", "没有找到", "没有这个地址。"),
    405: ("method-not-allowed", "不支持这种操作", "这个地址不支持这种请求方法。"),
    408: ("request-timeout", "请求超时", "网络太慢，请求没有传完，请重试。"),
    411: ("length-required", "缺少长度", "请求缺少长度说明。"),
    413: ("too-large", "内容过大", "提交的内容超过了大小限制。"),
    415: ("unsupported-media", "不支持这种格式", "不支持这种内容格式。"),
    416: ("range-not-satisfiable", "范围无效", "请求的范围超出了文件大小。"),
    417: ("expectation-failed", "不支持的要求", "不支持请求中的 Expect 要求。"),
    503: ("temporarily-unavailable", "服务暂时不可用", "服务正在重启，请稍后再试。"),
}


def http_problem(error: web.HTTPException, request_id: str | None) -> web.Response:
    """A refusal of the framework (unknown path, wrong method …) as problem+json."""
    code, title, detail = _HTTP_MEANINGS.get(error.status, ("http-error", "请求未能完成", "请求未能完成。"))
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
    return problem_response(
        Problem(code=code, title=title, status=error.status, detail=detail, request_id=request_id), headers
    )


_TYPE_DETAILS: dict[str, str] = {
    "missing": "这一项必须填写。",
    "extra_forbidden": "没有这一项。",
    "string_type": "这一项应当是文字。",
    "string_too_short": "填写的内容太短。",
    "string_too_long": "填写的内容太长。",
    "string_pattern_mismatch": "格式不正确。",
    "int_parsing": "应当是整数。",
    "int_type": "应当是整数。",
    "int_from_float": "应当是整数。",
    "float_parsing": "应当是数字。",
    "bool_parsing": "应当是“是”或“否”。",
    "bool_type": "应当是“是”或“否”。",
    "greater_than_equal": "数值太小。",
    "less_than_equal": "数值太大。",
    "enum": "不在可选的范围内。",
    "literal_error": "不在可选的范围内。",
    "datetime_from_date_parsing": "日期时间格式不正确。",
    "datetime_parsing": "日期时间格式不正确。",
    "date_from_datetime_parsing": "日期格式不正确。",
    "date_parsing": "日期格式不正确。",
    "uuid_parsing": "编号格式不正确。",
    "list_type": "应当是一个列表。",
    "too_long": "数量太多。",
    "too_short": "数量太少。",
    "model_type": "应当是一个对象。",
    "model_attributes_type": "应当是一个对象。",
    "dict_type": "应当是一个对象。",
    "json_invalid": "内容不是有效的 JSON。",
}


#: Findings that are told of one by one: a body of nothing but mistakes must not be answered with ten times its size.
MAX_FIELD_PROBLEMS = 50


def field_problems(found: Iterable[Mapping[str, Any]], prefix: str = "") -> list[FieldProblem]:
    """Pydantic's findings as field problems; neither the input nor pydantic's English is passed on."""
    return [
        FieldProblem(
            field=".".join(str(part) for part in (prefix, *item["loc"]) if part != "") or "body",
            code=str(item["type"]).replace("_", "-"),
            detail=str(item["msg"]).removeprefix("Value error, ")
            if item["type"] == "value_error"
            else _TYPE_DETAILS.get(item["type"], "填写的内容不正确。"),
        )
        for item in found
    ]


def invalid_input(error: ValidationError, prefix: str = "") -> errors.InvalidInput:
    """What a failed validation says to the user, in words alone; the fields' names are in `field` and `errors`."""
    findings = error.errors(include_url=False, include_input=False, include_context=False)
    found = field_problems(findings[:MAX_FIELD_PROBLEMS], prefix)
    detail = found[0].detail if len(findings) == 1 else f"有 {len(findings)} 处填写不正确，请逐项核对。"
    return errors.InvalidInput(detail, field=found[0].field, errors=[item.model_dump() for item in found])
