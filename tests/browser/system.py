"""The whole system as people start it, in a folder of its own, at an hour of one's choice."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

from backend.domain.calendar import NATIONAL, SHANGHAI, add_working_days
from config.first_accounts import ACCOUNTS_FILE, read_accounts
from tests.embedded.machine import processes_below, wait_until

ROOT = Path(__file__).parent.parent.parent
ADMIN = "admin"


class System:
    """`run.py serve` on the sample district, on the next working day at `hour`:30."""

    def __init__(self, var: Path, *, hour: int = 10, web: Path | None = None) -> None:
        self.var = var
        day = add_working_days(datetime.now(SHANGHAI).date(), 1, NATIONAL).day
        moment = datetime.combine(day, time(hour, 30), SHANGHAI)
        self.ahead = (moment - datetime.now(UTC)).total_seconds()
        var.mkdir(parents=True)
        (var / "clock-offset").write_text(str(self.ahead))
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self._web = {"BANSHI_WEB": str(web)} if web else {}
        self._process: subprocess.Popen[bytes] | None = None
        self._clerks: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it and wait until it answers. After a kill it comes back at the same address."""
        plain = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("BANSHI_") and name not in ("MONGO_URL", "REDIS_URL")
        }
        given = {"BANSHI_VAR": str(self.var), "BANSHI_LOGIN_RATE_PER_MINUTE": "10000", **self._web}
        self._process = subprocess.Popen(
            [sys.executable, str(ROOT / "run.py"), "serve", "--port", str(self._port)],
            env=plain | given,
            stdout=(self.var / "output.log").open("ab"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        process = self._process
        wait_until(lambda: self._runs(process.pid) or process.poll() is not None, "the system is up", 90)
        assert process.poll() is None, (self.var / "output.log").read_text()

    def _runs(self, pid: int) -> bool:
        try:
            return bool(self.info["pid"] == pid)
        except (OSError, ValueError):
            return False

    @property
    def info(self) -> dict[str, Any]:
        """What run.json says."""
        return dict(json.loads((self.var / "run.json").read_text()))

    @property
    def standin_url(self) -> str:
        return str(self.info["wechat_standin_url"])

    def kill(self) -> None:
        """kill -9 of everything at once: servers, worker, databases, stand-in."""
        assert self._process
        for line in [str(self._process.pid), *processes_below(self.var)]:
            try:
                os.kill(int(line.split()[0]), signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.wait(10)
        wait_until(lambda: not processes_below(self.var), "all gone")

    def stop(self) -> None:
        """End it, however."""
        if self._process and (self._process.poll() is None or processes_below(self.var)):
            self.kill()

    def password(self, username: str) -> str:
        rows = {row["username"]: row for row in read_accounts(self.var / ACCOUNTS_FILE)}
        return rows[username]["password"]

    def clerk_of(self, matter: str) -> str:
        """The username of the clerk who answers first for a matter of the sample district."""
        if matter not in self._clerks:
            token = self.ask("POST", "/api/staff/login", {"username": ADMIN, "password": self.password(ADMIN)})
            bearer = token["access_token"]
            found = self.ask("GET", f"/api/matters/search?q={urllib.request.quote(matter)}&limit=5")["items"]
            entry = next(hit["matter"] for hit in found if hit["matter"]["name"] == matter)
            holder = self._holder(entry, bearer)
            self._clerks[matter] = self.ask("GET", f"/api/staff/{holder}", token=bearer)["username"]
        return self._clerks[matter]

    def _holder(self, entry: dict[str, Any], bearer: str) -> str:
        for query in (f"matter_id={entry['id']}", f"department_id={entry['department_id']}"):
            rules = self.ask("GET", f"/api/organisation/responsibilities?{query}&limit=100", token=bearer)["items"]
            for rule in rules:
                general = not rule["area_code"] and not rule["reception_mode"]
                if general and rule["matter_id"] in (None, entry["id"]):
                    post = self.ask("GET", f"/api/organisation/posts/{rule['post_id']}", token=bearer)
                    return str(min(post["holders"], key=lambda holder: holder["rank"])["staff_id"])
        raise AssertionError(f"nobody answers for {entry['name']}")

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None, token: str = "") -> dict[str, Any]:
        """One request, for what a test must know; what it does, it does in the browser."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return dict(json.load(answer))
