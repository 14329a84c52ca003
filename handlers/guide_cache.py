"""Guides as they are sent, kept in the process, and the short way by which they leave it.

Nearly all reading is reading the same few hundred guides, and encoding one costs many times what sending it
does. `from_memory` stands before everything else a request goes through: what it answers is public, so there
is nobody to authenticate, and it is counted in the metrics but not logged.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler
from multidict import CIMultiDict

from backend.domain.ids import is_uuid, new_id
from backend.domain.matters import Matter
from backend.rest.http_counts import HTTP_COUNTS
from handlers.matter_views import MatterView

#: Encoded guides are kept up to this many bytes in a process.
CACHE_BYTES = 64 * 1024 * 1024
#: May be kept, but must be asked about: a guide can change at any time.
FRESH = "no-cache"

_ROUTE = "/api/matters/{matter_id}"  # the pattern of the long way


class Revised(Protocol):
    """Knows which publication of the catalogue this node has taken over."""

    @property
    def revision(self) -> int: ...


@dataclass(frozen=True, slots=True)
class EncodedGuide:
    """An answer, ready to be sent."""

    etag: str
    body: bytes
    headers: CIMultiDict[str]


class GuideCache:
    """Encoded guides of one catalogue revision by their paths, the longest unused dropped first.

    Everything is dropped when this node takes over another revision; what was read before a revision
    is never kept under the next one.
    """

    def __init__(self, catalogue: Revised, max_bytes: int = CACHE_BYTES) -> None:
        self._catalogue = catalogue
        self._max_bytes = max_bytes
        self._revision = catalogue.revision
        self._bytes = 0
        self._guides: OrderedDict[str, EncodedGuide] = OrderedDict()

    def get(self, path: str) -> EncodedGuide | None:
        """The answer kept for `path` (with its query string), if it holds now."""
        if self._catalogue.revision != self._revision:
            self._guides.clear()
            self._bytes, self._revision = 0, self._catalogue.revision
            return None
        found = self._guides.get(path)
        if found is not None:
            self._guides.move_to_end(path)
        return found

    def put(self, path: str, guide: EncodedGuide, revision: int) -> None:
        """Keep an answer whose reading began while the catalogue was at `revision`."""
        if revision != self._revision or revision != self._catalogue.revision or path in self._guides:
            return
        self._guides[path] = guide
        self._bytes += len(guide.body)
        while self._bytes > self._max_bytes:
            _, dropped = self._guides.popitem(last=False)
            self._bytes -= len(dropped.body)


GUIDE_CACHE = web.AppKey("guide_cache", GuideCache)


def path_of(matter_id: str, version: int | None) -> str:
    """The one spelling under which an answer is kept; others take the long way."""
    return f"/api/matters/{matter_id}" + (f"?version={version}" if version is not None else "")


def encode(matter: Matter) -> EncodedGuide:
    """The full guide as it is sent, and its entity tag."""
    body = orjson.dumps(MatterView.of(matter).model_dump(mode="json"))
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": FRESH, "Content-Type": "application/json; charset=utf-8"}
    return EncodedGuide(etag, body, CIMultiDict(headers))


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether an If-None-Match header names `etag` (weak comparison, RFC 9110 13.1.2)."""
    if if_none_match is None:
        return False
    if if_none_match.strip() == "*":
        return True
    return any(tag.strip().removeprefix("W/") == etag for tag in if_none_match.split(","))


def answer(request: web.Request, guide: EncodedGuide) -> web.Response:
    """The guide, or that the client has it already."""
    if matches(request.headers.get("If-None-Match"), guide.etag):
        return web.Response(status=304, headers={"ETag": guide.etag, "Cache-Control": FRESH})
    return web.Response(body=guide.body, headers=guide.headers.copy())


@web.middleware
async def from_memory(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a guide that is kept; hand everything else on."""
    if request.method != "GET" or (guide := request.app[GUIDE_CACHE].get(request.raw_path)) is None:
        return await handler(request)
    started = time.perf_counter()
    response = answer(request, guide)
    sent = request.headers.get("X-Request-ID")
    response.headers["X-Request-ID"] = sent.lower() if sent is not None and is_uuid(sent.lower()) else new_id()
    request.app[HTTP_COUNTS].answer(_ROUTE, "GET", response.status, time.perf_counter() - started)
    return response
