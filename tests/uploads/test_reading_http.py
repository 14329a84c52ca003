"""Reading materials back: who may, parts of a file, what did not change."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from backend.domain.ids import new_id
from tests.callers import Caller
from tests.uploads.conftest import Citizen, raw
from tests.uploads.samples import encoded, scene

OTHER = encoded(scene(480, 640))


async def test_strangers_find_nothing(citizen: Citizen, stranger: Citizen, http: aiohttp.ClientSession) -> None:
    _, page = await citizen.upload()
    base = f"/api/cases/{citizen.case_id}/materials"
    attempts = {
        "read": await stranger.caller.get(page["url"]),
        "thumbnail": await stranger.caller.get(page["thumbnail_url"]),
        "list": await stranger.caller.get(base),
        "upload": await Citizen(stranger.caller, citizen.case_id).upload(),
        "replace": await Citizen(stranger.caller, citizen.case_id).replace(page["id"], OTHER),
        "order": await stranger.caller.put(f"{base}/id-card/order", {"page_ids": [page["id"]]}),
        "delete": await stranger.caller.delete(f"{base}/id-card/pages/{page['id']}"),
        "nothing": await stranger.caller.get(f"/api/materials/{new_id()}"),
    }

    assert {name: status for name, (status, _) in attempts.items()} == dict.fromkeys(attempts, 404)
    assert {problem["code"] for _, problem in attempts.values()} == {"not-found"}
    assert (await Caller(http).get(page["url"]))[0] == 401
    assert await citizen.pages() == [page["id"]]


async def test_the_clerk_responsible_reads_what_was_handed_in_and_no_draft(citizen: Citizen, clerk: Caller) -> None:
    _, page = await citizen.upload()
    await citizen.upload(key="contract")
    assert (await clerk.get(page["url"]))[0] == 404
    assert (await Citizen(clerk, citizen.case_id).upload())[0] == 403

    await citizen.submit()

    assert (await clerk.get(page["url"]))[0] == 200
    assert (await clerk.get(page["thumbnail_url"]))[0] == 200
    status, slots = await clerk.get(f"/api/cases/{citizen.case_id}/materials")
    assert (status, {slot["key"] for slot in slots["items"]}) == (200, {"id-card", "contract"})


async def test_a_clerk_of_another_department_finds_nothing(citizen: Citizen, clerk: Caller, login_staff: Any) -> None:
    _, page = await citizen.upload()
    await citizen.upload(key="contract")
    await citizen.submit()

    assert (await (await login_staff("clerk")).get(page["url"]))[0] == 404


@pytest.mark.parametrize(
    ("range_header", "status", "content_range", "part"),
    [
        ("bytes=0-99", 206, "bytes 0-99/{n}", slice(0, 100)),
        ("bytes=100-", 206, "bytes 100-{last}/{n}", slice(100, None)),
        ("bytes=-50", 206, "bytes {tail}-{last}/{n}", slice(-50, None)),
        ("bytes=0-999999999", 206, "bytes 0-{last}/{n}", slice(0, None)),
        ("bytes=5-2", 200, "", slice(0, None)),
        ("bytes=0-1,4-5", 200, "", slice(0, None)),
        ("lines=0-1", 200, "", slice(0, None)),
        ("bytes=-", 200, "", slice(0, None)),
    ],
)
async def test_a_part_can_be_read(
    citizen: Citizen, range_header: str, status: int, content_range: str, part: slice
) -> None:
    _, page = await citizen.upload()
    _, _, whole = await raw(citizen.caller, page["url"])

    found, headers, body = await raw(citizen.caller, page["url"], Range=range_header)

    assert (found, body) == (status, whole[part])
    size = len(whole)
    assert headers.get("Content-Range", "") == content_range.format(n=size, last=size - 1, tail=size - 50)


async def test_a_part_beyond_the_end_is_refused(citizen: Citizen) -> None:
    _, page = await citizen.upload()

    status, headers, body = await raw(citizen.caller, page["url"], Range="bytes=99999999-")

    assert (status, headers["Content-Range"]) == (416, f"bytes */{page['bytes']}")
    assert b"range-not-satisfiable" in body


async def test_what_did_not_change_is_not_sent_again(citizen: Citizen) -> None:
    _, page = await citizen.upload()
    _, headers, _ = await raw(citizen.caller, page["url"])
    _, small, _ = await raw(citizen.caller, page["thumbnail_url"])
    assert headers["ETag"] == f'"{page["sha256"]}"' != small["ETag"]

    for url, tag in ((page["url"], headers["ETag"]), (page["thumbnail_url"], small["ETag"])):
        status, again, body = await raw(citizen.caller, url, If_None_Match=f'W/"x", {tag}')
        assert (status, body, again["ETag"]) == (304, b"", tag)
    status, _, _ = await raw(citizen.caller, page["url"], If_None_Match='"other"')
    assert status == 200
    status, _, _ = await raw(citizen.caller, page["url"], Range="bytes=0-9", If_Range='"other"')
    assert status == 200
    status, _, _ = await raw(citizen.caller, page["url"], Range="bytes=0-9", If_Range=headers["ETag"])
    assert status == 206
