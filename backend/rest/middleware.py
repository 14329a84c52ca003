"""Around every request: its id, its log line, its metrics, its errors, its security headers."""

from __future__ import annotations

import asyncio
import time

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from backend.domain.errors import DomainError, Unavailable
from backend.domain.ids import is_uuid, new_id
from backend.rest.context import DRAINING, OPERATION, REQUEST_ID
from backend.rest.http_counts import GONE, HTTP_COUNTS, is_socket, route_of
from backend.rest.problems import http_problem, problem_of, problem_response
from backend.storage.failures import is_storage_failure

log = structlog.get_logger()

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(self), microphone=()",
}


async def add_security_headers(_: web.Request, response: web.StreamResponse) -> None:
    """On every response; a handler that needs another policy sets its own first."""
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)


@web.middleware
async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Request id, log line and metrics. A client's own UUID in X-Request-ID is kept."""
    sent = request.headers.get("X-Request-ID", "").lower()
    request_id = sent if is_uuid(sent) else new_id()
    request[REQUEST_ID] = request_id
    started = time.perf_counter()
    status = 500
    counts, lasts = request.app[HTTP_COUNTS], is_socket(request)
    counts.in_flight += not lasts
    try:
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            response = await _translated(request, handler, request_id)
            status = response.status
            if not response.prepared:
                response.headers["X-Request-ID"] = request_id
                draining = request.config_dict.get(DRAINING)
                if draining is not None and draining.is_set():
                    response.force_close()  # so that no balancer keeps a connection to a node that goes
            return response
    except asyncio.CancelledError:
        status = GONE
        raise
    finally:
        counts.in_flight -= not lasts
        took = time.perf_counter() - started
        operation = request.get(OPERATION, "-")
        counts.answer(route_of(request), request.method, 101 if lasts and status == GONE else status, took)
        if operation != "-" or status >= 400:
            # the route's pattern, never the path: a path may hold what belongs in no log
            log.info(
                "request",
                request_id=request_id,
                method=request.method,
                operation=operation,
                status=status,
                ms=round(took * 1000, 1),
            )


def _is_gone(request: web.Request) -> bool:
    """Whether the client has gone away: what was lost may be another connection than the client's."""
    return request.transport is None or request.transport.is_closing()


async def _translated(request: web.Request, handler: Handler, request_id: str) -> web.StreamResponse:
    try:
        return await handler(request)
    except DomainError as error:
        return problem_response(problem_of(error, request_id))
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return http_problem(error, request_id)
    except Exception as error:
        if isinstance(error, ConnectionResetError) and _is_gone(request):
            return web.Response(status=GONE)  # read by nobody: a phone lost its network, which is no error of ours
        if is_storage_failure(error):
            log.warning("storage_unavailable", request_id=request_id, error=type(error).__name__)
            unavailable = problem_of(Unavailable(), request_id)
            return problem_response(unavailable.model_copy(update={"retry_after": 2}))
        log.exception("unhandled_error", request_id=request_id)
        return problem_response(problem_of(DomainError("系统出错了，我们已记录。请稍后再试。"), request_id))
