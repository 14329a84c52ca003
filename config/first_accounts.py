"""The file of the accounts that the first start made: where it lies and how it reads."""

from __future__ import annotations

from pathlib import Path

ACCOUNTS_FILE = "first-accounts.txt"
#: The username of the first administrator.
ADMIN = "admin"

_COLUMNS = ("username", "password", "name", "roles", "department")


def read_accounts(file: Path) -> list[dict[str, str]]:
    """Its rows: username, password, name, roles (joined by commas), department. Empty when there is no file."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [dict(zip(_COLUMNS, line.split("\t"), strict=False)) for line in lines if line and not line.startswith("#")]
