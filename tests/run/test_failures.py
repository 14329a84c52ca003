"""What keeps the system from starting is one clear line, exit code 1, and nothing is left running."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.embedded.machine import processes_below, small_disk
from tests.run.conftest import ROOT, Result

Command = Callable[..., Result]


def assert_one_line(result: Result, var: Path, *words: str) -> None:
    assert result.returncode == 1, result
    assert result.stdout == ""
    lines = result.stderr.strip().split("\n")
    assert len(lines) == 1, result.stderr
    assert all(word in lines[0] for word in words), lines[0]
    assert processes_below(var) == []


def fake_mongod(folder: Path, script: str) -> str:
    """A PATH on which a program of this name comes first."""
    folder.mkdir()
    program = folder / "mongod"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_a_missing_shared_library(command: Command, tmp_path: Path) -> None:
    path = fake_mongod(
        tmp_path / "bin",
        "echo 'mongod: error while loading shared libraries: libcurl.so.4: cannot open shared object "
        "file: No such file or directory' >&2; exit 127",
    )
    result = command("serve", PATH=path, BANSHI_EMBEDDED_PREFER="auto")
    assert_one_line(result, tmp_path / "var", "libcurl.so.4", "apt-get install")


def test_a_full_disk(command: Command, tmp_path: Path) -> None:
    with small_disk(tmp_path / "var", 4):
        assert_one_line(command("serve"), tmp_path / "var", "disk", "full")


def test_a_var_that_cannot_be_written(command: Command, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4) as remount:
        remount("ro")
        var = tmp_path / "disk" / "var"
        assert_one_line(command("serve", var=var), var, "cannot be written", "BANSHI_VAR")


def test_a_var_that_is_a_file(command: Command, tmp_path: Path) -> None:
    (tmp_path / "var").touch()
    assert_one_line(command("serve"), tmp_path / "var", "cannot be written")


def test_an_unreachable_mongo_url(command: Command, tmp_path: Path) -> None:
    result = command("serve", MONGO_URL="mongodb://somebody:secret-word@127.0.0.1:9/?replicaSet=rs0")
    assert_one_line(result, tmp_path / "var", "MONGO_URL", "127.0.0.1:9")
    assert "secret-word" not in result.stderr


def test_a_malformed_mongo_url(command: Command, tmp_path: Path) -> None:
    result = command("serve", MONGO_URL="postgres://u:secret-word@127.0.0.1/")
    assert_one_line(result, tmp_path / "var", "MONGO_URL")
    assert "secret-word" not in result.stderr


def test_a_port_that_was_set_and_is_taken(command: Command, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert_one_line(command("serve", "--port", port), tmp_path / "var", port, "taken")
        assert_one_line(command("serve", BANSHI_PORT=port), tmp_path / "var", port, "taken")


def test_an_address_that_is_not_ours(command: Command, tmp_path: Path) -> None:
    assert_one_line(command("serve", "--host", "192.0.2.1"), tmp_path / "var", "192.0.2.1")


def test_broken_settings_name_themselves_and_not_their_values(command: Command, tmp_path: Path) -> None:
    result = command("serve", BANSHI_WORKERS="secret-word", BANSHI_MODE="holiday")
    assert_one_line(result, tmp_path / "var", "BANSHI_WORKERS", "BANSHI_MODE")
    assert "secret-word" not in result.stderr


def test_production_refuses_what_is_for_trying(command: Command, tmp_path: Path) -> None:
    result = command("serve", BANSHI_MODE="production")
    assert_one_line(result, tmp_path / "var", "MONGO_URL", "BANSHI_WECHAT_SECRET", "BANSHI_PERSONAL_DATA_KEY")


def test_commands_say_that_nothing_runs(command: Command) -> None:
    result = command("create-admin", "someone")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "make run" in result.stderr
    doctor = command("doctor")
    assert doctor.returncode == 3
    assert "make run" in doctor.stdout


def test_without_dependencies_it_points_to_make_run(tmp_path: Path) -> None:
    shutil.copy(ROOT / "run.py", tmp_path)
    result = subprocess.run(
        [sys.executable, "-I", "-S", str(tmp_path / "run.py")], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "make run" in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_help_names_every_command(command: Command) -> None:
    overview = command("--help").stdout
    for name in ("serve", "worker", "import-matters", "tour", "doctor", "create-admin"):
        assert name in overview
    assert "--workers" in command("serve", "--help").stdout


def test_make_without_a_python_says_what_to_install(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "cksum", "cut", "make"):
        found = shutil.which(name)
        assert found, name
        (tools / name).symlink_to(found)
    for name in ("Makefile", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    result = subprocess.run(
        ["make", "run"],
        cwd=tmp_path,
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert "python3-venv" in result.stderr
