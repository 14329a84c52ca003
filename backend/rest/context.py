"""What a request carries with it."""

from __future__ import annotations

import asyncio
import ipaddress
import re

from aiohttp import web

from backend.domain.access import Actor

ACTOR = web.RequestKey("actor", Actor)
REQUEST_ID = web.RequestKey("request_id", str)
OPERATION = web.RequestKey("operation", str)
#: A stable id derived from (actor, path, Idempotency-Key), for what the request creates; absent without a key.
CREATION_ID = web.RequestKey("creation_id", str)

DRAINING = web.AppKey("draining", asyncio.Event)
"""Set when this node is about to stop."""
TRUSTED_PROXIES = web.AppKey("trusted_proxies", int)
PUBLIC_ORIGIN = web.AppKey("public_origin", str)


def client_address(request: web.Request) -> str:
    """The address a request came from, behind as many proxies as the settings trust, to count it by.

    Of IPv6 the network of 64 bits: one household has so many addresses that counting each would count nothing.
    """
    hops = request.config_dict.get(TRUSTED_PROXIES, 0)
    # all lines of it: a proxy may append its own line after one that the client made up
    lines = ",".join(request.headers.getall("X-Forwarded-For", []))
    forwarded = [part.strip() for part in lines.split(",") if part.strip()]
    candidate = forwarded[-hops] if 0 < hops <= len(forwarded) else (request.remote or "")
    try:
        address = ipaddress.ip_address(candidate)
    except ValueError:
        return request.remote or "unknown"
    if address.version == 4:
        return str(address)
    return str(address.ipv4_mapped or ipaddress.ip_network((int(address) >> 64 << 64, 64)))


def is_secure(request: web.Request) -> bool:
    """Whether the client speaks https, directly or through the configured public address."""
    return request.config_dict.get(PUBLIC_ORIGIN, "").startswith("https://") or request.secure


#: A host as a Host header may name it, with or without a port. What else stands there is not repeated anywhere.
_HOST = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


def public_origin(request: web.Request) -> str:
    """The origin under which the product is open: the configured one, else the one of this request."""
    configured = request.config_dict.get(PUBLIC_ORIGIN, "")
    if configured:
        return configured
    host = request.host if _HOST.fullmatch(request.host) else "localhost"
    return f"{request.scheme}://{host}"
