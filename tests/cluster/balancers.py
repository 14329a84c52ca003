"""haproxy and nginx with the very configuration that docs/operations.md recommends.

The document's blocks are taken as they stand; only the addresses in them are replaced by those of a test,
and numbers of descriptors by what any machine allows.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pytest

from tests.cluster.processes import LOOPBACK, ROOT, Program

DOCUMENT = ROOT / "docs" / "operations.md"


def unavailable(reason: str) -> NoReturn:
    """What this machine cannot have: no test of it, and no green light of a build server without it."""
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(f"{reason} (with CI=true this must run)")
    pytest.skip(reason)


def find_balancer(name: str) -> str:
    """Path of `haproxy` or `nginx`; Debian's package is installed where that is allowed, else the test is skipped."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    if not shutil.which(name, path=path) and os.geteuid() == 0 and shutil.which("apt-get"):
        with (Path(tempfile.gettempdir()) / "banshi-balancers.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not shutil.which(name, path=path):
                # without policy-rc.d Debian would start a service of its own on port 80
                quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
                for words in (("update",), ("install", "-y", "--no-install-recommends", name)):
                    subprocess.run(["apt-get", "-q", *words], env=quiet, check=False, capture_output=True, timeout=600)
    found = shutil.which(name, path=path)
    if found is None:
        unavailable(f"{name} is not on this machine: apt-get install {name}")
    return found


def recipe(language: str) -> str:
    """The one block of docs/operations.md in this language, as it stands there."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1, f"{len(blocks)} blocks of {language} in {DOCUMENT.name}"
    return str(blocks[0])


def _replaced(text: str, old: str, new: str) -> str:
    assert old in text, f"the recipe has no {old!r} any more"
    return text.replace(old, new)


class Balancer(Program):
    """A load balancer of the recipe before some nodes."""

    language = ""
    #: The addresses of the recipe's nodes.
    RECIPE_NODES = ("10.0.0.11:8080", "10.0.0.12:8080")

    def __init__(self, folder: Path, nodes: Sequence[int]) -> None:
        """`nodes` are the ports of two nodes on this machine."""
        self.program = find_balancer(self.language)
        super().__init__(self.language, folder)
        self.nodes = tuple(nodes)
        self.config_file = folder / f"{self.language}.cfg"
        self.write()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def write(self, *, without: Sequence[int] = ()) -> None:
        """Fill in the recipe's addresses; the nodes on the ports `without` are marked down."""
        text = recipe(self.language)
        for stands, port in zip(self.RECIPE_NODES, self.nodes, strict=True):
            text = _replaced(text, stands, f"{LOOPBACK}:{port}")
        for port in without:
            text = self._marked_down(text, f"{LOOPBACK}:{port}")
        self.config_file.write_text(self._filled_in(text), encoding="utf-8")

    def reload(self) -> None:
        """Read the configuration anew, as the package's `systemctl reload` does."""
        raise NotImplementedError

    def _filled_in(self, text: str) -> str:
        raise NotImplementedError

    def _marked_down(self, text: str, address: str) -> str:
        raise NotImplementedError

    def pids(self) -> list[int]:
        """The master and its workers, old ones included."""
        if self.pid is None:
            return []
        done = subprocess.run(["ps", "-eo", "pid=,sid="], capture_output=True, text=True, check=True)
        rows = [line.split() for line in done.stdout.splitlines()]
        return [int(pid) for pid, session in rows if int(session) == self.pid]


class Haproxy(Balancer):
    """haproxy in master-worker mode, as Debian's unit runs it."""

    language = "haproxy"

    def _command(self) -> Sequence[str]:
        # a UNIX socket's whole path has 97 characters at most, so it is named from where haproxy stands
        return (self.program, "-W", "-db", "-C", str(self.folder), "-f", str(self.config_file))

    def _filled_in(self, text: str) -> str:
        text = _replaced(text, "maxconn 25000", "maxconn 1000")  # what any machine's limits allow
        text = _replaced(text, "bind :80", f"bind {LOOPBACK}:{self.port}")
        return _replaced(text, "/run/haproxy/admin.sock", "unix@admin.sock")

    def _marked_down(self, text: str, address: str) -> str:
        return _replaced(text, f"{address} ", f"{address} disabled ")

    def reload(self) -> None:
        assert self.pid
        os.kill(self.pid, signal.SIGUSR2)


class Nginx(Balancer):
    """nginx in the foreground, as a service of its own."""

    language = "nginx"

    def _command(self) -> Sequence[str]:
        words = ("-p", str(self.folder), "-c", str(self.config_file), "-g", "daemon off;")
        return (self.program, "-e", str(self.folder / "error.log"), *words)

    def _filled_in(self, text: str) -> str:
        text = _replaced(text, "worker_rlimit_nofile 60000", "worker_rlimit_nofile 4096")
        text = _replaced(text, "worker_connections 25000", "worker_connections 1000")
        text = _replaced(text, "listen 80", f"listen {LOOPBACK}:{self.port}")
        text = _replaced(text, "/run/nginx.pid", str(self.folder / "nginx.pid"))
        text = _replaced(text, "/var/log/nginx/", f"{self.folder}/")
        # in a test's folder, which only its owner may enter
        temporary = "".join(
            f"    {kind}_temp_path {self.folder}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        text = _replaced(text, "http {\n", f"http {{\n{temporary}")
        return ("user root;\n" if os.geteuid() == 0 else "") + re.sub(r"^user .*;\n", "", text, flags=re.MULTILINE)

    def _marked_down(self, text: str, address: str) -> str:
        return re.sub(rf"(server {re.escape(address)}[^;]*);", r"\1 down;", text)

    def reload(self) -> None:
        assert self.pid
        os.kill(self.pid, signal.SIGHUP)
