"""What is no API: the first page, and the two built clients under `/desk/` and `/m/`.

These are pages for browsers, mounted on the root application beside the API: they have no operations, no
actor and no place in the OpenAPI document.
"""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from backend.rest.context import public_origin
from handlers import first_page
from handlers.page_policy import page_policy
from handlers.static_tree import HASHED, StaticTree, file_response

_NOT_BUILT = """<!doctype html>
<html lang="zh-CN"><head><meta charset="utf-8"><title>{title} · 尚未构建</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="{style}"></head>
<body><main class="notice">
<h1>{title}还没有构建</h1>
<p>服务正常，只是网页文件还没有生成。请在项目目录运行
<code>make web</code>，或者用 <code>make run</code> 重新启动（它会自动构建），然后刷新本页。</p>
<p lang="en">The server is fine; the files of this page have not been built. Run <code>make web</code> in the checkout,
or start with <code>make run</code>, which builds them, and reload.</p>
<p><a href="/">返回首页 <span lang="en">Home</span></a></p>
</main></body></html>
"""


def mount(app: web.Application, web_folder: Path) -> None:
    """Serve the first page and the clients built below `web_folder`. `first_page.FACTS` must be set by then."""
    first_page.mount(app)
    _mount_client(app, "/desk", StaticTree(web_folder / "desk" / "dist"), title="工作台", own_addresses=True)
    _mount_client(
        app, "/m", StaticTree(web_folder / "citizen" / "dist" / "build" / "h5"), title="手机端", own_addresses=False
    )


def _mount_client(app: web.Application, base: str, tree: StaticTree, *, title: str, own_addresses: bool) -> None:
    """Serve one client. With `own_addresses` its router uses paths: those answer its page too."""

    async def serve(request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        file = await tree.find(path) if path else None
        if file is not None:
            immutable = path.startswith(HASHED)
            return file_response(file, immutable=immutable, policy=page_policy(public_origin(request)))
        if path and not (own_addresses and _is_address(path)):
            raise web.HTTPNotFound
        page = await tree.find("index.html")
        if page is None:
            text = _NOT_BUILT.format(title=title, style=first_page.style_address())
            return web.Response(
                text=text,
                status=503,
                content_type="text/html",
                headers={"Content-Security-Policy": page_policy(public_origin(request)), "Cache-Control": "no-store"},
            )
        return file_response(page, immutable=False, policy=page_policy(public_origin(request)))

    async def moved(request: web.Request) -> web.Response:
        query = f"?{request.rel_url.raw_query_string}" if request.rel_url.raw_query_string else ""
        raise web.HTTPPermanentRedirect(f"{base}/{query}")

    app.router.add_get(base, moved)
    app.router.add_get(f"{base}/{{path:.*}}", serve)


def _is_address(path: str) -> bool:
    """Whether `path` may be one that a client's router knows: no file's name, nothing hidden."""
    if path.startswith(HASHED):
        return False
    return not any(name.startswith(".") for name in path.split("/")) and "." not in path.rsplit("/", 1)[-1]
