"""The fake phone: a page to log in with, to scan and to read messages on."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import zxingcpp
from aiohttp import web
from PIL import Image

from backend.wechat_standin.asking import Refused, answer

MAX_PICTURE = 16 * 1024 * 1024  # bytes
_MAX_PIXELS = 50_000_000
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
_QR_CODES = zxingcpp.BarcodeFormats([zxingcpp.BarcodeFormat.QRCode])
_FOLDER = Path(__file__).parent / "pages"
_TYPES = {
    "phone.css": "text/css",
    "phone.js": "text/javascript",
    "views.js": "text/javascript",
    "wires.js": "text/javascript",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob: data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_HEADERS = {
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def routes() -> list[web.RouteDef]:
    """The page, its files, and its scanner."""
    return [
        web.get("/phone", _page),
        web.get("/phone/{name}", _file),
        web.post("/standin/scan", _scan),
    ]


async def _page(request: web.Request) -> web.FileResponse:
    headers = _HEADERS | {"Content-Security-Policy": _POLICY, "Content-Type": "text/html; charset=utf-8"}
    return web.FileResponse(_FOLDER / "phone.html", headers=headers)


async def _file(request: web.Request) -> web.FileResponse:
    name = request.match_info["name"]
    if name not in _TYPES:
        raise web.HTTPNotFound
    return web.FileResponse(_FOLDER / name, headers=_HEADERS | {"Content-Type": f"{_TYPES[name]}; charset=utf-8"})


async def _scan(request: web.Request) -> web.Response:
    """The texts of the QR codes in the picture that is sent as the body; none is no error."""
    picture = await request.read()
    return answer({"texts": await asyncio.to_thread(read_qr_codes, picture)})


def read_qr_codes(picture: bytes) -> list[str]:
    """The texts of the QR codes in a picture. Raises `Refused` for what is no picture."""
    try:
        with Image.open(io.BytesIO(picture), formats=_FORMATS) as image:
            if image.width * image.height > _MAX_PIXELS:
                raise Refused("picture: too large")
            upright = image.convert("RGBA")
    except Refused:
        raise
    except Exception as error:
        raise Refused("picture: PNG, JPEG, WebP, GIF or BMP is expected") from error
    on_white = Image.new("L", upright.size, 255)  # a code drawn on nothing is meant to lie on paper
    on_white.paste(upright.convert("L"), mask=upright.getchannel("A"))
    return [found.text for found in zxingcpp.read_barcodes(on_white, formats=_QR_CODES)]
