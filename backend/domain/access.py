"""Who may do what: one table, asked by services alone, so that HTTP and sockets cannot differ."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from backend.domain.errors import Forbidden, NotFound, Unauthenticated


class Role(StrEnum):
    CITIZEN = "citizen"
    CLERK = "clerk"  # 经办人
    LEAD = "lead"  # duty lead of a department
    TRIAGE = "triage"  # the district's desk for what has no holder
    HALL = "hall"  # one-window hall staff
    SUPERVISOR = "supervisor"
    EDITOR = "editor"  # keeps the catalogue
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts. `anonymous` is nobody; `system` is the product itself (timers, imports).

    `must_change_password`: logged in with a password that somebody else knows, and until it is changed for
    nothing but that.
    """

    kind: Literal["citizen", "staff", "system", "anonymous"]
    id: str
    roles: frozenset[Role] = frozenset()
    department_id: str | None = None
    post_ids: frozenset[str] = frozenset()
    session_id: str | None = None
    name: str = ""
    must_change_password: bool = False


ANONYMOUS = Actor(kind="anonymous", id="")
SYSTEM = Actor(kind="system", id="system", name="系统")


class Permission(StrEnum):
    """What can be done. One word per verb of the services."""

    READ_CATALOGUE = "read_catalogue"
    EDIT_CATALOGUE = "edit_catalogue"
    MANAGE_STAFF = "manage_staff"
    READ_ORGANISATION = "read_organisation"
    MANAGE_ORGANISATION = "manage_organisation"
    MANAGE_ANNOUNCEMENTS = "manage_announcements"

    FILE_CASE = "file_case"  # draft, submit, correct, withdraw
    READ_CASE = "read_case"
    HANDLE_CASE = "handle_case"  # accept, ask for correction, refuse acceptance
    DECIDE_CASE = "decide_case"  # approve or refuse
    ATTACH_MATERIAL = "attach_material"
    READ_MATERIAL = "read_material"

    ASK = "ask"  # open a consultation
    READ_CONSULTATION = "read_consultation"
    SPEAK = "speak"  # send into a consultation
    ANSWER = "answer"  # be offered and answer consultations
    NOTE = "note"  # write what citizens do not see
    SET_PRESENCE = "set_presence"
    KEEP_QUICK_REPLIES = "keep_quick_replies"


class Scope(StrEnum):
    """On whose things a permission holds."""

    OWN = "own"  # a citizen's own
    ASSIGNED = "assigned"  # of a post one holds, or given to one personally
    DEPARTMENT = "department"
    ANY = "any"


_P = Permission
_S = Scope

#: Role → what it may do and on whose things. A role that is not named for a permission does not have it.
TABLE: dict[Role, dict[Permission, Scope]] = {
    Role.CITIZEN: {
        _P.FILE_CASE: _S.OWN,
        _P.READ_CASE: _S.OWN,
        _P.ATTACH_MATERIAL: _S.OWN,
        _P.READ_MATERIAL: _S.OWN,
        _P.ASK: _S.OWN,
        _P.READ_CONSULTATION: _S.OWN,
        _P.SPEAK: _S.OWN,
    },
    Role.CLERK: {
        _P.READ_ORGANISATION: _S.ANY,
        _P.READ_CASE: _S.ASSIGNED,
        _P.HANDLE_CASE: _S.ASSIGNED,
        _P.DECIDE_CASE: _S.ASSIGNED,
        _P.READ_MATERIAL: _S.ASSIGNED,
        _P.READ_CONSULTATION: _S.ASSIGNED,
        _P.SPEAK: _S.ASSIGNED,
        _P.ANSWER: _S.ASSIGNED,
        _P.NOTE: _S.ASSIGNED,
        _P.SET_PRESENCE: _S.OWN,
        _P.KEEP_QUICK_REPLIES: _S.OWN,
    },
    Role.LEAD: {
        _P.READ_ORGANISATION: _S.ANY,
        _P.READ_CASE: _S.DEPARTMENT,
        _P.HANDLE_CASE: _S.DEPARTMENT,
        _P.DECIDE_CASE: _S.DEPARTMENT,
        _P.READ_MATERIAL: _S.DEPARTMENT,
        _P.READ_CONSULTATION: _S.DEPARTMENT,
        _P.SPEAK: _S.DEPARTMENT,
        _P.ANSWER: _S.DEPARTMENT,
        _P.NOTE: _S.DEPARTMENT,
        _P.SET_PRESENCE: _S.OWN,
        _P.KEEP_QUICK_REPLIES: _S.DEPARTMENT,
    },
    Role.TRIAGE: {
        _P.READ_ORGANISATION: _S.ANY,
        _P.READ_CASE: _S.ANY,
        _P.HANDLE_CASE: _S.ASSIGNED,
        _P.DECIDE_CASE: _S.ASSIGNED,
        _P.READ_MATERIAL: _S.ASSIGNED,
        _P.READ_CONSULTATION: _S.ANY,
        _P.SPEAK: _S.ANY,
        _P.ANSWER: _S.ANY,
        _P.NOTE: _S.ANY,
        _P.SET_PRESENCE: _S.OWN,
        _P.KEEP_QUICK_REPLIES: _S.OWN,
    },
    Role.HALL: {_P.READ_ORGANISATION: _S.ANY},
    Role.SUPERVISOR: {
        _P.READ_ORGANISATION: _S.ANY,
        _P.READ_CASE: _S.ANY,
        _P.READ_CONSULTATION: _S.ANY,
    },
    Role.EDITOR: {
        _P.READ_ORGANISATION: _S.ANY,
        _P.EDIT_CATALOGUE: _S.ANY,
        _P.MANAGE_ANNOUNCEMENTS: _S.ANY,
    },
    Role.ADMIN: {
        _P.READ_ORGANISATION: _S.ANY,
        _P.EDIT_CATALOGUE: _S.ANY,
        _P.MANAGE_STAFF: _S.ANY,
        _P.MANAGE_ORGANISATION: _S.ANY,
        _P.MANAGE_ANNOUNCEMENTS: _S.ANY,
        _P.KEEP_QUICK_REPLIES: _S.ANY,
    },
}


@dataclass(frozen=True, slots=True)
class Target:
    """What the decision needs to know of a thing: whose it is and who answers for it."""

    citizen_id: str | None = None
    staff_ids: frozenset[str] = frozenset()
    post_id: str | None = None
    department_id: str | None = None


def allows(actor: Actor, permission: Permission, target: Target | None = None) -> bool:
    """Whether `actor` may exercise `permission`, on `target` when one is given (else: on anything at all)."""
    if actor.kind == "system" or permission is Permission.READ_CATALOGUE:
        return True
    for role in actor.roles:
        scope = TABLE[role].get(permission)
        if scope is not None and (target is None or _covers(scope, actor, target)):
            return True
    return False


def _covers(scope: Scope, actor: Actor, target: Target) -> bool:
    if scope is Scope.ANY:
        return True
    if scope is Scope.OWN:
        return target.citizen_id == actor.id if actor.kind == "citizen" else actor.id in target.staff_ids
    if actor.id in target.staff_ids or (target.post_id is not None and target.post_id in actor.post_ids):
        return True
    return (
        scope is Scope.DEPARTMENT and target.department_id is not None and target.department_id == actor.department_id
    )


def require(actor: Actor, permission: Permission, target: Target | None = None) -> None:
    """Let through or raise.

    Raises `Unauthenticated` for nobody, `Forbidden` for a role that can never do this, and `NotFound`
    for a thing that is out of the actor's reach: a stranger cannot tell it from one that is not there.
    """
    if actor.kind == "anonymous" and permission is not Permission.READ_CATALOGUE:
        raise Unauthenticated
    if target is not None and allows(actor, permission, target):
        return
    if not allows(actor, permission):
        raise Forbidden
    if target is not None:
        raise NotFound
