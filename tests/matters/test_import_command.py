"""`run.py import-matters`, as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backend.composition import Services
from config.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
Maker = Callable[..., dict[str, Any]]
FileMaker = Callable[[list[dict[str, Any]]], Path]
Runner = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(settings: Settings, services: Services) -> Runner:
    """Runs the command on the test's database."""

    def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        own = {
            "BANSHI_MODE": "test",
            "BANSHI_VAR": str(settings.var),
            "MONGO_URL": settings.mongo_url or "",
            "REDIS_URL": settings.redis_url or "",
            "BANSHI_MONGO_DATABASE": settings.mongo_database,
        }
        return subprocess.run(
            [sys.executable, str(ROOT / "run.py"), "import-matters", *map(str, arguments)],
            env=os.environ | own | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_the_report_names_rows_and_reasons(command: Runner, jsonl: FileMaker, row: Maker) -> None:
    path = jsonl([row(1), row(2, visits="1"), row(3, legal_time_limit="尽快")])
    done = command(path, "--mapping", "guangdong", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 3
    assert (report["added"], report["departments_added"]) == (2, 1)
    assert [(note["row"], note["field"]) for note in report["rejects"]] == [(3, "statutory_limit")]
    assert [note["row"] for note in report["warnings"]] == [2]
    again = command(path, "--mapping", "guangdong")
    assert again.returncode == 3
    assert "未变 unchanged" in again.stdout
    assert "第" not in again.stderr


def test_a_dry_run_says_so(command: Runner, jsonl: FileMaker, row: Maker) -> None:
    done = command(jsonl([row(1)]), "--mapping", ROOT / "config" / "mappings" / "guangdong.toml", "--dry-run")
    assert done.returncode == 0
    assert "未写入" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("no-such-file.jsonl", "--mapping", "guangdong"), "no such file"),
        (("run.py", "--mapping", "guangdong"), ".jsonl"),
        (("run.py", "--mapping", "no-such-mapping"), "映射文件有误"),
    ],
)
def test_what_cannot_be_done_is_one_line(command: Runner, arguments: tuple[str, ...], words: str) -> None:
    done = command(*(str(ROOT / a) if a == "run.py" else a for a in arguments))
    assert done.returncode == 1
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_it_says_when_nothing_runs(command: Runner, jsonl: FileMaker, row: Maker) -> None:
    done = command(jsonl([row(1)]), "--mapping", "guangdong", MONGO_URL="", REDIS_URL="")
    assert done.returncode == 1
    assert "nothing runs here" in done.stderr
