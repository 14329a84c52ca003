"""The main job, played by `run.py tour` against a running system: in duty hours and at night, again after a
`kill -9` of everything, on the sample district and on a real catalogue."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

import pytest

from backend.domain.calendar import NATIONAL, SHANGHAI, add_working_days
from tests.run.conftest import ROOT, Result, Running

Serve = Callable[..., Running]
Command = Callable[..., Result]


def at(var: Path, hour: int) -> None:
    """A system that will start in `var` lives on the next working day, at this hour."""
    day = add_working_days(datetime.now(SHANGHAI).date(), 1, NATIONAL).day
    moment = datetime.combine(day, time(hour, 30), SHANGHAI)
    var.mkdir(parents=True, exist_ok=True)
    (var / "clock-offset").write_text(str((moment - datetime.now(UTC)).total_seconds()))


def played(result: Result) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(result.stdout)
    assert result.returncode == 0, report["failure"] or result.stderr
    assert report["ok"]
    return report


def facts(report: dict[str, Any]) -> str:
    return "\n".join(fact for step in report["steps"] for fact in step["facts"])


def test_the_tour_holds_in_duty_hours_and_again_after_a_kill(serve: Serve, command: Command, tmp_path: Path) -> None:
    at(tmp_path / "var", 10)
    system = serve("--workers", "2")
    system.ready()
    report = played(command("tour", "--json"))
    assert len(report["steps"]) >= 20
    assert "留言" not in facts(report), "in duty hours the question was not answered live"
    system.kill_everything()
    system = serve("--workers", "2")
    system.ready()
    played(command("tour", "--json"))
    assert system.interrupt() == 0


def test_the_tour_holds_at_night_and_on_a_real_catalogue(
    serve: Serve, command: Command, tmp_path: Path, shared_data: Path
) -> None:
    at(tmp_path / "var", 22)
    serve().ready()
    assert "已留言" in facts(played(command("tour", "--json")))
    imported = command(
        "import-matters",
        str(shared_data / "guangdong_items" / "items.jsonl"),
        "--mapping",
        str(ROOT / "config" / "mappings" / "guangdong.toml"),
        "--json",
    )
    assert imported.returncode == 0, imported.stderr
    played(command("tour", "--json", "--catalogue"))


def test_the_tour_says_when_nothing_runs(command: Command) -> None:
    result = command("tour")
    assert result.returncode != 0
    assert "make run" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("words", [("--help",), ("tour", "--help"), ("import-matters", "--help")])
def test_help_is_there(command: Command, words: tuple[str, ...]) -> None:
    result = command(*words)
    assert result.returncode == 0
    assert "/" in result.stdout
