"""Keeping the staff: who there is, in which roles, and their first passwords."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from backend.domain.access import Actor, Permission, Role, require
from backend.domain.accounts import STAFF_ROLES, LastAdmin, Staff, UsernameTaken, check_password
from backend.domain.errors import EditConflict, InvalidInput, NotFound
from backend.domain.ids import new_id
from backend.integrations.passwords import Passwords
from backend.ports import Clock
from backend.services.audit import Audit
from backend.services.sessions import SessionService
from backend.storage.accounts import StaffStore
from backend.storage.database import Session
from backend.storage.organisation import OrganisationStore

#: Without what looks alike on paper: 0 O o 1 l I.
_ALPHABET = "23456789abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ"

log = structlog.get_logger()


def generate_password() -> str:
    """Four groups of four characters, 93 bits, to be read from paper."""
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(4))


@dataclass(frozen=True, slots=True)
class NewStaff:
    """Who is to be created. `id` and `password` are made when they are not given."""

    username: str
    name: str
    roles: frozenset[Role]
    department_id: str | None = None
    id: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class StaffChanges:
    """What to change; None leaves a thing as it is."""

    name: str | None = None
    roles: frozenset[Role] | None = None
    department_id: str | None = None
    active: bool | None = None


@dataclass(frozen=True, slots=True)
class StaffCredentials:
    """A member of the staff with the generated password, which is shown once (None: it was given)."""

    staff: Staff
    password: str | None = field(repr=False)


class StaffService:
    """The staff, kept by administrators."""

    def __init__(
        self,
        *,
        audit: Audit,
        staff: StaffStore,
        organisation: OrganisationStore,
        sessions: SessionService,
        passwords: Passwords,
        clock: Clock,
    ) -> None:
        self._audit = audit
        self._staff = staff
        self._organisation = organisation
        self._sessions = sessions
        self._passwords = passwords
        self._clock = clock

    async def create(self, actor: Actor, new: NewStaff) -> StaffCredentials:
        """Raises `UsernameTaken`, `WeakPassword`, `InvalidInput` for an unknown department or no role."""
        require(actor, Permission.MANAGE_STAFF)
        await self._check(new.roles, new.department_id)
        if new.password is not None:
            check_password(new.password, username=new.username)
        generated = None if new.password is not None else generate_password()
        hashed = await self._passwords.hash(new.password or generated or "")
        staff = self._made(new, must_change=generated is not None)
        await self._audit.save(
            actor,
            "staff",
            staff.id,
            "created",
            version=1,
            changes={"username": staff.username, "roles": staff.roles, "department_id": staff.department_id},
            write=lambda session: self._staff.add(staff, hashed, session=session),
        )
        log.info("staff_created", staff_id=staff.id, by=actor.id)
        return StaffCredentials(await self._existing(staff.id), generated)

    async def seed(self, actor: Actor, people: Iterable[NewStaff], password: str) -> list[Staff]:
        """Create those whose username is free, all with one password; returns them.

        For a first start: nobody who is there is changed. The password is hashed once.
        """
        require(actor, Permission.MANAGE_STAFF)
        hashed: str | None = None
        created = []
        for new in people:
            if await self._staff.by_username(new.username) is None:
                hashed = hashed or await self._passwords.hash(password)
                try:
                    created.append(await self._staff.add(self._made(new, must_change=False), hashed))
                except UsernameTaken:
                    continue  # another node seeds at the same time
        return created

    def _made(self, new: NewStaff, *, must_change: bool) -> Staff:
        return Staff(
            id=new.id or new_id(),
            username=new.username,
            name=new.name,
            department_id=new.department_id,
            roles=new.roles,
            created_at=self._clock.now(),
            must_change_password=must_change,
        )

    async def has_admin(self) -> bool:
        """Whether anybody can administer; the first start asks."""
        return await self._staff.has_admin()

    async def get(self, actor: Actor, staff_id: str) -> Staff:
        require(actor, Permission.READ_ORGANISATION)
        return await self._existing(staff_id)

    async def page(
        self,
        actor: Actor,
        *,
        after: str | None,
        limit: int,
        department_id: str | None = None,
        search: str | None = None,
        role: Role | None = None,
        active: bool | None = None,
    ) -> list[Staff]:
        """Up to `limit` after the id `after`, in the order of ids. `search` is in the name or begins the username."""
        require(actor, Permission.READ_ORGANISATION)
        return await self._staff.page(
            after=after, limit=limit, department_id=department_id, search=search, role=role, active=active
        )

    async def update(self, actor: Actor, staff_id: str, changes: StaffChanges, *, version: int) -> Staff:
        """Change what is given. Roles and department hold at once; deactivation ends all sessions.

        Raises `EditConflict` when `version` is not the present one, `LastAdmin`, `InvalidInput`.
        """
        require(actor, Permission.MANAGE_STAFF)
        await self._check(changes.roles, changes.department_id)
        given: dict[str, Any] = {
            name: value
            for name in ("name", "roles", "department_id", "active")
            if (value := getattr(changes, name)) is not None
        }

        staff = await self._existing(staff_id)
        if staff.version != version:
            raise EditConflict
        changed = replace(staff, **given, version=version + 1)

        async def write(session: Session) -> None:
            resigns = _administers(staff) and not _administers(changed)
            if resigns and not await self._staff.other_admins(staff_id, session):
                raise LastAdmin
            await self._staff.save(changed, read_version=version, session=session)
            if not changed.active or changed.department_id != staff.department_id:
                left = await self._organisation.release(staff_id, leaves=not changed.active, session=session)
                for aggregate, item_id, reached in left:
                    await self._audit.note(
                        actor,
                        aggregate,
                        item_id,
                        "staff_released",
                        version=reached,
                        changes={"staff_id": staff_id},
                        session=session,
                    )

        await self._audit.save(actor, "staff", staff_id, "changed", version=changed.version, changes=given, write=write)
        if "active" in given:  # also when it comes back: no session of before revives
            await self._sessions.end_all(staff_id)
        log.info("staff_changed", staff_id=staff_id, by=actor.id, fields=sorted(given))
        return changed

    async def reset_password(self, actor: Actor, staff_id: str) -> StaffCredentials:
        """A new generated password for somebody who lost theirs; all their sessions end.

        Raises `EditConflict` when somebody changes the same person meanwhile.
        """
        require(actor, Permission.MANAGE_STAFF)
        staff = await self._existing(staff_id)
        password = generate_password()
        hashed = await self._passwords.hash(password)

        async def write(session: Session) -> None:
            await self._staff.set_password(
                staff.id, hashed, must_change=True, read_version=staff.version, session=session
            )
            await self._sessions.end_staff(staff.id, session)

        await self._audit.save(actor, "staff", staff.id, "password_reset", version=staff.version + 1, write=write)
        await self._sessions.end_all(staff.id)
        log.info("staff_password_reset", staff_id=staff_id, by=actor.id)
        return StaffCredentials(await self._existing(staff_id), password)

    async def _existing(self, staff_id: str) -> Staff:
        staff = await self._staff.get(staff_id)
        if staff is None:
            raise NotFound
        return staff

    async def _check(self, roles: frozenset[Role] | None, department_id: str | None) -> None:
        if roles is not None and (not roles or not roles <= STAFF_ROLES):
            raise InvalidInput("请至少选择一个工作人员角色。", field="roles")
        if department_id is not None and await self._organisation.department(department_id) is None:
            raise InvalidInput("没有这个部门。", field="department_id")


def _administers(staff: Staff) -> bool:
    return staff.active and Role.ADMIN in staff.roles
