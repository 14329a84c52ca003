"""A case whose post nobody holds is not left lying: the duty lead acts, else the district's triage desk."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from backend.composition import Services
from backend.domain.access import SYSTEM, Role
from backend.domain.ids import derived_id
from backend.domain.organisation import Department, DepartmentKind, Holder
from tests.callers import Caller

LoginStaff = Callable[..., Awaitable[Caller]]


async def test_triage_handles_what_nobody_holds_until_somebody_does(
    office: Any, services: Services, login_staff: LoginStaff
) -> None:
    hall_id = derived_id("department", "HALL")
    triage = await login_staff(Role.CLERK)
    hall = Department(hall_id, "HALL", "政务服务中心", DepartmentKind.HALL, "440105", (triage.actor_id,))
    await services.organisation.seed(SYSTEM, departments=[hall])
    first, second = [await office.submitted(await office.citizen()) for _ in range(2)]
    accept = "/api/desk/cases/{}/accept"
    assert (await triage.post(accept.format(first["id"]), {}))[0] == 404, "the post has a holder"

    post = await services.organisation.post(SYSTEM, office.post_id)
    await services.organisation.update_post(SYSTEM, post.id, {"holders": ()}, version=post.version)
    stranger = await office.staff("stranger")
    assert (await stranger.post(accept.format(first["id"]), {}))[0] == 404
    status, accepted = await triage.post(accept.format(first["id"]), {})
    assert (status, accepted["state"]) == (200, "accepted")

    holders = (Holder((await office.staff()).actor_id, 1),)
    await services.organisation.update_post(SYSTEM, post.id, {"holders": holders}, version=post.version + 1)
    assert (await triage.post(accept.format(second["id"]), {}))[0] == 404, "somebody holds the post again"


async def test_a_departments_duty_lead_comes_before_triage(
    office: Any, services: Services, login_staff: LoginStaff
) -> None:
    lead, triage = await login_staff(Role.CLERK, department_id=office.department_id), await login_staff(Role.CLERK)
    hall = Department(
        derived_id("department", "HALL"), "HALL", "政务服务中心", DepartmentKind.HALL, "440105", (triage.actor_id,)
    )
    await services.organisation.seed(SYSTEM, departments=[hall])
    department = await services.organisation.department(SYSTEM, office.department_id)
    await services.organisation.update_department(
        SYSTEM, department.id, {"duty_lead_ids": (lead.actor_id,)}, version=department.version
    )
    post = await services.organisation.post(SYSTEM, office.post_id)
    await services.organisation.update_post(SYSTEM, post.id, {"holders": ()}, version=post.version)
    case = await office.submitted(await office.citizen())
    assert (await triage.post(f"/api/desk/cases/{case['id']}/accept", {}))[0] == 404
    assert (await lead.post(f"/api/desk/cases/{case['id']}/accept", {}))[0] == 200
