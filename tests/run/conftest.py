"""`python run.py …` as people run it: a process of its own, with a `var` of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.embedded.machine import processes_below, wait_until

ROOT = Path(__file__).parent.parent.parent

Result = subprocess.CompletedProcess[str]


def environment(var: Path, **settings: str) -> dict[str, str]:
    """Nothing configured but `var` and the wheels' servers."""
    plain = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("BANSHI_") and name not in ("MONGO_URL", "REDIS_URL")
    }
    return {**plain, "BANSHI_VAR": str(var), "BANSHI_EMBEDDED_PREFER": "wheel", **settings}


@dataclass
class Running:
    """A started `run.py serve`."""

    var: Path
    process: subprocess.Popen[str]
    begun: float = field(default_factory=time.monotonic)

    @property
    def info(self) -> dict[str, Any]:
        """What run.json says; empty while it is not there."""
        try:
            document: dict[str, Any] = json.loads((self.var / "run.json").read_text())
        except FileNotFoundError:
            return {}
        # One that was killed left its own behind.
        return document if document["pid"] == self.process.pid else {}

    def ready(self) -> float:
        """Wait until it says where it is; the seconds since its start."""
        wait_until(lambda: bool(self.info) or self.process.poll() is not None, "the system is up", 180)
        assert self.process.poll() is None, self.output()
        return time.monotonic() - self.begun

    def interrupt(self, how: signal.Signals = signal.SIGINT) -> int:
        """Stop it as Ctrl-C does; its exit code."""
        self.process.send_signal(how)
        return self.process.wait(120)

    def kill_everything(self) -> None:
        """kill -9 of the supervisor and of all that it started, at once."""
        for line in [str(self.process.pid), *processes_below(self.var)]:
            try:
                os.kill(int(line.split()[0]), signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait(10)
        self.nothing_left()

    def nothing_left(self) -> None:
        wait_until(lambda: not processes_below(self.var), f"all gone: {processes_below(self.var)}")

    def output(self) -> str:
        assert self.process.stdout
        return self.process.stdout.read()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start `run.py serve` in a var below the test's folder; whatever runs at the end is killed."""
    started: list[Running] = []

    def start(*options: str, var: str = "var", **settings: str) -> Running:
        folder = tmp_path / var
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "run.py"), "serve", *options],
            env=environment(folder, **settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        running = Running(folder, process)
        started.append(running)
        return running

    yield start
    for running in started:
        if running.process.poll() is None or processes_below(running.var):
            running.kill_everything()
        running.process.wait(10)
        assert running.process.stdout
        running.process.stdout.close()


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., Result]:
    """Run `run.py …` to its end."""

    def run(*words: str, var: Path | None = None, **settings: str) -> Result:
        return subprocess.run(
            [sys.executable, str(ROOT / "run.py"), *words],
            env=environment(var or tmp_path / "var", **settings),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run
