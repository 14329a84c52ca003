"""Typed handlers: the signature is the contract.

    routes = Routes("matters")

    @routes.get("/matters/{matter_id}", public=True)
    async def get_matter(request: web.Request, matter_id: Id, query: GuideQuery) -> GuideView:
        '''One guide.'''

Parameters are told by name: a name of the path is a path parameter; `query` a `Query`, `body` a `Body`,
`actor` the authenticated actor. What is returned is validated and serialised by its annotation; `None`
is 204. The OpenAPI document is generated from the same signatures (`backend.rest.openapi`). Every
operation is private unless it says `public=True`.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import re
import typing
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Generic, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, TypeAdapter, ValidationError

from backend import keys
from backend.domain import errors
from backend.domain.access import ANONYMOUS, Actor
from backend.domain.ids import derived_id, is_uuid
from backend.rest import problems
from backend.rest.authentication import authenticate
from backend.rest.context import ACTOR, CREATION_ID, OPERATION, client_address
from backend.rest.views import UUID_PATTERN
from backend.storage.idempotency import KeptAnswer, RequestInProgress

R = TypeVar("R")

Handler = Callable[..., Awaitable[Any]]

#: A JSON body is at most some hundred kilobytes: who takes longer to send one holds the connection on purpose.
_BODY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Reply(Generic[R]):
    """A result with headers or a status of its own (one that the operation declares)."""

    body: R
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    set_cookies: tuple[tuple[str, str, dict[str, Any]], ...] = ()


@dataclass(frozen=True, slots=True)
class Multipart:
    """The parts of a multipart request, for the OpenAPI document: name → (schema, required)."""

    parts: dict[str, tuple[dict[str, Any], bool]]
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path."""

    method: str
    path: str
    handler: Handler
    tag: str
    public: bool
    status: int
    idempotent: bool
    produces: tuple[str, ...]
    statuses: tuple[int, ...]
    errors: tuple[type[errors.DomainError], ...]
    multipart: Multipart | None
    rate: int | None
    password_due: bool
    path_parameters: dict[str, TypeAdapter[Any]]
    query: type[BaseModel] | None
    body: type[BaseModel] | None
    wants_actor: bool
    result: Any
    headers: tuple[str, ...]

    @property
    def id(self) -> str:
        return str(getattr(self.handler, "__name__", "operation"))


class Routes:
    """The operations of one resource; `tag` groups them in the documentation."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.operations: list[Operation] = []

    def get(self, path: str, **options: Any) -> Callable[[Handler], Handler]:
        return self.route("GET", path, **options)

    def post(self, path: str, **options: Any) -> Callable[[Handler], Handler]:
        return self.route("POST", path, **options)

    def put(self, path: str, **options: Any) -> Callable[[Handler], Handler]:
        return self.route("PUT", path, **options)

    def patch(self, path: str, **options: Any) -> Callable[[Handler], Handler]:
        return self.route("PATCH", path, **options)

    def delete(self, path: str, **options: Any) -> Callable[[Handler], Handler]:
        return self.route("DELETE", path, **options)

    def route(
        self,
        method: str,
        path: str,
        *,
        public: bool = False,
        status: int | None = None,
        idempotent: bool = False,
        produces: Sequence[str] = (),
        statuses: Sequence[int] = (),
        errors: Sequence[type[errors.DomainError]] = (),
        multipart: Multipart | None = None,
        rate: int | None = None,
        password_due: bool = False,
        headers: Sequence[str] = (),
    ) -> Callable[[Handler], Handler]:
        """Declare an operation.

        `idempotent`: takes an Idempotency-Key. `produces`: media types other than JSON, for handlers that
        answer a `web.StreamResponse`. `statuses`: further successful statuses (206, 304). `errors`: what it
        may raise beyond what its shape implies. `rate`: its own limit per minute and caller. `headers`:
        request headers it reads. `password_due`: open to who has to change the password first.
        """

        def declare(handler: Handler) -> Handler:
            hints = typing.get_type_hints(handler, include_extras=True)
            names = re.findall(r"{(\w+)}", path)
            parameters = inspect.signature(handler).parameters
            unknown = set(parameters) - {*names, "request", "query", "body", "actor"}
            if unknown or not set(names) <= set(parameters):
                raise TypeError(f"{handler.__name__}: parameters {sorted(unknown or names)} do not fit {path}")
            result = hints.get("return")
            self.operations.append(
                Operation(
                    method=method,
                    path=path,
                    handler=handler,
                    tag=self.tag,
                    public=public,
                    status=status or (204 if result is type(None) else 200),
                    idempotent=idempotent,
                    produces=tuple(produces),
                    statuses=tuple(statuses),
                    errors=tuple(errors),
                    multipart=multipart,
                    rate=rate,
                    password_due=password_due,
                    path_parameters={name: TypeAdapter(hints[name]) for name in names},
                    query=hints.get("query"),
                    body=hints.get("body"),
                    wants_actor="actor" in hints,
                    result=_result_type(result),
                    headers=tuple(headers),
                )
            )
            return handler

        return declare


def _result_type(annotation: Any) -> Any:
    """What `Reply[X]` or `X` answers; None for no content or a stream."""
    if typing.get_origin(annotation) is Reply:
        annotation = typing.get_args(annotation)[0]
    if annotation is type(None) or (isinstance(annotation, type) and issubclass(annotation, web.StreamResponse)):
        return None
    return annotation


def mount(app: web.Application, routes: Sequence[Routes]) -> None:
    """Register every operation on the API application."""
    for group in routes:
        for operation in group.operations:
            app.router.add_route(operation.method, _route(operation), _endpoint(operation))


def _route(operation: Operation) -> str:
    """The path for the router: an identifier's place takes nothing but an identifier, so that
    `PATCH /staff/login` is a wrong method there and not an unknown member of the staff."""
    path = operation.path
    for name, adapter in operation.path_parameters.items():
        if _takes_an_id(adapter):
            path = path.replace(f"{{{name}}}", f"{{{name}:[0-9a-f-]{{36}}}}")
    return path


@cache
def _takes_an_id(adapter: TypeAdapter[Any]) -> bool:
    return bool(adapter.json_schema().get("pattern") == UUID_PATTERN)


def _endpoint(operation: Operation) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    serialiser = TypeAdapter(operation.result) if operation.result is not None else None

    async def endpoint(request: web.Request) -> web.StreamResponse:
        request[OPERATION] = operation.id
        actor = await _admit(request, operation)
        request[ACTOR] = actor
        arguments = await _arguments(request, operation, actor)
        if operation.idempotent and "Idempotency-Key" in request.headers:
            response = await _once(request, operation, actor, arguments, serialiser)
        else:
            response = _respond(operation, serialiser, await operation.handler(request, **arguments))
        if not operation.public and not response.prepared:
            # what is somebody's own stays in no cache, unless the handler knows better
            response.headers.setdefault("Cache-Control", "no-store")
        return response

    return endpoint


async def _admit(request: web.Request, operation: Operation) -> Actor:
    """Authenticate, then count: a caller who hammers is told so before anything is parsed."""
    limiter = request.config_dict[keys.RATE_LIMITER]
    try:
        actor = await authenticate(request)
    except errors.Unauthenticated:
        if not operation.public:
            await limiter.hit(f"a:{client_address(request)}", request.config_dict[keys.RATE_PER_MINUTE])
            raise
        actor = ANONYMOUS  # a stale token does not bar what everybody may see
    caller = f"s:{actor.session_id or actor.id}" if actor.id else f"a:{client_address(request)}"
    if actor.kind == "anonymous" and not operation.public:
        await limiter.hit(caller, request.config_dict[keys.RATE_PER_MINUTE])
        raise errors.Unauthenticated
    if operation.rate is not None:
        await limiter.hit(f"{operation.id}:{caller}", operation.rate)
    elif operation.method != "GET" or not operation.public:
        await limiter.hit(caller, request.config_dict[keys.RATE_PER_MINUTE])
    if actor.must_change_password and not operation.password_due:
        if not operation.public:
            raise errors.PasswordChangeRequired("您使用的是初始密码或重置后的密码，请先修改密码再继续操作。")
        return ANONYMOUS  # logging in again, and what everybody may see
    return actor


async def _arguments(request: web.Request, operation: Operation, actor: Actor) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for name, adapter in operation.path_parameters.items():
        try:
            arguments[name] = adapter.validate_python(request.match_info[name])
        except ValidationError as error:
            raise errors.NotFound from error  # an id that cannot exist is an id that does not exist
    if operation.query is not None:
        arguments["query"] = _query(request, operation.query)
    if operation.body is not None:
        arguments["body"] = await _body(request, operation.body)
    if operation.wants_actor:
        arguments["actor"] = actor
    return arguments


def _query(request: web.Request, model: type[BaseModel]) -> BaseModel:
    values: dict[str, Any] = {}
    for name in dict.fromkeys(request.query):
        found = request.query.getall(name)
        info = model.model_fields.get(name)
        is_list = info is not None and typing.get_origin(info.annotation) in (list, tuple)
        if not is_list and len(found) > 1 and info is not None:
            raise errors.InvalidInput(f"“{name}”只能填写一次。", field=name)
        values[name] = found if is_list else found[0]
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise problems.invalid_input(error) from error


async def _body(request: web.Request, model: type[BaseModel]) -> BaseModel:
    if request.content_type != "application/json":
        raise errors.UnsupportedMedia("请求内容应当是 JSON（Content-Type: application/json）。")
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            raw = await request.read()
    except TimeoutError as error:
        raise errors.Unavailable("网络太慢，请求没有传完，请稍后重试。") from error
    try:
        data = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise errors.Malformed("请求内容不是有效的 JSON。") from error
    try:
        return model.model_validate_json(raw) if isinstance(data, dict) else model.model_validate(data)
    except ValidationError as error:
        raise problems.invalid_input(error) from error


def _respond(operation: Operation, serialiser: TypeAdapter[Any] | None, result: Any) -> web.StreamResponse:
    if isinstance(result, web.StreamResponse):
        return result
    reply = result if isinstance(result, Reply) else Reply(result)
    response = web.Response(status=reply.status or operation.status, headers=reply.headers)
    if serialiser is not None:
        response.body = serialiser.dump_json(reply.body, by_alias=True)
        response.content_type = "application/json"
    for name, value, options in reply.set_cookies:
        if value:
            response.set_cookie(name, value, **options)
        else:
            response.del_cookie(name, **options)
    return response


async def _once(
    request: web.Request,
    operation: Operation,
    actor: Actor,
    arguments: dict[str, Any],
    serialiser: TypeAdapter[Any] | None,
) -> web.StreamResponse:
    """Run the operation at most once per (actor, path, Idempotency-Key) and repeat its answer."""
    sent = request.headers["Idempotency-Key"]
    if not is_uuid(sent.lower()):
        raise errors.InvalidInput("Idempotency-Key 应当是一个 UUID。", field="Idempotency-Key")
    key = derived_id("idempotency", f"{actor.kind}:{actor.id}:{request.method}:{request.path}:{sent.lower()}")
    store, now = request.config_dict[keys.IDEMPOTENCY], request.config_dict[keys.CLOCK].now()
    body_hash = hashlib.sha256(await request.read()).hexdigest()
    kept = await store.begin(key, body_hash, now)
    if kept is not None:
        return web.Response(
            status=kept.status, body=kept.body, headers={**kept.headers, "Idempotency-Replayed": "true"}
        )
    request[CREATION_ID] = key
    try:
        response = _respond(operation, serialiser, await operation.handler(request, **arguments))
    except RequestInProgress:
        raise
    except BaseException:
        await store.forget(key)
        raise
    if isinstance(response, web.Response) and isinstance(response.body, bytes | None):
        headers = {"Content-Type": response.headers["Content-Type"]} if response.body else {}
        headers |= {name: response.headers[name] for name in ("ETag", "Location") if name in response.headers}
        await store.keep(key, KeptAnswer(response.status, headers, response.body or b""))
    return response
