"""Who may do what: the table, what it means, and the document that shows it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from backend.domain.access import ANONYMOUS, SYSTEM, TABLE, Actor, Permission, Role, Scope, Target, allows, require
from backend.domain.errors import Forbidden, NotFound, Unauthenticated

DOCUMENT = Path(__file__).parents[2] / "docs" / "guarantees.md"

CITIZEN = Actor("citizen", "c1", frozenset({Role.CITIZEN}))
#: Things of which an actor is or is not the owner, from the nearest to the farthest.
THINGS = {
    "own": Target(citizen_id="c1", staff_ids=frozenset({"s1"})),
    "of the post": Target(citizen_id="c2", post_id="p1", department_id="d1"),
    "of the department": Target(citizen_id="c2", post_id="p2", department_id="d1"),
    "of nobody near": Target(citizen_id="c2", staff_ids=frozenset({"s2"}), post_id="p9", department_id="d9"),
    "of nobody at all": Target(),
}
REACH = {
    Scope.OWN: {"own"},
    Scope.ASSIGNED: {"own", "of the post"},
    Scope.DEPARTMENT: {"own", "of the post", "of the department"},
    Scope.ANY: set(THINGS),
}


def holder_of(role: Role) -> Actor:
    if role is Role.CITIZEN:
        return CITIZEN
    return Actor("staff", "s1", frozenset({role}), department_id="d1", post_ids=frozenset({"p1"}))


def documented() -> dict[Role, dict[Permission, Scope]]:
    """The table of the section "Permissions", read back."""
    section = DOCUMENT.read_text(encoding="utf-8").split("## Permissions\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    found: dict[Role, dict[Permission, Scope]] = {Role(name): {} for name in head[1:]}
    for row in rows:
        permission = re.match(r"`(\w+)`", row[0])
        assert permission, row[0]
        for name, cell in zip(head[1:], row[1:], strict=True):
            if cell != "–":
                found[Role(name)][Permission(permission[1])] = Scope(cell)
    return found


def test_the_documented_permissions_are_the_table() -> None:
    assert documented() == TABLE


@pytest.mark.parametrize("role", Role)
def test_a_role_reaches_as_far_as_its_scope(role: Role) -> None:
    actor = holder_of(role)
    for permission in set(Permission) - {Permission.READ_CATALOGUE}:
        scope = TABLE[role].get(permission)
        reached = {name for name, thing in THINGS.items() if allows(actor, permission, thing)}
        assert reached == (REACH[scope] if scope else set()), permission


def test_a_refusal_does_not_tell_that_the_thing_is_there() -> None:
    far = THINGS["of nobody near"]
    with pytest.raises(Unauthenticated):
        require(ANONYMOUS, Permission.READ_CASE, far)
    with pytest.raises(Forbidden):
        require(CITIZEN, Permission.HANDLE_CASE, far)
    with pytest.raises(NotFound):
        require(CITIZEN, Permission.READ_CASE, far)
    require(CITIZEN, Permission.READ_CASE, THINGS["own"])


def test_a_citizen_and_a_clerk_of_the_same_id_are_two_people() -> None:
    namesake = Actor("staff", "c1", frozenset({Role.CLERK}))
    assert not allows(namesake, Permission.READ_CASE, Target(citizen_id="c1"))


def test_the_catalogue_is_for_everybody_and_the_product_may_do_all() -> None:
    require(ANONYMOUS, Permission.READ_CATALOGUE)
    for permission in Permission:
        require(SYSTEM, permission, THINGS["of nobody at all"])
