"""Staff logins, and the administration of the staff."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import Field, StringConstraints

from backend import keys
from backend.domain.access import Actor, Role
from backend.domain.accounts import LastAdmin, LoginLocked, Staff, UsernameTaken
from backend.domain.errors import EditConflict, Forbidden, InvalidInput, WrongCredentials
from backend.rest.authentication import SESSION_COOKIE
from backend.rest.context import client_address, is_secure
from backend.rest.operations import Reply, Routes
from backend.rest.views import Body, Id, Moment, Page, PageQuery, View, id_cursor, page_of
from backend.services.staff import NewStaff, StaffChanges, StaffCredentials
from handlers.accounts import Device, count_login

routes = Routes("staff")

Username = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9._-]{2,31}$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]
Password = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Search = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]
Version = Annotated[int, Field(ge=1, le=2**53, description="读到的版本号；已被他人修改时返回 409")]


class StaffLoginBody(Body):
    username: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    password: Password
    device: Device = ""


class PasswordBody(Body):
    current_password: Password
    new_password: Password


class NewStaffBody(Body):
    username: Username
    name: Name
    roles: Annotated[frozenset[Role], Field(min_length=1)]
    department_id: Id | None = None
    password: Password | None = Field(default=None, description="不填则生成一个，仅在本次回答中显示")


class StaffChangesBody(Body):
    """没有出现的字段保持不变。"""

    version: Version
    name: Name | None = None
    roles: Annotated[frozenset[Role], Field(min_length=1)] | None = None
    department_id: Id | None = None
    active: bool | None = None


class StaffQuery(PageQuery):
    department_id: Id | None = None
    search: Search | None = Field(default=None, description="姓名中的文字，或用户名的开头")
    role: Role | None = None
    active: bool | None = Field(default=None, description="只看在职，或只看已停用")


class StaffView(View):
    id: Id
    username: str
    name: str
    department_id: str | None
    roles: list[Role]
    active: bool
    must_change_password: bool
    created_at: Moment
    version: int


class StaffMeView(StaffView):
    """`roles` 包含因担任值班负责人而具有的角色。"""

    post_ids: list[str]


class StaffSessionView(View):
    """令牌同时以 HttpOnly Cookie 和 `access_token` 给出，任选其一。"""

    session_id: Id
    access_token: str
    expires_at: Moment
    staff: StaffMeView


class StaffCredentialsView(View):
    staff: StaffView
    password: str | None = Field(description="生成的初始密码，仅显示这一次")


def _view(staff: Staff) -> StaffView:
    return StaffView(**_fields(staff))


def _fields(staff: Staff) -> dict[str, object]:
    return {
        "id": staff.id,
        "username": staff.username,
        "name": staff.name,
        "department_id": staff.department_id,
        "roles": sorted(staff.roles),
        "active": staff.active,
        "must_change_password": staff.must_change_password,
        "created_at": staff.created_at,
        "version": staff.version,
    }


def _me(staff: Staff, actor: Actor) -> StaffMeView:
    return StaffMeView.model_validate(
        {**_fields(staff), "roles": sorted(actor.roles), "post_ids": sorted(actor.post_ids)}
    )


def _credentials(made: StaffCredentials) -> StaffCredentialsView:
    return StaffCredentialsView(staff=_view(made.staff), password=made.password)


_NO_STORE = {"Cache-Control": "no-store"}


@routes.post("/staff/login", public=True, errors=[WrongCredentials, LoginLocked, Forbidden])
async def staff_login(request: web.Request, body: StaffLoginBody) -> Reply[StaffSessionView]:
    """工作人员登录：用户名和密码。"""
    await count_login(request)
    login = await request.config_dict[keys.STAFF_LOGIN].login(
        body.username, body.password, address=client_address(request), device=body.device
    )
    cookie = {
        "path": "/",
        "httponly": True,
        "samesite": "Strict",
        "secure": is_secure(request),
        "max_age": int((login.tokens.session_expires_at - request.config_dict[keys.CLOCK].now()).total_seconds()),
    }
    return Reply(
        StaffSessionView(
            session_id=login.tokens.session_id,
            access_token=login.tokens.access_token,
            expires_at=login.tokens.session_expires_at,
            staff=_me(login.staff, login.actor),
        ),
        headers=_NO_STORE,
        set_cookies=((SESSION_COOKIE, login.tokens.access_token, cookie),),
    )


@routes.get("/staff/me", password_due=True)
async def staff_me(request: web.Request, actor: Actor) -> StaffMeView:
    """当前登录的工作人员及其岗位。"""
    return _me(await request.config_dict[keys.STAFF_LOGIN].me(actor), actor)


@routes.post("/staff/password", password_due=True, errors=[InvalidInput, LoginLocked, EditConflict])
async def change_password(request: web.Request, body: PasswordBody, actor: Actor) -> None:
    """修改自己的密码；其他设备上的登录全部退出。"""
    await request.config_dict[keys.STAFF_LOGIN].change_password(actor, body.current_password, body.new_password)


@routes.get("/staff")
async def list_staff(request: web.Request, query: StaffQuery, actor: Actor) -> Page[StaffView]:
    """工作人员列表，可按姓名、用户名、部门、角色和状态查找。"""
    found = await request.config_dict[keys.STAFF].page(
        actor,
        after=id_cursor(query.cursor),
        limit=query.limit + 1,
        department_id=query.department_id,
        search=query.search,
        role=query.role,
        active=query.active,
    )
    return page_of(found, query.limit, _view, lambda staff: (staff.id,))


# not idempotent by key: the answer holds a password, which must not be kept; the username is unique anyway
@routes.post("/staff", status=201, errors=[UsernameTaken])
async def create_staff(request: web.Request, body: NewStaffBody, actor: Actor) -> Reply[StaffCredentialsView]:
    """新增工作人员。"""
    made = await request.config_dict[keys.STAFF].create(
        actor,
        NewStaff(
            username=body.username,
            name=body.name,
            roles=body.roles,
            department_id=body.department_id,
            password=body.password,
        ),
    )
    return Reply(_credentials(made), headers=_NO_STORE)


@routes.get("/staff/{staff_id}")
async def get_staff(request: web.Request, staff_id: Id, actor: Actor) -> StaffView:
    """一名工作人员。"""
    return _view(await request.config_dict[keys.STAFF].get(actor, staff_id))


@routes.patch("/staff/{staff_id}", errors=[EditConflict, LastAdmin])
async def update_staff(request: web.Request, staff_id: Id, body: StaffChangesBody, actor: Actor) -> StaffView:
    """修改工作人员的姓名、角色、部门或停用；立即生效。"""
    changes = StaffChanges(name=body.name, roles=body.roles, department_id=body.department_id, active=body.active)
    return _view(await request.config_dict[keys.STAFF].update(actor, staff_id, changes, version=body.version))


@routes.post("/staff/{staff_id}/password-reset", errors=[EditConflict])
async def reset_password(request: web.Request, staff_id: Id, actor: Actor) -> Reply[StaffCredentialsView]:
    """重置密码：生成新密码，该人员的登录全部退出。"""
    made = await request.config_dict[keys.STAFF].reset_password(actor, staff_id)
    return Reply(_credentials(made), headers=_NO_STORE)
