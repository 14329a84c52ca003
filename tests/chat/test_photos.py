"""Photographs in a consultation: uploaded, said, read by the right people and by nobody else."""

from __future__ import annotations

import io
import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from PIL import Image

from backend.composition import Services
from backend.domain.access import Role
from backend.domain.errors import InvalidInput
from backend.domain.matters import MaterialRequirement
from backend.integrations.clock import WarpedClock
from backend.jobs.consultation_photo_cleanup import ConsultationPhotoCleanup
from backend.storage.accounts import StaffStore
from backend.storage.matters import MatterStore
from tests.callers import Caller
from tests.chat.conftest import MONDAY, Connect, Office
from tests.conftest import LoginStaff, set_clock


def picture(shade: int = 120) -> bytes:
    """A small photograph; another shade is another one."""
    out = io.BytesIO()
    Image.new("RGB", (320, 200), (shade, 60, 200 - shade)).save(out, "JPEG")
    return out.getvalue()


async def upload(
    caller: Caller, content: bytes | None = None, upload_id: str | None = None, filename: str = "合影.png"
) -> tuple[int, Any]:
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("upload_id", upload_id or str(uuid.uuid4()))
    form.add_field("file", io.BytesIO(content or picture()), filename=filename, content_type="image/jpeg")
    return await caller.post("/api/consultation-photos", data=form)


async def asked(citizen: Caller, office: Office, **members: Any) -> str:
    body = {"cid": str(uuid.uuid4()), "subject": "看不懂这张表", "matter_id": office.matter.id, **members}
    status, answer = await citizen.post("/api/consultations", body)
    assert status == 201, answer
    return str(answer["consultation"]["id"])


async def said(caller: Caller, conv: str, *upload_ids: str, text: str = "") -> tuple[int, Any]:
    content = {"text": text, "attachments": [{"upload_id": upload_id} for upload_id in upload_ids]}
    return await caller.post(f"/api/consultations/{conv}/messages", {"cid": str(uuid.uuid4()), "body": content})


async def status_of(caller: Caller, conv: str, upload_id: str, more: str = "") -> int:
    return (await caller.get(f"/api/consultations/{conv}/attachments/{upload_id}{more}"))[0]


async def test_a_photograph_is_said_and_read_by_both_sides(
    citizen: Caller, clerk: Caller, stranger: Caller, office: Office, login_staff: LoginStaff
) -> None:
    conv = await asked(citizen, office)
    status, photo = await upload(citizen)
    assert status == 201, photo
    assert (photo["name"], photo["media_type"], photo["width"], photo["height"]) == ("合影.jpg", "image/jpeg", 320, 200)
    assert await status_of(citizen, conv, photo["upload_id"]) == 404  # not said yet
    status, answer = await said(citizen, conv, photo["upload_id"])
    assert status == 201, answer
    assert answer["operation"]["body"]["attachments"] == [photo]
    assert answer["consultation"]["last_message"]["text"] == "[图片]"

    path = f"/api/consultations/{conv}/attachments/{photo['upload_id']}"
    for reader in (citizen, clerk):
        status, content = await reader.get(path)
        assert (status, len(content)) == (200, photo["size"])
        assert Image.open(io.BytesIO(content)).size == (320, 200)
        assert await status_of(reader, conv, photo["upload_id"], "/thumbnail") == 200
    outsider = await login_staff(Role.CLERK)
    for nobody in (stranger, outsider):
        assert await status_of(nobody, conv, photo["upload_id"]) == 404
        assert await status_of(nobody, conv, photo["upload_id"], "/thumbnail") == 404


async def test_the_reader_s_own_cache_is_asked_each_time(citizen: Caller, office: Office) -> None:
    conv = await asked(citizen, office)
    _, photo = await upload(citizen)
    await said(citizen, conv, photo["upload_id"])
    path = f"/api/consultations/{conv}/attachments/{photo['upload_id']}"
    token = {"Authorization": f"Bearer {citizen.token}"}
    async with citizen.http.get(path, headers=token) as first:
        tag = first.headers["ETag"]
        assert first.headers["Cache-Control"] == "private, no-cache"
        whole = await first.read()
    async with citizen.http.get(path, headers={**token, "If-None-Match": tag}) as again:
        assert again.status == 304
    async with citizen.http.get(path, headers={**token, "Range": "bytes=0-9"}) as part:
        assert (part.status, await part.read()) == (206, whole[:10])
    async with citizen.http.get(path, headers={**token, "Range": f"bytes={len(whole)}-"}) as beyond:
        assert beyond.status == 416


async def test_a_repeated_upload_is_the_same_photograph(citizen: Caller, clerk: Caller, stranger: Caller) -> None:
    upload_id = str(uuid.uuid4())
    first = await upload(citizen, picture(), upload_id)
    assert first[0] == 201
    assert await upload(citizen, picture(), upload_id, filename="another.jpg") == first
    for other in (await upload(citizen, picture(9), upload_id), await upload(stranger, picture(), upload_id)):
        assert (other[0], other[1]["code"]) == (409, "idempotency-conflict")
    assert (await upload(clerk))[0] == 201


@pytest.mark.parametrize("filename", ["../../etc/passwd", "C:\\a\\b.jpg", "\u202egpj.exe", "", "字" * 300])
async def test_a_file_s_name_is_only_a_name(citizen: Caller, filename: str) -> None:
    status, photo = await upload(citizen, filename=filename)
    assert status == 201, photo
    assert photo["name"].endswith(".jpg")
    assert len(photo["name"]) <= 64
    assert not set(photo["name"]) & set("/\\\u202e")


async def test_what_is_no_photograph_is_refused(citizen: Caller, http: aiohttp.ClientSession) -> None:
    status, problem = await upload(citizen, b"<svg onload=alert(1)>" * 200)
    assert (status, problem["code"]) == (415, "unsupported-photo-format")
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("upload_id", "1")
    form.add_field("file", io.BytesIO(picture()), filename="a.jpg", content_type="image/jpeg")
    assert (await citizen.post("/api/consultation-photos", data=form))[0] == 422
    assert (await upload(Caller(http)))[0] == 401


async def test_somebody_else_s_photograph_cannot_be_said(
    citizen: Caller, stranger: Caller, clerk: Caller, office: Office
) -> None:
    conv = await asked(citizen, office)
    _, theirs = await upload(stranger)
    for upload_id in (theirs["upload_id"], str(uuid.uuid4())):
        status, problem = await said(citizen, conv, upload_id)
        assert (status, problem["code"], problem["field"]) == (404, "not-found", "body.attachments")
    # and what was said in one talk is not read through another
    other = await asked(stranger, office)
    assert (await said(stranger, other, theirs["upload_id"]))[0] == 201
    assert await status_of(clerk, other, theirs["upload_id"]) == 200
    assert await status_of(clerk, conv, theirs["upload_id"]) == 404
    assert await status_of(citizen, conv, theirs["upload_id"]) == 404


async def test_a_recalled_photograph_is_gone_for_everybody(
    connect: Connect, citizen: Caller, clerk: Caller, office: Office
) -> None:
    phone = await connect(citizen)
    conv = (await phone.open("咨询", matter_id=office.matter.id))["conv"]
    _, photo = await upload(citizen)
    named = {"attachments": [{"upload_id": photo["upload_id"]}]}
    first = await phone.send(conv, "看这张", body=named)
    assert await status_of(clerk, conv, photo["upload_id"]) == 200
    await phone.act("msg:recall", conv, target_seq=first["seq"])
    for reader in (citizen, clerk):
        assert await status_of(reader, conv, photo["upload_id"]) == 404
        assert await status_of(reader, conv, photo["upload_id"], "/thumbnail") == 404
    await phone.send(conv, "还是看这张", body=named)  # said again, it is there again
    assert await status_of(clerk, conv, photo["upload_id"]) == 200


async def test_a_note_s_photograph_is_the_staff_s_alone(
    connect: Connect, citizen: Caller, clerk: Caller, colleague: Caller, office: Office
) -> None:
    desk, phone = await connect(clerk), await connect(citizen)
    conv = (await phone.open("咨询", matter_id=office.matter.id))["conv"]
    await desk.until(lambda: conv in desk.logs and desk.logs[conv].seq >= 2)
    _, photo = await upload(clerk)
    answer = await desk.act("note:add", conv, attachments=[{"upload_id": photo["upload_id"]}])
    assert await status_of(clerk, conv, photo["upload_id"]) == 200
    assert await status_of(colleague, conv, photo["upload_id"]) == 200
    assert await status_of(citizen, conv, photo["upload_id"]) == 404
    await phone.until(lambda: phone.logs[conv].seq == answer["seq"])
    assert phone.logs[conv].ops[-1]["kind"] == "skip"
    assert photo["upload_id"] not in str(phone.logs[conv].ops)


async def drafted(services: Services, citizen: Caller, office: Office) -> tuple[str, str]:
    """A draft of the citizen with one page: (case id, page id)."""
    guide = replace(office.matter.guide, online=True, materials=(MaterialRequirement("id-card", "身份证"),))
    newer = replace(office.matter, version=4, guide=guide, content_hash="y")
    await MatterStore(services.database).publish([newer.id], lambda _: [newer])
    status, case = await citizen.post("/api/cases", {"matter_id": office.matter.id})
    assert status == 201, case
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("upload_id", str(uuid.uuid4()))
    form.add_field("file", io.BytesIO(picture(30)), filename="a.jpg", content_type="image/jpeg")
    status, page = await citizen.post(f"/api/cases/{case['id']}/materials/id-card/pages", data=form)
    assert status == 201, page
    return case["id"], page["id"]


async def test_a_clerk_opens_the_page_of_a_draft_that_was_shown(
    services: Services, citizen: Caller, stranger: Caller, clerk: Caller, office: Office, clock: WarpedClock
) -> None:
    case_id, page_id = await drafted(services, citizen, office)
    conv = await asked(citizen, office)
    other = await asked(stranger, office)
    assert (await said(stranger, other, page_id))[0] == 404  # a stranger cannot show it
    assert (await clerk.get(f"/api/materials/{page_id}"))[0] == 404
    assert (await said(citizen, conv, page_id, text="这张行吗"))[0] == 201
    assert await status_of(clerk, conv, page_id) == 200
    assert (await clerk.get(f"/api/materials/{page_id}"))[0] == 404  # only in the talk
    # nothing may pose as the page
    status, problem = await upload(citizen, picture(77), page_id)
    assert (status, problem["code"]) == (409, "idempotency-conflict")
    # the draft goes, what was said stays
    assert (await citizen.delete(f"/api/cases/{case_id}"))[0] == 204
    set_clock(clock, MONDAY + timedelta(days=2))
    gone = await services.materials.forget_spare()
    assert gone.pages == 1
    await ConsultationPhotoCleanup(services.consultation_photos).once()
    assert await services.consultation_photos.content(
        await services.consultation_photos.read(await actor_of(services, clerk), conv, page_id), 0, 3
    )


async def actor_of(services: Services, caller: Caller) -> Any:
    """Who calls, also when the token ended days ago."""
    staff = await StaffStore(services.database).get(caller.actor_id)
    assert staff is not None
    return await services.sessions.staff_actor(staff)


async def test_what_was_never_sent_is_deleted_after_a_day(
    services: Services, citizen: Caller, office: Office, clock: WarpedClock
) -> None:
    conv = await asked(citizen, office)
    _, kept = await upload(citizen, picture(10))
    _, unsent = await upload(citizen, picture(20))
    await said(citizen, conv, kept["upload_id"])
    cleanup = ConsultationPhotoCleanup(services.consultation_photos)
    assert await cleanup.once() == 0  # a day has not passed
    assert await services.database["material_blobs"].count_documents({}) == 2
    set_clock(clock, MONDAY + timedelta(hours=25))
    assert await cleanup.once() == 1
    assert await services.database["material_blobs"].count_documents({}) == 1
    left = await services.database["consultation_photos"].find({}).to_list(None)
    assert [photo["_id"] for photo in left] == [kept["upload_id"]]
    assert unsent["upload_id"] != kept["upload_id"]
    assert await cleanup.once() == 0


async def test_a_note_says_something(services: Services, clerk: Caller, citizen: Caller, office: Office) -> None:
    conv = await asked(citizen, office)
    with pytest.raises(InvalidInput):
        await services.consultations.note(await actor_of(services, clerk), conv, cid=str(uuid.uuid4()), text="")
