"""What a page of ours may load, run and be shown in."""

from __future__ import annotations

import re

_PLAIN = re.compile(r"https?://[A-Za-z0-9.-]+(?::[0-9]+)?")


def page_policy(origin: str) -> str:
    """The Content-Security-Policy of a page that is open under `origin`. Nothing inline, nothing evaluated.

    Safari before 15.4 does not count a WebSocket of the same host as `'self'`, so it is named. An address
    that the policy's grammar has no words for (IPv6) is left to `'self'`.
    """
    sockets = f" ws{origin.removeprefix('http')}" if _PLAIN.fullmatch(origin) else ""
    return (
        "default-src 'self'; "
        "img-src 'self' blob: data:; "
        f"connect-src 'self'{sockets}; "
        "style-src 'self'; "
        "script-src 'self'; "
        "worker-src 'self'; "
        "manifest-src 'self'; "
        "frame-ancestors 'none'; "
        "base-uri 'none'; "
        "form-action 'self'"
    )
