"""Nodes as they are run: `run.py serve --workers k`, each with a `var` of its own, on shared stores."""

from __future__ import annotations

import json
import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from config.settings import Settings
from tests.cluster.processes import LOOPBACK, ROOT, Program
from tests.embedded.machine import processes_below, wait_until


class Standin(Program):
    """The WeChat stand-in all nodes share."""

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def _command(self) -> Sequence[str]:
        settings = Settings.model_construct()
        return (
            *(sys.executable, "-m", "backend.wechat_standin", "--port", str(self.port)),
            *("--appid", settings.wechat_appid, "--secret", settings.wechat_secret.get_secret_value()),
        )


class ServeNode(Program):
    """One host of a deployment."""

    def __init__(self, name: str, folder: Path, environment: Mapping[str, str], *, workers: int = 1) -> None:
        """`environment` names the stores; it may be changed between two starts."""
        super().__init__(name, folder)
        self.var = folder / "var"
        self.var.mkdir(exist_ok=True)
        self.workers = workers
        self.environment = dict(environment)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def warp(self, offset: timedelta) -> None:
        """Put this node's clock ahead of the machine's; a running node sees it at once."""
        partial = self.var / "clock-offset.new"
        partial.write_text(str(offset.total_seconds()))
        partial.replace(self.var / "clock-offset")

    def pids(self) -> list[int]:
        """The supervisor, its server processes and its worker."""
        below = [int(line.split()[0]) for line in processes_below(self.var)]
        return [*super().pids(), *(pid for pid in below if pid != self.pid)]

    def servers(self) -> list[int]:
        """Its server processes, oldest first."""
        return sorted(
            int(line.split()[0]) for line in processes_below(self.var) if "backend.commands.server_process" in line
        )

    def kill(self) -> None:
        """kill -9 of the whole host's processes."""
        super().kill()
        wait_until(lambda: not processes_below(self.var), f"nothing of {self.name} is left")

    def kill_server(self) -> int:
        """kill -9 of one server process; the supervisor brings another. Returns the pid."""
        pid = self.servers()[0]
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return pid

    def get(self, path: str, timeout: float = 10.0) -> tuple[int, Any]:
        """(status, document) of a GET to this node itself; (0, None) when nobody answers."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=timeout) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)
        except OSError:
            return 0, None

    @property
    def ready(self) -> bool:
        """Whether /readyz says yes."""
        return self.get("/readyz")[0] == 200

    def _command(self) -> Sequence[str]:
        return (
            *(sys.executable, str(ROOT / "run.py"), "serve", "--logs", "terminal"),
            *("--host", LOOPBACK, "--port", str(self.port), "--workers", str(self.workers)),
        )

    def _environment(self) -> Mapping[str, str]:
        plain = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("BANSHI_") and name not in ("MONGO_URL", "REDIS_URL")
        }
        return {**plain, **self.environment, "BANSHI_VAR": str(self.var)}

    def _is_ready(self) -> bool:
        # run.json comes last: all server processes and the worker are there by then
        try:
            mine = json.loads((self.var / "run.json").read_text())["pid"] == self.pid
        except (OSError, ValueError):
            return False
        return mine and self.ready
