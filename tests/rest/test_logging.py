"""What the logs hold: ids and codes, never what people entrusted to us."""

from __future__ import annotations

import uuid

import aiohttp
import pytest

from backend.composition import Services
from backend.domain.access import SYSTEM, Role
from backend.domain.catalogue import MatterDraft
from backend.domain.matters import Guide, Level, MaterialRequirement, ProjectType, TaskType
from tests.callers import Caller
from tests.conftest import LoginCitizen, LoginStaff

CODE = "11440106007499999X"
NAME, ID_NUMBER, PHONE = "欧阳小四", "11010519491231002X", "15612345677"
QUESTION, FORM, FILE_NAME = "我和前妻的财产怎么分", "患有慢性病", "我的身份证.jpg"
WRONG_PASSWORD, TYPED_NAME = "Wrong-Pass-4711", "not.a.name.but.a.password"


async def test_what_people_entrust_to_us_is_in_no_log(
    services: Services,
    login_citizen: LoginCitizen,
    login_staff: LoginStaff,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    draft = MatterDraft(
        code=f"{CODE}4442011000001",
        base_code="442011000001",
        department_code=CODE,
        department_name="区民政局",
        area_code="440106",
        guide=Guide(
            name="居住登记",
            task_type=TaskType.PUBLIC_SERVICE,
            level=Level.COUNTY,
            project_type=ProjectType.PROMISED,
            online=True,
            materials=(MaterialRequirement(key="id-card", name="身份证"),),
        ),
    )
    await services.matters.publish(SYSTEM, [draft])
    citizen, clerk = await login_citizen(device="欧阳的手机"), await login_staff(Role.CLERK, name="诸葛测试")

    status, case = await citizen.post("/api/cases", {"matter_id": draft.id})
    assert status == 201, case
    path = f"/api/cases/{case['id']}"
    applicant = {"name": NAME, "id_number": ID_NUMBER, "phone": PHONE}
    status, _ = await citizen.patch(path, {"expected_version": 1, "applicant": applicant, "form": {"situation": FORM}})
    assert status == 200
    form = aiohttp.FormData()
    form.add_field("upload_id", str(uuid.uuid4()))
    form.add_field("file", NAME.encode(), filename=FILE_NAME, content_type="image/jpeg")
    refusals = [
        await citizen.post(f"{path}/submit", {}),
        await citizen.patch(path, {"expected_version": ID_NUMBER, "applicant": {"phone": [PHONE]}}),
        await citizen.post(f"{path}/materials/id-card/pages", data=form),
        await citizen.get(f"/api/cases/{ID_NUMBER}"),
        await clerk.get(f"/api/staff/{ID_NUMBER}"),
        await Caller(citizen.http, token=ID_NUMBER).get("/api/sessions"),
        await citizen.post("/api/staff/login", {"username": TYPED_NAME, "password": WRONG_PASSWORD}),
    ]
    assert [status for status, _ in refusals] == [422, 422, 415, 404, 404, 401, 401]
    opening = {"cid": str(uuid.uuid4()), "subject": QUESTION, "matter_id": draft.id, "body": {"text": QUESTION}}
    assert (await citizen.post("/api/consultations", opening))[0] == 201
    assert (await citizen.get("/api/matters/search", params={"q": QUESTION}))[0] == 200

    out, err = capsys.readouterr()
    logs = out + err + caplog.text
    assert case["id"] in logs, "nothing was logged, so nothing was shown"
    entrusted = [NAME, ID_NUMBER, PHONE, QUESTION, FORM, FILE_NAME, WRONG_PASSWORD, TYPED_NAME, "欧阳", "诸葛测试"]
    entrusted += [citizen.token or "", citizen.login["refresh_token"], clerk.login["password"]]
    assert [secret for secret in entrusted if secret in logs] == []
