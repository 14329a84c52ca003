"""Schemathesis plays against the OpenAPI document as nobody, a citizen, a clerk and an administrator: no server
error, nothing undocumented, no answer that its schema does not describe."""

from __future__ import annotations

import asyncio
import io
import json
import re
import sys
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from PIL import Image

from backend.commands.first_start import seed_district
from backend.composition import Services
from backend.domain.access import SYSTEM, Role
from backend.domain.calendar import SHANGHAI
from backend.domain.ids import derived_id
from backend.services.staff import NewStaff
from config.sample_district import load_sample_district
from tests.callers import Caller
from tests.conftest import LoginCitizen, LoginStaff

#: What would end the session that everything else is called with; played with sessions of their own.
ENDING = ["logout", "logout_everywhere", "end_session", "change_password"]
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,unsupported_method"
)


@dataclass
class World:
    """Somebody of each kind, and real ids for the paths."""

    server: TestServer
    callers: dict[str, Caller]
    ids: dict[str, str]


@pytest.fixture
async def world(server: TestServer, services: Services, login_citizen: LoginCitizen, login_staff: LoginStaff) -> World:
    district = load_sample_district()
    holder = next(person for person in district.staff if person.username == "linminyi")
    await services.staff.seed(
        SYSTEM,
        [
            NewStaff(
                id=holder.id,
                username=holder.username,
                name=holder.name,
                roles=holder.roles,
                department_id=holder.department_id,
            )
        ],
        "correct horse battery",
    )
    await seed_district(services, district)
    await services.matters.refresh()
    citizen, admin = await login_citizen(), await login_staff(Role.ADMIN, Role.EDITOR)
    editor = await login_staff(Role.EDITOR)
    clerk = Caller(citizen.http, holder.id)
    _, login = await clerk.post("/api/staff/login", {"username": holder.username, "password": "correct horse battery"})
    clerk.token = login["access_token"]
    matter = next(matter for matter in district.matters if matter.guide.name == "居住证申领")
    _, case = await citizen.post("/api/cases", {"matter_id": matter.id})
    key = matter.guide.materials[0].key
    _, page = await citizen.post(f"/api/cases/{case['id']}/materials/{key}/pages", data=_upload())
    _, opened = await citizen.post(
        "/api/consultations", {"cid": str(uuid.uuid4()), "subject": "怎么办", "matter_id": matter.id}
    )
    return World(
        server,
        {"nobody": Caller(citizen.http), "citizen": citizen, "clerk": clerk, "admin": admin, "editor": editor},
        {
            "path.case_id": case["id"],
            "path.page_id": page["id"],
            "path.key": key,
            "path.matter_id": matter.id,
            "path.code": matter.code,
            "path.consultation_id": opened["consultation"]["id"],
            "path.department_id": matter.department_id,
            "path.post_id": derived_id("post", "gongan-huzheng"),
            "path.responsibility_id": district.responsibilities[0].id,
            "path.staff_id": holder.id,
            "path.announcement_id": district.words.announcements[0].id,
            "path.quick_reply_id": district.words.quick_replies[0].id,
            "path.day": (datetime.now(SHANGHAI).date() + timedelta(days=30)).isoformat(),
            "path.name": next(iter(district.guide_files)),
        },
    )


def _upload() -> aiohttp.FormData:
    image = io.BytesIO()
    Image.new("RGB", (300, 400), "white").save(image, "JPEG")
    form = aiohttp.FormData()
    form.add_field("upload_id", str(uuid.uuid4()))
    form.add_field("file", image.getvalue(), filename="a.jpg", content_type="image/jpeg")
    return form


async def play(world: World, who: str, folder: Path, *options: str) -> str:
    """Run schemathesis as `who`; its report. Fails when it found something."""
    config = folder / "schemathesis.toml"
    config.write_text("[parameters]\n" + "".join(f'"{name}" = {json.dumps(v)}\n' for name, v in world.ids.items()))
    token = world.callers[who].token
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)),
        *("run", str(world.server.make_url("/api/openapi.json")), "--url", str(world.server.make_url("/"))),
        *("--checks", CHECKS, "--request-timeout", "20", "--max-failures", "10", "--no-color"),
        *("--suppress-health-check", "all", "--seed", "20260302", "--warnings", "off"),
        *(("-H", f"Authorization: Bearer {token}") if token else ()),
        *options,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder,
    )
    output, _ = await process.communicate()
    report = output.decode()
    assert process.returncode == 0, report
    return report


#: Who is played with what: everything that somebody may do, and for everybody a little of the rest.
SHARES = {
    "nobody": r"^/api",
    "citizen": r"^/api/(?!desk|staff|organisation)",
    "clerk": r"^/api/(desk|staff/me|consultations|materials|cases)",
    "admin": r"^/api/(staff|organisation|desk/(announcements|quick-replies))",
    "editor": r"^/api/catalogue",
}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("who", SHARES)
async def test_the_document_holds_for(world: World, who: str, tmp_path: Path) -> None:
    await hold(world, who, tmp_path, "examples,fuzzing")


@pytest.mark.drill
@pytest.mark.timeout(900)
@pytest.mark.parametrize("who", SHARES)
async def test_the_document_holds_at_every_bound_for(world: World, who: str, tmp_path: Path) -> None:
    await hold(world, who, tmp_path, "coverage")


async def hold(world: World, who: str, tmp_path: Path, phases: str) -> None:
    paths = SHARES[who]
    spared = [option for name in ENDING for option in ("--exclude-operation-id", name)]
    report = await play(world, who, tmp_path, "-n", "3", "--phases", phases, "--include-path-regex", paths, *spared)
    assert re.search(r"[1-9]\d* generated, [1-9]\d* passed", report), report
    if who != "nobody":
        status, _ = await world.callers[who].get("/api/sessions")
        assert status == 200, "the session ended on the way: what came after showed nothing"


@pytest.mark.parametrize("operation", ENDING)
async def test_the_document_holds_for_what_ends_a_session(world: World, operation: str, tmp_path: Path) -> None:
    await play(world, "clerk", tmp_path, "-n", "3", "--phases", "fuzzing", "--include-operation-id", operation)
