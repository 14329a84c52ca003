"""Files of one folder over HTTP: found safely, typed rightly, kept by caches as long as their names allow."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiohttp import web

#: Names below it hold a hash of the content: they never change.
HASHED = "assets/"
FOREVER = "public, max-age=31536000, immutable"
ASK_FIRST = "no-cache"

#: By suffix, since a machine's own table of types may lack any of them.
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".map": "application/json; charset=utf-8",
    ".webmanifest": "application/manifest+json; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".ico": "image/x-icon",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".ttf": "font/ttf",
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
    ".wav": "audio/wav",
    ".wasm": "application/wasm",
}
#: Twins that the build compressed: sent in the file's stead, never by their own names.
_COMPRESSED = frozenset({".br", ".gz"})


class StaticTree:
    """The files below `root`, which need not exist yet: a client may be built while the server runs."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def find(self, path: str) -> Path | None:
        """The regular file at `path` (decoded, with `/` between names); None for everything that is not one.

        Names that begin with a dot, compressed twins and links that lead out of the folder are not there.
        """
        return await asyncio.to_thread(self._find, path)

    def _find(self, path: str) -> Path | None:
        names = path.split("/")
        if any(not name or name.startswith(".") or "\\" in name or "\0" in name for name in names):
            return None
        wanted = self._root.joinpath(*names)
        if wanted.suffix in _COMPRESSED:
            return None
        try:
            true = wanted.resolve(strict=True)
            inside = true.is_relative_to(self._root.resolve(strict=True))
        except (OSError, RuntimeError):  # absent, a loop of links, a name too long
            return None
        return true if inside and true.is_file() else None


def file_response(file: Path, *, immutable: bool, policy: str) -> web.FileResponse:
    """`file`, or its compressed twin where the client takes one; 304 for who has it."""
    return web.FileResponse(
        file,
        headers={
            "Content-Type": _TYPES.get(file.suffix.lower(), "application/octet-stream"),
            "Cache-Control": FOREVER if immutable else ASK_FIRST,
            "Content-Security-Policy": policy,
            "Vary": "Accept-Encoding",
        },
    )
