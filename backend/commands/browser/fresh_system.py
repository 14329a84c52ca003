"""A whole system of one's own, fresh, on the sample district, at an hour of one's choice on the next working day."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time as machine
import urllib.parse
import urllib.request
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any, Final

from backend.commands.errors import CommandError
from backend.domain.calendar import NATIONAL, SHANGHAI, add_working_days
from config.first_accounts import ACCOUNTS_FILE, ADMIN, read_accounts

_ROOT: Final = Path(__file__).resolve().parents[3]
_START_SECONDS: Final = 90.0


class FreshSystem:
    """`run.py serve` with nothing configured but its folder, its port and its clock: half past `hour`."""

    def __init__(self, var: Path, *, hour: int = 10, web: Path | None = None) -> None:
        self.var = var
        day = add_working_days(datetime.now(SHANGHAI).date(), 1, NATIONAL).day
        moment = datetime.combine(day, time(hour, 30), SHANGHAI)
        self.ahead = (moment - datetime.now(UTC)).total_seconds()
        """Seconds by which its clock is ahead of the machine's."""
        var.mkdir(parents=True)
        (var / "clock-offset").write_text(str(self.ahead))
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self._web = {"BANSHI_WEB": str(web)} if web else {}
        self.process: subprocess.Popen[bytes] | None = None
        self._clerks: dict[str, str] = {}

    @property
    def url(self) -> str:
        """Where it is, whenever it runs."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it and wait until it answers. Raises `CommandError`. After a kill it is at the same address again."""
        plain = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("BANSHI_") and name not in ("MONGO_URL", "REDIS_URL")
        }
        given = {"BANSHI_VAR": str(self.var), "BANSHI_LOGIN_RATE_PER_MINUTE": "10000", **self._web}
        with (self.var / "output.log").open("ab") as output:
            self.process = process = subprocess.Popen(
                [sys.executable, str(_ROOT / "run.py"), "serve", "--port", str(self._port)],
                env=plain | given,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = machine.monotonic() + _START_SECONDS
        while not self._runs(process.pid):
            if process.poll() is not None or machine.monotonic() > deadline:
                self.stop()
                raise CommandError(f"the system does not start: {(self.var / 'output.log').read_text()[-2000:]}")
            machine.sleep(0.05)

    def stop(self) -> None:
        """Stop it as Ctrl-C does."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)

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
        """Where the fake phone is."""
        return str(self.info["wechat_standin_url"])

    def password(self, username: str) -> str:
        """The password of one of the first accounts."""
        rows = {row["username"]: row for row in read_accounts(self.var / ACCOUNTS_FILE)}
        return rows[username]["password"]

    def clerk_of(self, matter: str) -> str:
        """The username of the clerk who answers first for a matter of the sample district."""
        if matter not in self._clerks:
            self._clerks[matter] = find_clerk(self.url, self.password(ADMIN), matter)
        return self._clerks[matter]

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None, token: str = "") -> dict[str, Any]:
        """One request, for what must be known beforehand."""
        return ask(self.url, method, path, body, token)


def find_clerk(url: str, password: str, matter: str) -> str:
    """The username of who is first in the post that answers for a matter. Raises `CommandError`."""
    token = ask(url, "POST", "/api/staff/login", {"username": ADMIN, "password": password})["access_token"]
    found = ask(url, "GET", f"/api/matters/search?q={urllib.parse.quote(matter)}&limit=5")["items"]
    entry = next(hit["matter"] for hit in found if hit["matter"]["name"] == matter)
    for query in (f"matter_id={entry['id']}", f"department_id={entry['department_id']}"):
        rules = ask(url, "GET", f"/api/organisation/responsibilities?{query}&limit=100", token=token)["items"]
        for rule in rules:
            general = not rule["area_code"] and not rule["reception_mode"]
            if general and rule["matter_id"] in (None, entry["id"]):
                post = ask(url, "GET", f"/api/organisation/posts/{rule['post_id']}", token=token)
                first = min(post["holders"], key=lambda holder: holder["rank"])["staff_id"]
                return str(ask(url, "GET", f"/api/staff/{first}", token=token)["username"])
    raise CommandError(f"no post answers for {matter}")


def ask(url: str, method: str, path: str, body: dict[str, Any] | None = None, token: str = "") -> dict[str, Any]:
    """One JSON request. Raises urllib's errors."""
    request = urllib.request.Request(  # noqa: S310 - our own address
        url + path,
        method=method,
        data=json.dumps(body).encode() if body is not None else None,
        headers={"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
        return dict(json.load(answer))
