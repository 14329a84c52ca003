"""Photographed materials over HTTP: in, in order, out again, and only for those who may."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from backend.composition import Services
from backend.domain.ids import new_id
from backend.integrations.clock import WarpedClock
from backend.jobs.material_cleanup import MaterialCleanup
from config.settings import Settings
from tests.callers import Caller
from tests.uploads.conftest import GOOD, Citizen, raw
from tests.uploads.samples import difference, encoded, opened, scene, with_orientation

OTHER = encoded(scene(480, 640))


async def stored(services: Services, name: str) -> int:
    return int(await services.database[name].count_documents({}))


async def test_a_photo_becomes_a_page_that_is_read_back(citizen: Citizen) -> None:
    status, page = await citizen.upload(with_orientation(scene(), 6))

    assert status == 201
    assert (page["width"], page["height"], page["position"]) == (640, 480, 0)
    status, headers, body = await raw(citizen.caller, page["url"])
    assert status == 200
    assert hashlib.sha256(body).hexdigest() == page["sha256"]
    assert len(body) == page["bytes"]
    assert difference(opened(body), scene()) < 3
    assert b"Exif" not in body
    assert headers["Content-Type"] == page["media_type"] == "image/jpeg"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"].startswith("private")
    assert headers["Content-Disposition"].startswith("inline; filename=")
    status, headers, thumbnail = await raw(citizen.caller, page["thumbnail_url"])
    assert (status, max(opened(thumbnail).size)) == (200, 320)


async def test_pages_have_an_order_that_can_be_changed(citizen: Citizen) -> None:
    first, second, third = [(await citizen.upload())[1]["id"] for _ in range(3)]
    _, front = await citizen.upload(position="0")
    assert await citizen.pages() == [front["id"], first, second, third]

    path = f"/api/cases/{citizen.case_id}/materials/id-card"
    status, slot = await citizen.caller.put(f"{path}/order", {"page_ids": [third, second, first, front["id"]]})

    assert status == 200
    assert [page["id"] for page in slot["pages"]] == [third, second, first, front["id"]]
    assert await citizen.pages() == [third, second, first, front["id"]]
    status, problem = await citizen.caller.put(f"{path}/order", {"page_ids": [third, second]})
    assert (status, problem["code"]) == (409, "edit-conflict")


async def test_a_page_is_replaced_in_its_place(citizen: Citizen) -> None:
    first, second, third = [(await citizen.upload())[1]["id"] for _ in range(3)]
    upload_id = new_id()

    status, fresh = await citizen.replace(second, OTHER, upload_id=upload_id)
    again, repeated = await citizen.replace(second, OTHER, upload_id=upload_id)

    assert (status, again) == (200, 200)
    assert fresh["position"] == 1
    assert repeated == fresh
    assert await citizen.pages() == [first, fresh["id"], third]
    status, problem = await citizen.replace(new_id(), OTHER)
    assert (status, problem["code"]) == (404, "not-found")


async def test_a_page_is_deleted_and_deleting_again_is_the_same(citizen: Citizen) -> None:
    first, second = [(await citizen.upload())[1]["id"] for _ in range(2)]
    path = f"/api/cases/{citizen.case_id}/materials/id-card/pages"

    assert [(await citizen.caller.delete(f"{path}/{first}"))[0] for _ in range(2)] == [204, 204]

    assert await citizen.pages() == [second]
    assert (await citizen.caller.delete(f"{path}/{new_id()}"))[0] == 404
    other_slot = path.replace("id-card", "contract")
    assert (await citizen.caller.delete(f"{other_slot}/{second}"))[0] == 404


async def test_the_same_upload_again_is_the_same_page(citizen: Citizen, services: Services) -> None:
    upload_id = new_id()

    answers = [await citizen.upload(upload_id=upload_id) for _ in range(3)]

    assert answers == [answers[0]] * 3
    assert len(await citizen.pages()) == 1
    assert await stored(services, "material_pages") == 1


async def test_the_same_upload_at_once_is_one_page(citizen: Citizen, services: Services) -> None:
    upload_id = new_id()

    answers = await asyncio.gather(*(citizen.upload(upload_id=upload_id) for _ in range(6)))

    assert {status for status, _ in answers} == {201}
    assert len({page["id"] for _, page in answers}) == 1
    assert len(await citizen.pages()) == 1
    assert await stored(services, "material_blobs") == await stored(services, "materials.files") == 1
    assert await stored(services, "material_writes") == 0


async def test_many_pages_at_once_all_find_their_place(citizen: Citizen) -> None:
    answers = await asyncio.gather(*(citizen.upload() for _ in range(9)))

    assert {status for status, _ in answers} == {201}
    assert sorted(await citizen.pages()) == sorted(page["id"] for _, page in answers)


@pytest.mark.parametrize(("body", "key"), [(OTHER, "id-card"), (GOOD, "contract")], ids=["other photo", "other slot"])
async def test_the_same_upload_id_for_something_else_is_a_conflict(citizen: Citizen, body: bytes, key: str) -> None:
    upload_id = new_id()
    await citizen.upload(upload_id=upload_id)

    status, problem = await citizen.upload(body, key=key, upload_id=upload_id)

    assert (status, problem["code"]) == (409, "idempotency-conflict")


async def test_an_upload_id_is_the_citizens_own(citizen: Citizen, stranger: Citizen) -> None:
    upload_id = new_id()

    (_, mine), (_, theirs) = [await one.upload(upload_id=upload_id) for one in (citizen, stranger)]

    assert mine["id"] != theirs["id"]
    assert mine["sha256"] == theirs["sha256"]


async def test_a_retry_after_the_page_was_deleted_does_not_bring_it_back(citizen: Citizen) -> None:
    upload_id = new_id()
    _, page = await citizen.upload(upload_id=upload_id)
    await citizen.caller.delete(f"/api/cases/{citizen.case_id}/materials/id-card/pages/{page['id']}")

    status, again = await citizen.upload(upload_id=upload_id)

    assert (status, again["id"], again["position"]) == (201, page["id"], None)
    assert await citizen.pages() == []


async def test_a_retry_finishes_what_a_crash_interrupted(citizen: Citizen, services: Services) -> None:
    upload_id = new_id()
    _, page = await citizen.upload(upload_id=upload_id)
    # As it is when the process died between the record and the slot, or between the slot and the note of it.
    await services.database["material_pages"].update_one({"_id": page["id"]}, {"$set": {"attached_at": None}})

    status, again = await citizen.upload(upload_id=upload_id)

    assert (status, again) == (201, page)
    assert await citizen.pages() == [page["id"]]


async def test_what_was_handed_in_cannot_be_changed_until_it_comes_back(citizen: Citizen, clerk: Caller) -> None:
    upload_id = new_id()
    _, page = await citizen.upload(upload_id=upload_id)
    await citizen.upload(key="contract")
    await citizen.submit()
    base = f"/api/cases/{citizen.case_id}/materials/id-card"

    refusals = [
        await citizen.upload(),
        await citizen.replace(page["id"], OTHER),
        await citizen.caller.put(f"{base}/order", {"page_ids": [page["id"]]}),
        await citizen.caller.delete(f"{base}/pages/{page['id']}"),
    ]
    assert [(status, problem["code"]) for status, problem in refusals] == [(409, "invalid-transition")] * 4
    # What was done in time is answered as it was.
    assert await citizen.upload(upload_id=upload_id) == (201, page)

    status, case = await clerk.post(
        f"/api/desk/cases/{citizen.case_id}/request-correction",
        {"items": [{"key": "id-card", "text": "照片模糊，请重新拍摄。"}]},
    )
    assert status == 200, case
    status, fresh = await citizen.replace(page["id"], OTHER)

    assert (status, await citizen.pages()) == (200, [fresh["id"]])
    assert (await clerk.get(page["url"]))[0] == 200  # what was handed in first stays in the file


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"upload_id": "not-a-uuid"}, "upload_id"),
        ({"position": "-1"}, "position"),
        ({"position": "first"}, "position"),
        ({"position": "51"}, "position"),
    ],
)
async def test_fields_are_checked(citizen: Citizen, fields: dict[str, str], field: str) -> None:
    status, problem = await citizen.upload(**fields)  # type: ignore[arg-type]

    assert (status, problem["code"], problem["field"]) == (422, "invalid-input", field)


async def test_a_material_that_is_not_asked_for_is_refused(citizen: Citizen, services: Services) -> None:
    status, problem = await citizen.upload(key="passport")

    assert (status, problem["code"]) == (422, "invalid-input")
    assert await stored(services, "material_pages") == 0


async def test_a_full_slot_is_refused_and_its_last_page_may_be_sent_again(citizen: Citizen, services: Services) -> None:
    upload_id = new_id()
    _, page = await citizen.upload(upload_id=upload_id)
    pages = [page["id"], *(new_id() for _ in range(49))]
    await services.database["cases"].update_one(
        {"_id": citizen.case_id}, {"$set": {"materials": [{"key": "id-card", "page_ids": pages}]}}
    )

    status, problem = await citizen.upload()

    assert (status, problem["code"]) == (422, "too-many-pages")
    assert await citizen.upload(upload_id=upload_id) == (201, page)


async def test_a_cut_connection_leaves_nothing(
    citizen: Citizen, server: TestServer, services: Services, settings: Settings
) -> None:
    folder = settings.var / "uploads" / "tmp"
    _, writer = await asyncio.open_connection(server.host, server.port)
    path = f"/api/cases/{citizen.case_id}/materials/id-card/pages"
    writer.write(
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {citizen.caller.token}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 9000000\r\n\r\n"
        '--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n'.encode()
        + GOOD
    )
    await _until(lambda: len(list(folder.iterdir())) == 1)
    writer.transport.abort()

    await _until(lambda: not list(folder.iterdir()))
    assert await citizen.pages() == []
    assert await stored(services, "material_pages") == await stored(services, "materials.files") == 0


async def _until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def test_what_no_case_needs_is_forgotten_after_a_day(
    citizen: Citizen, services: Services, clock: WarpedClock
) -> None:
    _, kept = await citizen.upload()
    _, removed = await citizen.upload(OTHER)
    _, same_bytes = await citizen.upload()
    for page in (removed, same_bytes):
        await citizen.caller.delete(f"/api/cases/{citizen.case_id}/materials/id-card/pages/{page['id']}")
    cleanup = MaterialCleanup(services.materials)
    assert (await cleanup.once()).pages == 0

    clock.warp(timedelta(hours=25))
    done = await cleanup.once()

    assert (done.pages, done.files) == (2, 1)
    assert await stored(services, "material_pages") == 1
    assert await stored(services, "material_blobs") == await stored(services, "materials.files") == 1
    # The clock went on and the login with it: what is left is read through the service.
    page = await services.materials._pages.get(kept["id"])
    assert page is not None
    assert len(await services.materials.content(page, 0, page.bytes)) == kept["bytes"]


async def test_a_page_whose_note_was_lost_is_not_forgotten(
    citizen: Citizen, services: Services, clock: WarpedClock
) -> None:
    _, page = await citizen.upload()
    await services.database["material_pages"].update_one({"_id": page["id"]}, {"$set": {"attached_at": None}})

    clock.warp(timedelta(hours=25))

    assert (await MaterialCleanup(services.materials).once()).pages == 0
    assert await stored(services, "material_pages") == 1


async def test_half_written_files_are_cleaned_up(citizen: Citizen, services: Services, clock: WarpedClock) -> None:
    _, page = await citizen.upload()
    blob = await services.database["material_blobs"].find_one_and_delete({"_id": page["sha256"]})
    assert blob is not None
    now = clock.now()
    await services.database["material_writes"].insert_one({"_id": blob["file_id"], "at": now})
    await services.database["material_writes"].insert_one({"_id": new_id(), "at": now})

    clock.warp(timedelta(hours=2))
    done = await MaterialCleanup(services.materials).once()

    assert done.broken == 2
    assert await stored(services, "materials.files") == await stored(services, "materials.chunks") == 0
    assert await stored(services, "material_writes") == 0


async def test_a_large_photo_is_refused_early(citizen: Citizen) -> None:
    status, problem = await citizen.upload(GOOD + bytes(12 * 1024 * 1024))

    assert (status, problem["code"]) == (413, "photo-too-large")


async def test_the_upload_is_in_the_contract(http: aiohttp.ClientSession) -> None:
    async with http.get("/api/openapi.json") as response:
        document = await response.json()

    operation = document["paths"]["/api/cases/{case_id}/materials/{key}/pages"]["post"]
    schema = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert schema["required"] == ["file", "upload_id"]
    assert {"201", "401", "403", "404", "409", "413", "415", "422", "429", "503"} <= set(operation["responses"])


async def test_temporary_files_of_a_killed_server_are_gone_after_a_start(
    settings: Settings, services: Services
) -> None:
    from backend.app import create_app

    folder: Path = settings.var / "uploads" / "tmp"
    folder.mkdir(parents=True)
    (folder / "left.upload").write_bytes(GOOD)

    async with TestServer(create_app(settings, services)):
        assert not list(folder.iterdir())
