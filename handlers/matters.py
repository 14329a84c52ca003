"""The catalogue: browse, search, read guides and their forms. Public."""

from __future__ import annotations

import hashlib
from typing import Annotated
from urllib.parse import quote

from aiohttp import web
from pydantic import Field, StringConstraints

from backend import keys
from backend.domain.access import ANONYMOUS
from backend.domain.matters import Audience, TaskType
from backend.rest.context import public_origin
from backend.rest.operations import Routes
from backend.rest.views import Id, Line, Page, PageQuery, Query, id_cursor, page_of
from backend.services.guide_files import MEDIA_TYPES
from backend.services.search import SearchFilters
from backend.storage.matters import BrowseFilters
from handlers.guide_cache import FRESH, GUIDE_CACHE, answer, encode, matches, path_of
from handlers.matter_views import (
    DepartmentCard,
    MatterHit,
    MatterSummary,
    MatterView,
    SearchResult,
    ThemeList,
    ThemeView,
)
from handlers.qr_codes import draw, guide_address

routes = Routes("matters")

#: A form is a document of an editor: it may look as it likes and do nothing. Not for PDF, beside this, `sandbox`:
#: browsers leave the page of a sandboxed PDF empty.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

MatterCode = Annotated[str, StringConstraints(pattern=r"^[0-9A-Z]{18}[0-9]{13}([0-9]{2})?$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[\w.()（）-]{1,120}$")]
AreaPrefix = Annotated[str, StringConstraints(pattern=r"^[0-9]{2,12}$")]
Theme = Annotated[str, StringConstraints(min_length=1, max_length=60, pattern=r"^[^\x00-\x1f\x7f]*$")]


class CatalogueQuery(PageQuery):
    """浏览条件，可以同时使用。"""

    department: Id | None = Field(default=None, description="部门编号")
    theme: Theme | None = Field(default=None, description="主题")
    audience: Audience | None = Field(default=None, description="服务对象")
    task_type: TaskType | None = Field(default=None, description="事项类型")
    area_code: AreaPrefix | None = Field(default=None, description="行政区划代码或其前几位")


class SearchQuery(Query):
    """搜索词可以是汉字、拼音（juzhuzheng）、首字母（jzz）或混合。"""

    q: Line = Field(description="搜索词")
    limit: int = Field(default=20, ge=1, le=50)
    offset: int = Field(default=0, ge=0, le=100)
    department: Id | None = Field(default=None, description="部门编号")
    theme: Theme | None = Field(default=None, description="主题")
    audience: Audience | None = Field(default=None, description="服务对象")
    task_type: TaskType | None = Field(default=None, description="事项类型")
    area_code: AreaPrefix | None = Field(default=None, description="行政区划代码或其前几位")


class VersionQuery(Query):
    """不写 `version` 就是现行版本。"""

    version: int | None = Field(default=None, ge=1, le=1_000_000, description="版本号")


@routes.get("/matters", public=True)
async def list_matters(request: web.Request, query: CatalogueQuery) -> Page[MatterSummary]:
    """浏览事项，可按部门、主题、服务对象、事项类型和区划筛选。"""
    filters = BrowseFilters(
        department_id=query.department,
        theme=query.theme,
        audience=query.audience,
        task_type=query.task_type,
        area_code=query.area_code,
    )
    found = await request.config_dict[keys.MATTERS].browse(
        ANONYMOUS, filters, after=id_cursor(query.cursor), limit=query.limit + 1
    )
    return page_of(found, query.limit, MatterSummary.of, lambda matter: (matter.code,))


@routes.get("/matters/search", public=True, rate=300)
async def search_matters(request: web.Request, query: SearchQuery) -> SearchResult:
    """搜索事项：名称、简称、日常用语、部门，支持拼音和首字母。"""
    filters = SearchFilters(
        department_id=query.department,
        theme=query.theme,
        audience=query.audience,
        task_type=query.task_type,
        area_code=query.area_code,
    )
    page, known = await request.config_dict[keys.MATTERS].search(
        ANONYMOUS, query.q, limit=query.limit, offset=query.offset, filters=filters
    )
    return SearchResult(
        items=[
            MatterHit(matter=MatterSummary.of(known[hit.entry.id]), score=hit.score)
            for hit in page.hits
            if hit.entry.id in known
        ],
        total=page.total,
    )


@routes.get("/matters/by-code/{code}", public=True, statuses=(304,), headers=("If-None-Match",))
async def get_matter_by_code(request: web.Request, code: MatterCode) -> MatterView:
    """按实施编码（31 位）或业务办理项编码（33 位）查看办事指南。"""
    matter = await request.config_dict[keys.MATTERS].by_code(ANONYMOUS, code)
    return answer(request, encode(matter))  # type: ignore[return-value]  # encoded already


@routes.get("/matters/{matter_id}", public=True, statuses=(304,), headers=("If-None-Match",))
async def get_matter(request: web.Request, matter_id: Id, query: VersionQuery) -> MatterView:
    """查看办事指南全文，可指定版本。"""
    cache, matters = request.config_dict[GUIDE_CACHE], request.config_dict[keys.MATTERS]
    key, revision = path_of(matter_id, query.version), matters.revision
    guide = cache.get(key)
    if guide is None:
        guide = encode(await matters.guide(ANONYMOUS, matter_id, query.version))
        cache.put(key, guide, revision)
    return answer(request, guide)  # type: ignore[return-value]  # encoded already


@routes.get(
    "/matters/{matter_id}/qr-code",
    public=True,
    produces=("image/svg+xml",),
    statuses=(304,),
    headers=("If-None-Match",),
)
async def get_matter_qr_code(request: web.Request, matter_id: Id) -> web.Response:
    """办事指南的二维码（SVG）：扫码后在手机上打开指南，可以印在窗口和宣传单上。"""
    matter = await request.config_dict[keys.MATTERS].guide(ANONYMOUS, matter_id)
    picture = draw(guide_address(public_origin(request), matter.id))
    etag = f'"{hashlib.sha256(picture).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "public, max-age=3600"}
    if matches(request.headers.get("If-None-Match"), etag):
        return web.Response(status=304, headers=headers)
    return web.Response(body=picture, content_type="image/svg+xml", headers=headers)


@routes.get("/departments", public=True)
async def browse_departments(request: web.Request, query: PageQuery) -> Page[DepartmentCard]:
    """部门列表。"""
    found = await request.config_dict[keys.MATTERS].departments(
        ANONYMOUS, after=id_cursor(query.cursor), limit=query.limit + 1
    )
    return page_of(found, query.limit, DepartmentCard.of, lambda entry: (entry.department.id,))


@routes.get("/themes", public=True)
async def list_themes(request: web.Request) -> ThemeList:
    """主题列表。"""
    counts = await request.config_dict[keys.MATTERS].themes(ANONYMOUS)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ThemeList(items=[ThemeView(name=name, matters=count) for name, count in ordered])


@routes.get(
    "/guide-files/{name}",
    public=True,
    produces=(*MEDIA_TYPES.values(), "application/octet-stream"),
    statuses=(304,),
    headers=("If-None-Match",),
)
async def get_guide_file(request: web.Request, name: FileName) -> web.Response:
    """下载空白表格或填写样例。"""
    file = await request.config_dict[keys.MATTERS].guide_file(ANONYMOUS, name)
    etag = f'"{file.digest[:32]}"'
    headers = {
        "ETag": etag,
        "Cache-Control": FRESH,
        "Content-Security-Policy": _POLICY if file.media_type == MEDIA_TYPES["pdf"] else f"{_POLICY}; sandbox",
        "Content-Disposition": f"inline; filename*=UTF-8''{quote(name)}",
    }
    if matches(request.headers.get("If-None-Match"), etag):
        return web.Response(status=304, headers=headers)
    text = file.media_type.startswith("text/")
    headers["Content-Type"] = file.media_type + ("; charset=utf-8" if text else "")
    return web.Response(body=file.content, headers=headers)
