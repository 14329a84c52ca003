"""Identifiers: UUIDv7 as text, made by us; any UUID as text, made by clients."""

from __future__ import annotations

import re
import uuid

import uuid_utils

#: Characters of a UUID as text.
UUID_LENGTH = 36
_UUID = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")


def new_id() -> str:
    """A new UUIDv7 as lower-case text: sorts by the time of its making."""
    return str(uuid_utils.uuid7())


def is_uuid(text: str) -> bool:
    """Whether `text` is a UUID in canonical lower-case form, of any version."""
    return bool(_UUID.match(text))


def derived_id(namespace: str, name: str) -> str:
    """The same UUIDv5 for the same pair: for records that an import or a relay may write again."""
    return str(uuid.uuid5(uuid.uuid5(uuid.NAMESPACE_URL, f"banshi:{namespace}"), name))
