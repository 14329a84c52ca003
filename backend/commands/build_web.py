"""`run.py build-web`: make the pages in web/ when their sources are not those of the last build."""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from backend.commands.errors import CommandError
from backend.commands.node import Node, find_node
from backend.commands.terminal import complain, say

_ROOT: Final = Path(__file__).resolve().parents[2]
WEB: Final = _ROOT / "web"
_OPENAPI: Final = _ROOT / "docs" / "openapi.json"
_LOCK: Final = WEB / "package-lock.json"

#: What a build leaves, by target; its stamp lies in the folder and says of which sources it is.
TARGETS: Final = {
    "build": (WEB / "desk" / "dist", WEB / "citizen" / "dist" / "build" / "h5"),
    "build:mp": (WEB / "citizen" / "dist" / "build" / "mp-weixin",),
}
_STAMP: Final = ".sources"
#: The origin that a mini-program calls; see web/citizen/src/lib/origin.ts.
_SERVER: Final = "VITE_SERVER_ORIGIN"
_SKIPPED: Final = frozenset({"node_modules", "dist", ".vite"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--mini-program", action="store_true", help="构建微信小程序 / build the WeChat mini-program")
    parser.add_argument("--check", action="store_true", help="检查代码与类型 / lint and types instead of a build")
    parser.add_argument("--force", action="store_true", help="源文件没有变化也重新构建 / build even if nothing changed")
    parser.add_argument(
        "--or-go-on",
        action="store_true",
        help="构建不成时只提示，不算失败 / a build that cannot be made is told, not an error",
    )


def run(options: argparse.Namespace) -> int:
    """Build what is asked for. Raises `CommandError`."""
    try:
        if options.check:
            check()
        else:
            build("build:mp" if options.mini_program else "build", force=options.force)
    except CommandError as error:
        if not options.or_go_on:
            raise
        complain(f"{error}")
        complain("没有网页，系统照常启动 / the system starts without pages")
    return 0


def build(target: str = "build", *, force: bool = False) -> bool:
    """Make `target` unless it is made of these very sources. Says whether it was made now.

    Two processes that ask at the same time build once. Raises `CommandError`.
    """
    sources = digest(target)
    if not force and _is_built(target, sources):
        return False
    with _alone():
        if not force and _is_built(target, sources):
            return False
        started = time.monotonic()
        node = find_node()
        _install(node)
        say(f"正在构建网页 / building the pages ({target}, Node {node.version})")
        for folder in TARGETS[target]:
            (folder / _STAMP).unlink(missing_ok=True)
        _npm(node, "run", target)
        for folder in TARGETS[target]:
            (folder / _STAMP).write_text(sources)
        say(f"网页已构建 / pages built, {time.monotonic() - started:.0f} s")
    return True


def check() -> None:
    """Lint and types of everything in web/. Raises `CommandError`."""
    with _alone():
        node = find_node()
        _install(node)
        for script in ("api", "lint", "types"):
            if node.run("run", "--silent", script, folder=WEB) != 0:
                raise CommandError(f"web: npm run {script} 未通过 / failed")


def install() -> Node:
    """What web/package-lock.json names, and the Node to run it with. Raises `CommandError`."""
    with _alone():
        node = find_node()
        _install(node)
    return node


def digest(target: str) -> str:
    """SHA-256 over the names and contents of everything the pages of `target` are made of."""
    total = hashlib.sha256()
    if target == "build:mp":  # the server's address is compiled in
        total.update(os.environ.get(_SERVER, "").encode())
    for path in [*_sources(), _OPENAPI]:
        total.update(f"{path.relative_to(_ROOT)}\0{path.stat().st_size}\0".encode())
        total.update(path.read_bytes())
    return total.hexdigest()


def _sources() -> list[Path]:
    found: list[Path] = []
    for folder, names, files in os.walk(WEB):
        names[:] = sorted(name for name in names if name not in _SKIPPED)
        # The schema is made of docs/openapi.json, which is counted.
        found += [Path(folder) / name for name in sorted(files) if name != "schema.d.ts" and not name.startswith(".b")]
    return found


def _is_built(target: str, sources: str) -> bool:
    return all((folder / _STAMP).exists() and (folder / _STAMP).read_text() == sources for folder in TARGETS[target])


def _install(node: Node) -> None:
    """What package-lock.json names, unless it is there."""
    stamp = WEB / "node_modules" / ".installed"
    wanted = hashlib.sha256(_LOCK.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    say("安装前端依赖 / installing what web/package-lock.json names (once; about a minute)")
    _npm(node, "ci", "--no-audit", "--no-fund", "--loglevel=error")
    stamp.write_text(wanted)


def _npm(node: Node, *arguments: str) -> None:
    log = _ROOT / "var" / "log" / "web-build.log"
    before = log.stat().st_size if log.exists() else 0
    if node.run(*arguments, folder=WEB, log=log) != 0:
        tail = log.read_bytes()[before:].decode(errors="replace").strip().splitlines()[-25:]
        for line in tail:
            complain(line)
        raise CommandError(f"npm {' '.join(arguments)} 失败，详见 / failed, see {log.relative_to(_ROOT)}")


@contextmanager
def _alone() -> Iterator[None]:
    """One build at a time in this checkout."""
    with (WEB / ".build-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
