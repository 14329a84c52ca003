"""A matter with two materials, a clerk who answers for it, and citizens who photograph."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDictProxy

from backend.composition import Services
from backend.domain.access import SYSTEM, Role
from backend.domain.catalogue import MatterDraft
from backend.domain.ids import derived_id, new_id
from backend.domain.matters import Guide, Level, MaterialRequirement, ProjectType, TaskType
from backend.domain.organisation import Department, DepartmentKind, Holder, Post, Responsibility
from tests.callers import Caller
from tests.uploads.samples import encoded, scene

BUREAU = "11440106007499999X"
GOOD = encoded(scene())


@dataclass
class Citizen:
    """A citizen with a draft of their own. Calls answer (status, document)."""

    caller: Caller
    case_id: str

    async def upload(
        self, body: bytes = GOOD, *, key: str = "id-card", upload_id: str | None = None, **fields: str
    ) -> tuple[int, Any]:
        """Photograph a page into a slot."""
        return await self.caller.post(
            f"/api/cases/{self.case_id}/materials/{key}/pages", data=photo_form(body, upload_id, **fields)
        )

    async def replace(
        self, page_id: str, body: bytes, *, key: str = "id-card", upload_id: str | None = None
    ) -> tuple[int, Any]:
        """Photograph a page anew."""
        return await self.caller.put(
            f"/api/cases/{self.case_id}/materials/{key}/pages/{page_id}", data=photo_form(body, upload_id)
        )

    async def pages(self, key: str = "id-card") -> list[str]:
        """The ids of the pages in a slot, in order."""
        status, answer = await self.caller.get(f"/api/cases/{self.case_id}/materials")
        assert status == 200, answer
        return [page["id"] for slot in answer["items"] if slot["key"] == key for page in slot["pages"]]

    async def submit(self) -> None:
        """Fill in what is missing and hand the case in."""
        _, case = await self.caller.get(f"/api/cases/{self.case_id}")
        applicant = {"kind": "person", "name": "王小明", "id_number": "11010519491231002X", "phone": "13800138000"}
        status, case = await self.caller.patch(
            f"/api/cases/{self.case_id}", {"expected_version": case["version"], "applicant": applicant}
        )
        assert status == 200, case
        status, case = await self.caller.post(f"/api/cases/{self.case_id}/submit", {})
        assert status == 200, case


def photo_form(body: bytes, upload_id: str | None = None, **fields: str) -> aiohttp.FormData:
    """One file and its fields, as a phone sends them."""
    data = aiohttp.FormData(default_to_multipart=True)
    for name, value in {"upload_id": upload_id or new_id(), **fields}.items():
        data.add_field(name, value)
    data.add_field("file", io.BytesIO(body), filename="照片.jpg", content_type="image/jpeg")
    return data


async def raw(caller: Caller, path: str, **headers: str) -> tuple[int, CIMultiDictProxy[str], bytes]:
    """One GET: status, headers, body; underscores in header names become hyphens."""
    sent = {"Authorization": f"Bearer {caller.token}"} | {k.replace("_", "-"): v for k, v in headers.items()}
    async with caller.http.get(path, headers=sent) as response:
        return response.status, response.headers, await response.read()


@pytest.fixture
async def matter_id(services: Services) -> str:
    """A matter that is filed online and asks for an ID card and, if there is one, a contract."""
    draft = MatterDraft(
        code=f"{BUREAU}4442011000001",
        base_code="442011000001",
        department_code=BUREAU,
        department_name="区民政局",
        area_code="440106",
        guide=Guide(
            name="居住登记",
            task_type=TaskType.PUBLIC_SERVICE,
            level=Level.COUNTY,
            project_type=ProjectType.PROMISED,
            online=True,
            materials=(
                MaterialRequirement(key="id-card", name="身份证"),
                MaterialRequirement(key="contract", name="租赁合同"),
            ),
        ),
    )
    await services.matters.publish(SYSTEM, [draft])
    return draft.id


@pytest.fixture
async def clerk(services: Services, matter_id: str, login_staff: Callable[..., Awaitable[Caller]]) -> Caller:
    """The clerk who holds the post that answers for the matter."""
    department_id, staff_id = derived_id("department", BUREAU), new_id()
    post = Post(id=new_id(), department_id=department_id, name="居住登记岗", holders=(Holder(staff_id, 1),))
    await services.organisation.seed(
        SYSTEM,
        departments=[Department(department_id, BUREAU, "区民政局", DepartmentKind.BUREAU, "440106")],
        posts=[post],
        responsibilities=[Responsibility(new_id(), department_id, post.id)],
    )
    return await login_staff(Role.CLERK, department_id=department_id, staff_id=staff_id)


@pytest.fixture
def make_citizen(
    matter_id: str, login_citizen: Callable[..., Awaitable[Caller]]
) -> Callable[[str], Awaitable[Citizen]]:
    """`await make_citizen("name")`: logged in, with a draft for the matter."""

    async def make(name: str) -> Citizen:
        caller = await login_citizen(name)
        status, case = await caller.post("/api/cases", {"matter_id": matter_id})
        assert status == 201, case
        return Citizen(caller, case["id"])

    return make


@pytest.fixture
async def citizen(make_citizen: Callable[[str], Awaitable[Citizen]]) -> Citizen:
    return await make_citizen("xiaoming")


@pytest.fixture
async def stranger(make_citizen: Callable[[str], Awaitable[Citizen]]) -> Citizen:
    return await make_citizen("laowang")
