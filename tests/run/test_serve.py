"""The life of a system on one machine: starts, deaths, restarts, with the wheels' own servers."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from backend.commands.children import Keeper, Process
from backend.commands.errors import CommandError
from tests.embedded.machine import alive, processes_below, wait_until
from tests.figures import Figures
from tests.run.conftest import Result, Running

#: Whole systems are started here, each within a few seconds on a machine at rest.
pytestmark = pytest.mark.timeout(600)

Serve = Callable[..., Running]
Command = Callable[..., Result]


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=30) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as response:
        return str(response.read().decode())


def logs_in(url: str, username: str, password: str) -> bool:
    body = json.dumps({"username": username, "password": password}).encode()
    request = urllib.request.Request(f"{url}/api/staff/login", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        return bool(response.status == 200)


def children(var: Path, words: str) -> list[int]:
    return [int(line.split()[0]) for line in processes_below(var) if words in line]


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid), "it is dead")


def test_first_start_deaths_and_a_second_start(serve: Serve, command: Command) -> None:
    system = serve("--workers", "2")
    system.ready()
    var, url = system.var, system.info["url"]
    accounts = var / "first-accounts.txt"
    assert stat.S_IMODE(accounts.stat().st_mode) == 0o600
    assert stat.S_IMODE((var / "run.json").stat().st_mode) == 0o600
    assert answers(f"{url}/readyz")
    assert answers(f"{url}/healthz")
    again = command("serve")
    assert again.returncode == 1
    assert again.stderr.count("\n") == 1
    assert url in again.stderr
    made = command("create-admin", "secondadmin")
    assert made.returncode == 0, made.stderr
    told = re.match(r"secondadmin +(\S{16,})\n", made.stdout)
    assert told
    assert logs_in(url, "secondadmin", told[1])

    # One scrape tells of every process, whichever of them takes it.
    for _ in range(4):
        figures = Figures.parse(read(f"{url}/metrics"))
        up = {name: figures("banshi_process_up", process=name) for name in ("server-1", "server-2", "worker")}
        assert up == {"server-1": 1, "server-2": 1, "worker": 1}
        assert figures("banshi_http_requests_total", route="/api/staff/login", status="2xx") == 1
        assert figures("process_resident_memory_bytes", process="worker") > 10e6

    # A server process dies: its sibling answers on the same port, and it comes back.
    server = children(var, "server-1")[0]
    kill(server)
    assert answers(f"{url}/readyz")
    wait_until(lambda: bool(children(var, "server-1")), "the server is back")
    # Each of these comes back at the address it had.
    mongod = children(var, "mongod --")[0]
    kill(mongod)
    wait_until(lambda: children(var, "mongod --") not in ([], [mongod]), "mongod is back")
    standin = children(var, "wechat_standin")[0]
    kill(standin)
    wait_until(lambda: bool(children(var, "wechat_standin")), "the stand-in is back")
    wait_until(lambda: answers(f"{url}/readyz"), "it is ready again")

    assert system.interrupt() == 0
    system.nothing_left()
    first = system.output()
    password = accounts.read_text().split("admin\t")[1].split("\t")[0]
    assert url in first
    assert password in first
    assert not (var / "run.json").exists()

    second = serve()
    assert second.ready() < 50  # seconds; below one and a half on a machine at rest
    assert logs_in(second.info["url"], "secondadmin", told[1])
    assert command("doctor").returncode == 0
    second.kill_everything()
    assert (var / "run.json").exists()
    assert command("doctor").returncode == 3

    shutil.rmtree(var / "log")  # those tell of the deaths above, at length
    third = serve()
    third.ready()
    assert logs_in(third.info["url"], "secondadmin", told[1])
    assert third.interrupt(signal.SIGTERM) == 0
    third.nothing_left()
    later = third.output()
    assert password not in later
    assert str(accounts) in later
    for log in (var / "log").iterdir():
        assert "Traceback" not in log.read_text(), f"{log} tells of a disorderly end"


def test_two_checkouts_run_side_by_side_and_a_killed_supervisor_takes_all_along(serve: Serve) -> None:
    one, other = serve(var="one"), serve(var="other")
    one.ready()
    other.ready()
    for name in ("url", "mongo_url", "redis_url", "wechat_standin_url"):
        assert one.info[name] != other.info[name]
    one.process.kill()
    one.process.wait()
    one.nothing_left()
    assert answers(f"{other.info['url']}/readyz")
    other.interrupt()
    other.interrupt()
    other.nothing_left()


def test_an_interrupted_start_leaves_nothing(serve: Serve) -> None:
    system = serve()
    wait_until(lambda: (system.var / "mongo" / "pid").exists(), "mongod is starting")
    assert system.interrupt() == 0
    system.nothing_left()
    assert "Traceback" not in system.output()


def looks_well(keeper: Keeper) -> bool:
    keeper.look()
    return False


def test_what_dies_at_once_is_given_up_with_its_last_words(tmp_path: Path) -> None:
    told: list[str] = []
    unit = Process("doomed", lambda: ("-c", "raise SystemExit('no such luck')"), dict, log=tmp_path / "doomed.log")
    keeper = Keeper(unit, told.append, first_pause=0.01)
    keeper.start()
    with pytest.raises(CommandError, match=r"doomed ended \(no such luck\); it died 5 times"):
        wait_until(partial(looks_well, keeper), "given up")
    assert len(told) == 4
