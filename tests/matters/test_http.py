"""The catalogue as a citizen's client reads it: no login, real HTTP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDict

from backend.composition import Services
from backend.domain.access import SYSTEM
from backend.domain.catalogue import MatterDraft
from backend.domain.matters import Audience, LimitUnit, MatterState, TaskType, TimeLimit
from handlers.guide_cache import EncodedGuide, GuideCache

DraftMaker = Callable[..., MatterDraft]


@dataclass
class Revisions:
    revision: int


def kept(body: bytes) -> EncodedGuide:
    return EncodedGuide('"t"', body, CIMultiDict())


async def publish(services: Services, *drafts: MatterDraft) -> None:
    await services.matters.publish(SYSTEM, drafts)
    await services.organisation.seed(SYSTEM)
    await services.matters.refresh()


async def get(http: aiohttp.ClientSession, path: str, *, status: int = 200, **params: Any) -> Any:
    async with http.get(path, params=params) as response:
        assert response.status == status, await response.text()
        return await response.json()


async def test_the_full_guide(services: Services, http: aiohttp.ClientSession, draft: DraftMaker) -> None:
    limit = TimeLimit(20, LimitUnit.WORKING_DAY, text="20(工作日)")
    one = draft(1, name="居住证办理", promised_limit=limit, everyday_names=("暂住证",))
    await publish(services, one)
    body = await get(http, f"/api/matters/{one.id}")
    assert (body["code"], body["version"], body["state"]) == (one.code, 1, "active")
    assert body["guide"]["everyday_names"] == ["暂住证"]
    assert body["guide"]["promised_limit"]["text"] == "20个工作日"
    assert body["guide"]["materials"][0]["name"] == "申请表"
    assert body["published_at"].endswith("+08:00")
    assert await get(http, f"/api/matters/by-code/{one.code}") == body


async def test_a_guide_that_has_not_changed_is_not_sent_again(
    services: Services, http: aiohttp.ClientSession, draft: DraftMaker
) -> None:
    one = draft(1)
    await publish(services, one)
    first = await http.get(f"/api/matters/{one.id}")
    tag = first.headers["ETag"]
    again = await http.get(f"/api/matters/{one.id}", headers={"If-None-Match": f'"x", W/{tag}'})
    assert (again.status, await again.read(), again.headers["ETag"]) == (304, b"", tag)
    await publish(services, draft(1, summary="新的说明"))
    changed = await http.get(f"/api/matters/{one.id}", headers={"If-None-Match": tag})
    assert changed.status == 200
    assert (await changed.json())["guide"]["summary"] == "新的说明"


async def test_a_pinned_version_reads_after_a_change(
    services: Services, http: aiohttp.ClientSession, draft: DraftMaker
) -> None:
    one = draft(1, summary="一")
    await publish(services, one)
    await publish(services, draft(1, summary="二"))
    assert (await get(http, f"/api/matters/{one.id}"))["version"] == 2
    assert (await get(http, f"/api/matters/{one.id}", version=1))["guide"]["summary"] == "一"
    await get(http, f"/api/matters/{one.id}", status=404, version=3)


@pytest.mark.parametrize(
    "path",
    [
        "/api/matters/01919c6e-7f2b-7c3a-9a51-2f6d1c0b7e11",
        "/api/matters/nonsense",
        "/api/matters/by-code/11440106007499999X4442011099999",
        "/api/matters/by-code/%00",
        "/api/guide-files/none.html",
        "/api/guide-files/..%2fsecret",
    ],
)
async def test_what_is_not_there_is_not_found(http: aiohttp.ClientSession, path: str) -> None:
    async with http.get(path) as response:
        assert response.status == 404
        assert response.content_type == "application/problem+json"


async def test_browsing_by_department_theme_audience_and_type(
    services: Services, http: aiohttp.ClientSession, draft: DraftMaker
) -> None:
    a = draft(1, themes=("婚育",), audiences=(Audience.PERSON,))
    b = draft(2, themes=("养老",), audiences=(Audience.ENTERPRISE,), task_type=TaskType.LICENSING)
    await publish(services, a, b)
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({"theme": "婚育"}, ["事项1"]),
        ({"audience": "enterprise"}, ["事项2"]),
        ({"task_type": "licensing"}, ["事项2"]),
        ({"department": a.department_id}, ["事项1", "事项2"]),
        ({"area_code": "4401"}, ["事项1", "事项2"]),
        ({"area_code": "4402"}, []),
    ]
    for params, expected in cases:
        page = await get(http, "/api/matters", **params)
        assert [item["name"] for item in page["items"]] == expected, params
    assert await get(http, "/api/themes") == {"items": [{"name": "养老", "matters": 1}, {"name": "婚育", "matters": 1}]}


async def test_paging_shows_every_matter_once(
    services: Services, http: aiohttp.ClientSession, draft: DraftMaker
) -> None:
    await publish(services, *(draft(n) for n in range(1, 8)))
    page = await get(http, "/api/matters", limit="2")
    names = [item["name"] for item in page["items"]]
    for _ in range(3):
        page = await get(http, "/api/matters", limit="2", cursor=page["next_cursor"])
        names += [item["name"] for item in page["items"]]
    assert names == [f"事项{n}" for n in range(1, 8)]
    assert page["next_cursor"] is None
    await get(http, "/api/matters", status=422, cursor="broken")


async def test_search_by_name_everyday_name_pinyin_and_initials(
    services: Services, http: aiohttp.ClientSession, draft: DraftMaker
) -> None:
    await publish(
        services,
        draft(1, name="居住证办理", everyday_names=("暂住证",)),
        draft(2, name="养老机构备案"),
        draft(3, name="老年人优待证核发"),
    )
    for query in ("居住证", "暂住证", "juzhuzheng", "jzz", "居住z", "jz证", "JuZhuZheng", "zzz"):
        found = await get(http, "/api/matters/search", q=query)
        assert found["items"][0]["matter"]["name"] == "居住证办理", query
    assert await get(http, "/api/matters/search", q="") == {"items": [], "total": 0}
    assert await get(http, "/api/matters/search", q="qqq") == {"items": [], "total": 0}
    only = await get(http, "/api/matters/search", q="证", theme="没有的主题")
    assert only == {"items": [], "total": 0}
    await get(http, "/api/matters/search", status=422)
    await get(http, "/api/matters/search", status=422, q="\x00")


async def test_a_withdrawn_matter_is_found_no_more_but_still_reads(
    services: Services, http: aiohttp.ClientSession, draft: DraftMaker
) -> None:
    one = draft(1, name="居住证办理")
    await publish(services, one)
    await publish(services, replace(one, state=MatterState.CANCELLED))
    assert (await get(http, "/api/matters/search", q="居住证"))["total"] == 0
    assert (await get(http, "/api/matters"))["items"] == []
    assert (await get(http, f"/api/matters/{one.id}"))["state"] == "cancelled"


async def test_departments_are_listed_with_their_matters(
    services: Services, http: aiohttp.ClientSession, draft: DraftMaker
) -> None:
    from backend.services.matter_import import organisation_of

    drafts = [draft(1), draft(2)]
    departments, posts, rules = organisation_of(drafts)
    await services.organisation.seed(SYSTEM, departments=departments, posts=posts, responsibilities=rules)
    await publish(services, *drafts)
    [card] = (await get(http, "/api/departments"))["items"]
    assert (card["name"], card["matters"]) == ("区民政局", 2)


async def test_a_form_is_sent_so_that_it_can_do_nothing(services: Services, http: aiohttp.ClientSession) -> None:
    await services.matters.put_guide_files(SYSTEM, {"表格.html": "<h1>表</h1>".encode()})
    async with http.get("/api/guide-files/表格.html") as response:
        assert (response.status, response.content_type) == (200, "text/html")
        assert "sandbox" in response.headers["Content-Security-Policy"]
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        tag = response.headers["ETag"]
        assert await response.text() == "<h1>表</h1>"
    async with http.get("/api/guide-files/表格.html", headers={"If-None-Match": tag}) as response:
        assert response.status == 304


async def test_replacing_a_form_replaces_it(services: Services, http: aiohttp.ClientSession) -> None:
    assert await services.matters.put_guide_files(SYSTEM, {"a.html": b"1"}) == 1
    assert await services.matters.put_guide_files(SYSTEM, {"a.html": b"1"}) == 0
    assert await services.matters.put_guide_files(SYSTEM, {"a.html": b"2"}) == 1
    async with http.get("/api/guide-files/a.html") as response:
        assert await response.read() == b"2"


async def test_a_kept_guide_is_the_same_answer(
    services: Services, http: aiohttp.ClientSession, draft: DraftMaker
) -> None:
    one = draft(1)
    await publish(services, one)
    sent = "01919c6e-7f2b-7c3a-9a51-2f6d1c0b7e11"
    answers = []
    for _ in range(2):
        async with http.get(f"/api/matters/{one.id}", headers={"X-Request-ID": sent}) as response:
            headers = {name.lower(): value for name, value in response.headers.items() if name != "Date"}
            answers.append((response.status, headers, await response.read()))
    assert answers[0] == answers[1]
    assert answers[0][1]["x-request-id"] == sent
    assert answers[0][1]["x-frame-options"] == "DENY"
    tag = answers[0][1]["etag"]
    async with http.get(f"/api/matters/{one.id}", headers={"If-None-Match": tag}) as response:
        assert (response.status, await response.read()) == (304, b"")
    async with http.get(f"/api/matters/{one.id}?version=1&x=1") as response:
        assert (response.status, response.headers.get("ETag")) == (200, tag), await response.text()


def test_the_cache_stays_within_its_bytes() -> None:
    catalogue = Revisions(1)
    cache = GuideCache(catalogue, max_bytes=250)
    for name in "abc":
        cache.put(name, kept(b"x" * 100), 1)
    assert [cache.get(name) is not None for name in "abc"] == [False, True, True]
    catalogue.revision = 2
    assert cache.get("c") is None
    cache.put("c", kept(b"late"), 1)
    assert cache.get("c") is None
