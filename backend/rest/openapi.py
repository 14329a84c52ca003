"""The OpenAPI 3.1 document, generated from the operations' signatures."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from backend.domain import errors
from backend.rest import problems
from backend.rest.authentication import SESSION_COOKIE
from backend.rest.operations import Operation, Routes

_REF = "#/components/schemas/{model}"

_TAGS = {
    "accounts": "群众登录、续期、我的设备",
    "staff": "工作人员登录与账号管理",
    "organisation": "部门、岗位、责任分工",
    "announcements": "公告：公开阅读，工作台维护",
    "quick-replies": "常用语：自己的、部门的、全区的",
    "calendar": "节假日、调休与本地工作日安排",
    "matters": "事项目录与办事指南（公开）",
    "catalogue": "编辑事项与办事指南、导入",
    "cases": "办件：填写、提交、补正、进度",
    "desk": "工作台：受理、补正、决定、办结",
    "consultations": "咨询的历史与备用通道（实时部分见 docs/protocol.md）",
    "materials": "材料照片",
    "notices": "我的通知",
    "client": "客户端打开时需要知道的",
}

_DESCRIPTIONS = {
    400: "请求格式不正确",
    401: "未登录或登录已失效",
    403: "没有权限",
    404: "没有找到（不存在，或不属于您）",
    409: "与当前状态冲突",
    413: "内容过大",
    415: "不支持的内容格式",
    416: "范围无效",
    422: "填写的内容有误",
    429: "操作太频繁",
    503: "服务暂时不可用",
}


def document(routes: Sequence[Routes], *, version: str, prefix: str = "/api") -> dict[str, Any]:
    """The whole document for the operations mounted under `prefix`."""
    operations = [operation for group in routes for operation in group.operations]
    schemas = _Schemas(operations)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(prefix + operation.path, {})[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "办事 Banshi",
            "version": version,
            "description": "政务服务小程序后端接口。时间一律为 RFC 3339（+08:00）；"
            "错误一律为 application/problem+json，`code` 稳定不变。实时咨询见 docs/protocol.md。",
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": group.tag, "description": _TAGS[group.tag]} for group in routes],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(schemas.definitions.items())),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": SESSION_COOKIE},
            },
        },
    }


class _Schemas:
    """JSON schemas of all models, with shared definitions."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [(problems.Problem, "serialization")]
        adapters: dict[str, TypeAdapter[Any]] = {}
        for operation in operations:
            if operation.body is not None:
                wanted.append((operation.body, "validation"))
            if operation.result is not None:
                adapters[operation.id] = TypeAdapter(operation.result)
        self._by_model, top = models_json_schema(wanted, ref_template=_REF)
        self._results, results = TypeAdapter.json_schemas(
            [(name, "serialization", adapter) for name, adapter in adapters.items()], ref_template=_REF
        )
        self.definitions: dict[str, Any] = {**top.get("$defs", {}), **results.get("$defs", {})}

    def body(self, model: type[BaseModel]) -> dict[str, Any]:
        return dict(self._by_model[(model, "validation")])

    def problem(self) -> dict[str, Any]:
        return dict(self._by_model[(problems.Problem, "serialization")])

    def result(self, operation: Operation) -> dict[str, Any]:
        return dict(self._results[(operation.id, "serialization")])


def _operation(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    text = inspect.getdoc(operation.handler) or operation.id
    summary, _, description = text.partition("\n\n")
    result: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": " ".join(summary.split()),
        "parameters": _parameters(operation),
        "responses": _responses(operation, schemas),
        "security": [{}] if operation.public else [{"bearer": []}, {"session": []}],
    }
    if description:
        result["description"] = description
    if operation.body is not None:
        result["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schemas.body(operation.body)}},
        }
    elif operation.multipart is not None:
        parts = operation.multipart.parts
        result["requestBody"] = {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "properties": {name: schema for name, (schema, _) in parts.items()},
                        "required": [name for name, (_, required) in parts.items() if required],
                    }
                }
            },
        }
    return result


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": adapter.json_schema(ref_template=_REF)}
        for name, adapter in operation.path_parameters.items()
    ]
    if operation.query is not None:
        schema = operation.query.model_json_schema(ref_template=_REF)
        definitions = schema.get("$defs", {})
        for name, value in schema.get("properties", {}).items():
            value = _inline(value, definitions)
            found.append(
                {
                    "name": name,
                    "in": "query",
                    "required": name in schema.get("required", ()),
                    "schema": value,
                    **({"description": value["description"]} if "description" in value else {}),
                }
            )
    if operation.idempotent:
        found.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "客户端生成的 UUID；同一编号重复提交只生效一次，并得到同样的回答。",
                "schema": {"type": "string", "format": "uuid", "pattern": "^[0-9a-fA-F-]{36}$"},
            }
        )
    found += [
        {"name": name, "in": "header", "required": False, "schema": {"type": "string"}} for name in operation.headers
    ]
    return found


def _inline(schema: Any, definitions: dict[str, Any]) -> Any:
    """Query parameters carry their enumerations with them: references into a query model's own $defs."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            return _inline(definitions[schema["$ref"].rsplit("/", 1)[1]], definitions)
        # null cannot be written in a query string: an optional parameter is one that is left out
        if "anyOf" in schema:
            options = [option for option in schema["anyOf"] if option != {"type": "null"}]
            rest = {k: v for k, v in schema.items() if k not in ("anyOf", "default")}
            if len(options) == 1:
                return {**_inline(options[0], definitions), **_inline(rest, definitions)}
        return {key: _inline(value, definitions) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_inline(item, definitions) for item in schema]
    return schema


def error_statuses(operation: Operation) -> set[int]:
    """The statuses of the refusals an operation's shape implies, and those it declares."""
    found = {400, 429, 503}
    if not operation.public:
        found |= {401, 403}
    elif operation.method != "GET":
        found.add(403)  # a cookie from another origin
    if operation.path_parameters:
        found.add(404)
    if operation.query is not None or operation.body is not None or operation.idempotent:
        found.add(422)
    if operation.body is not None:
        found |= {400, 413, 415}
    if operation.multipart is not None:
        found |= {400, 413, 415, 422}
    if operation.idempotent:
        found.add(409)
    return found | {problems.status_of(kind) for kind in operation.errors}


def _responses(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "成功"}
    if operation.result is not None:
        success["content"] = {"application/json": {"schema": schemas.result(operation)}}
    elif operation.produces:
        success["content"] = {media: {} for media in operation.produces}
    found: dict[str, Any] = {str(operation.status): success}
    for status in operation.statuses:
        found[str(status)] = {"description": "没有变化"} if status == 304 else success
    for status in error_statuses(operation):
        refused: dict[str, Any] = {
            "description": _DESCRIPTIONS.get(status, "未能完成"),
            "content": {problems.MEDIA_TYPE: {"schema": schemas.problem()}},
        }
        if status == 400:  # what the HTTP parser itself refuses (an address that is too long …)
            refused["content"]["text/plain"] = {"schema": {"type": "string"}}
        if status in (429, 503):
            refused["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
        found[str(status)] = refused
    return dict(sorted(found.items()))


def declared_errors() -> list[type[errors.DomainError]]:
    """All error classes, for the test that none lacks a code or a status."""

    def below(kind: type[errors.DomainError]) -> Iterable[type[errors.DomainError]]:
        yield kind
        for child in kind.__subclasses__():
            yield from below(child)

    return list(dict.fromkeys(below(errors.DomainError)))
