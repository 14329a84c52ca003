"""The first start on an empty database: the district, and accounts with passwords of their own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import structlog

from backend.composition import Services
from backend.domain.access import SYSTEM, Role
from backend.domain.catalogue import MatterDraft
from backend.services.staff import NewStaff, generate_password
from backend.storage import schema
from backend.storage.documents import utc
from config.first_accounts import ACCOUNTS_FILE, ADMIN, read_accounts
from config.sample_district import SampleDistrict, load_sample_district

log = structlog.get_logger()

_HEAD = """\
# 首次启动时生成的账号。请妥善保管；正式使用前请修改密码或停用示范账号。
# The accounts of the first start. Change the passwords before real use.
# username\tpassword\tname\troles\tdepartment
"""


async def prepare(services: Services) -> dict[str, Any]:
    """Once for a database, make the first accounts and the district.

    Production starts empty, except for the district that its settings name; its first administrator is
    made by `run.py create-admin`. Returns what the greeting says.

    Raises:
        SampleDistrictError: the district's files are not right.
        Unavailable: the database does not answer.
    """
    settings = services.settings
    file = settings.var / ACCOUNTS_FILE
    accounts: list[dict[str, str]] = []
    if not await schema.first_start_done(services.database):
        if settings.mode != "production" or settings.district is not None:
            district = load_sample_district(settings.district)
            accounts = await _first_accounts(services, district, file)
            await seed_district(services, district)
        await schema.mark_first_start(services.database)
    return {"accounts": accounts, "accounts_file": str(file)}


async def seed_district(services: Services, district: SampleDistrict) -> None:
    """Departments, posts, responsibilities, announcements, quick replies and guides. Doing it again changes nothing."""
    await services.organisation.seed(
        SYSTEM,
        departments=district.departments,
        posts=district.posts,
        responsibilities=district.responsibilities,
    )
    now = utc(services.clock.now())
    await services.announcements.seed(SYSTEM, [item.published(now) for item in district.words.announcements])
    await services.quick_replies.seed(SYSTEM, district.words.quick_replies)
    await services.matters.put_guide_files(SYSTEM, district.guide_files)
    departments = {department.id: department for department in district.departments}
    published = await services.matters.publish(
        SYSTEM,
        [
            MatterDraft(
                code=matter.code,
                base_code=matter.base_code,
                department_code=departments[matter.department_id].code,
                department_name=departments[matter.department_id].name,
                area_code=matter.area_code,
                guide=matter.guide,
            )
            for matter in district.matters
        ],
    )
    log.info("district_seeded", matters=len(published.added), departments=len(departments))


async def _first_accounts(services: Services, district: SampleDistrict, file: Path) -> list[dict[str, str]]:
    """An administrator and the district's staff; the passwords stand in `file` before any account exists.

    One password serves all of the sample staff, so that anybody can be tried. What the greeting shows is
    returned: the administrator and one person of each role.
    """
    departments = {department.id: department.name for department in district.departments}
    kept = _kept_passwords(file)
    admin_password = kept.get(ADMIN) or generate_password()
    staff_password = next((p for name, p in kept.items() if name != ADMIN), None) or generate_password()
    rows = [(ADMIN, admin_password, "系统管理员", Role.ADMIN.value, "")] + [
        (
            person.username,
            staff_password,
            person.name,
            ",".join(sorted(person.roles)),
            departments.get(person.department_id, ""),
        )
        for person in district.staff
    ]
    _write_private(file, _HEAD + "".join("\t".join(row) + "\n" for row in rows))
    admin = NewStaff(username=ADMIN, name="系统管理员", roles=frozenset({Role.ADMIN}))
    await services.staff.seed(SYSTEM, [admin], admin_password)
    await services.staff.seed(
        SYSTEM,
        [
            NewStaff(
                id=person.id,
                username=person.username,
                name=person.name,
                roles=person.roles,
                department_id=person.department_id,
            )
            for person in district.staff
        ],
        staff_password,
    )
    shown: dict[str, dict[str, str]] = {}
    for username, password, _, roles, _ in rows:
        for role in roles.split(","):
            shown.setdefault(role, {"role": role, "username": username, "password": password})
    return list(shown.values())


def _kept_passwords(file: Path) -> dict[str, str]:
    """Passwords of a first start that was cut off: the accounts it made go on with them."""
    return {row["username"]: row["password"] for row in read_accounts(file)}


def _write_private(file: Path, text: str) -> None:
    partial = file.with_suffix(".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(file)
