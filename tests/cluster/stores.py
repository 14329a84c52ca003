"""A replica set of three real mongod processes, and a Redis that comes back empty."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from backend.embedded.binaries import MONGOD, REDIS_SERVER, find_program
from tests.cluster.processes import LOOPBACK, Program
from tests.embedded.machine import wait_until

SET_NAME = "rs0"
ELECTION_MILLISECONDS = 1500
"""A primary that is silent for so long is replaced; MongoDB's own default is 10 s."""


class Member(Program):
    """One mongod of the set."""

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def _command(self) -> Sequence[str]:
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        return (
            str(find_program(MONGOD, "auto", self.folder)),
            *("--bind_ip", LOOPBACK, "--port", str(self.port), "--dbpath", str(data), "--replSet", SET_NAME),
            *("--oplogSize", "256", "--wiredTigerCacheSizeGB", "0.25", "--nounixsocket", "--quiet"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            # Nodes whose clock is warped keep things that are old or new for the machine's clock.
            *("--setParameter", "ttlMonitorEnabled=false"),
        )

    @contextmanager
    def client(self) -> Iterator[MongoClient[dict[str, Any]]]:
        """A connection to this very member."""
        with MongoClient[dict[str, Any]](
            f"mongodb://{self.address}/?directConnection=true", serverSelectionTimeoutMS=1000, socketTimeoutMS=15_000
        ) as client:
            yield client

    def hello(self) -> dict[str, Any]:
        """What it says about itself; empty when it says nothing."""
        try:
            with self.client() as client:
                return dict(client.admin.command("hello"))
        except PyMongoError:
            return {}

    @property
    def is_primary(self) -> bool:
        return self.running and bool(self.hello().get("isWritablePrimary"))


class ReplicaSet:
    """Three members on loopback that elect quickly."""

    def __init__(self, folder: Path, size: int = 3) -> None:
        self.members = [Member(f"mongod-{number}", folder / f"mongod-{number}") for number in range(1, size + 1)]

    @property
    def url(self) -> str:
        """The connection string with all members, without a database."""
        return f"mongodb://{','.join(member.address for member in self.members)}/?replicaSet={SET_NAME}"

    def start(self) -> None:
        """Start and initiate; return when there is a primary and everybody follows it."""
        for member in self.members:
            member.launch()
        for member in self.members:
            member.wait_ready()
        with self.members[0].client() as client:
            client.admin.command(
                "replSetInitiate",
                {
                    "_id": SET_NAME,
                    "members": [{"_id": i, "host": member.address} for i, member in enumerate(self.members)],
                    "settings": {
                        "electionTimeoutMillis": ELECTION_MILLISECONDS,
                        "heartbeatIntervalMillis": 300,
                        "catchUpTimeoutMillis": 2000,
                    },
                },
            )
        self.wait_whole()

    def primary(self) -> Member | None:
        """Who is the writable primary now."""
        return next((member for member in self.members if member.is_primary), None)

    def secondaries(self) -> list[Member]:
        """The living members that follow."""
        return [member for member in self.members if member.running and member.hello().get("secondary")]

    def wait_for_primary(self, other_than: Member | None = None, seconds: float = 60.0) -> Member:
        """The primary, as soon as there is one that is not `other_than`."""
        found: list[Member] = []

        def elected() -> bool:
            found[:] = [m for m in self.members if m is not other_than and m.is_primary]
            return bool(found)

        wait_until(elected, "a primary is elected", seconds)
        return found[0]

    def wait_whole(self, seconds: float = 90.0) -> Member:
        """Wait until one is primary and all others are its secondaries; the primary."""

        def whole() -> bool:
            said = [member.hello() for member in self.members]
            return sum(bool(h.get("isWritablePrimary")) for h in said) == 1 and all(
                h.get("isWritablePrimary") or h.get("secondary") for h in said
            )

        wait_until(whole, "the replica set is whole", seconds)
        return self.wait_for_primary()

    def kill_primary(self) -> Member:
        """kill -9 of the primary; returns the one that died."""
        primary = self.wait_for_primary()
        primary.kill()
        return primary

    def step_down(self, seconds: int = 10) -> Member:
        """Make the primary give way for at least `seconds`; returns who it was."""
        primary = self.wait_for_primary()
        with primary.client() as client:
            deadline = time.monotonic() + 30
            while True:
                try:
                    client.admin.command("replSetStepDown", seconds, secondaryCatchUpPeriodSecs=seconds // 2)
                    return primary
                except PyMongoError:  # no secondary has caught up yet
                    if time.monotonic() > deadline:
                        raise

    def stop(self) -> None:
        """The end of all of them; nobody reads their files afterwards."""
        for member in self.members:
            member.kill()


class Redis(Program):
    """A Redis that keeps nothing: every start is an empty one, on the same port."""

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}/0"

    def _command(self) -> Sequence[str]:
        return (
            str(find_program(REDIS_SERVER, "auto", self.folder)),
            *("--bind", LOOPBACK, "--port", str(self.port), "--dir", str(self.folder)),
            *("--save", "", "--appendonly", "no", "--daemonize", "no"),
        )
