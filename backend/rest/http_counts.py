"""HTTP requests, counted by the route's pattern: never by the path, which anybody can make up."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web
from prometheus_client.core import Metric

from backend.measures import Histogram
from backend.rest.exposition import counter, gauge, histogram

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BOUNDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 5)
#: Counted and logged when the client went away before the answer.
GONE = 499


class HttpCounts:
    """What one process was asked over HTTP."""

    def __init__(self) -> None:
        self.answered: dict[tuple[str, str, str], int] = {}
        self.seconds: dict[str, Histogram] = {}
        self.in_flight = 0

    def answer(self, route: str, method: str, status: int, seconds: float) -> None:
        """`route` is a pattern; the time of what became a socket (101) is the socket's life and not counted."""
        key = (route, method if method in _METHODS else "other", "gone" if status == GONE else f"{status // 100}xx")
        self.answered[key] = self.answered.get(key, 0) + 1
        if status != 101:
            found = self.seconds.get(route)
            if found is None:
                found = self.seconds[route] = Histogram(_BOUNDS)
            found.add(seconds)

    def metrics(self) -> Iterable[Metric]:
        yield counter(
            "banshi_http_requests",
            "Requests answered, by route pattern, method and class of status; `gone`: the client went before the"
            " answer. 5xx growing: read the log by request_id; 503 alone means that MongoDB is away.",
            {key: float(number) for key, number in self.answered.items()},
            ["route", "method", "status"],
        )
        yield histogram(
            "banshi_http_request_seconds",
            "Time to answer a request. One route slow: look at its queries; all routes slow: look at"
            " banshi_loop_lag_seconds and MongoDB.",
            {(route,): seconds for route, seconds in self.seconds.items()},
            ["route"],
        )
        yield gauge(
            "banshi_http_requests_in_flight",
            "Requests being answered now, sockets not counted. Growing: something behind the node is slow or away.",
            self.in_flight,
        )


HTTP_COUNTS = web.AppKey("http_counts", HttpCounts)


def route_of(request: web.Request) -> str:
    """The pattern of the route a request goes to; "-" when there is none."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "-"


def is_socket(request: web.Request) -> bool:
    """Whether the client asks for a WebSocket, which lasts."""
    return request.headers.get("Upgrade", "").lower() == "websocket"
