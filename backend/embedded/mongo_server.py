"""mongod as a child: a one-node replica set, so that transactions and change streams work."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from backend.embedded import ports
from backend.embedded.binaries import MONGOD, Prefer
from backend.embedded.errors import EmbeddedError
from backend.embedded.ports import LOOPBACK
from backend.embedded.process import ServerProcess

REPLICA_SET = "rs0"

_NOT_YET_INITIALIZED = 94
_INVALID_REPLICA_SET_CONFIG = 93


class EmbeddedMongo(ServerProcess):
    """A MongoDB on loopback with one writable primary; see `url` while it runs."""

    program = MONGOD
    needed_free_bytes = 300 * 2**20  # journal and oplog of an empty set, and some room to work
    stop_seconds = 20.0

    def __init__(
        self,
        folder: Path | str,
        *,
        prefer: Prefer = "auto",
        start_seconds: float = 60.0,
        cache_gigabytes: float = 0.25,
    ) -> None:
        """Keep the data below `folder`; WiredTiger may use `cache_gigabytes` of memory."""
        super().__init__(folder, prefer=prefer, start_seconds=start_seconds)
        self._cache_gigabytes = max(0.25, cache_gigabytes)  # mongod's own minimum

    @property
    def url(self) -> str:
        """Where it is, as a MongoDB connection string without a database name."""
        return f"mongodb://{self._address}/?replicaSet={REPLICA_SET}"

    @property
    def _address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def _arguments(self) -> Sequence[str]:
        return (*self._standalone_arguments(), "--replSet", REPLICA_SET, "--oplogSize", "512")

    def _standalone_arguments(self) -> Sequence[str]:
        return (
            *("--bind_ip", LOOPBACK),
            *("--port", str(self.port)),
            *("--dbpath", str(self.folder / "data")),
            *("--logpath", str(self.log_file)),
            "--logappend",
            "--quiet",
            "--nounixsocket",
            *("--wiredTigerCacheSizeGB", str(self._cache_gigabytes)),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            # The quiesce time is for other members and drivers to move on; there are none.
            *("--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100"),
        )

    def _before_start(self, binary: Path) -> None:
        """Move the set to `self.port` offline, as MongoDB's manual does, when it must move.

        A member that cannot find itself in its configuration first asks whoever holds the old
        port, for up to 30 s if that one keeps silent. After an unclean end the set must recover
        from its oplog before anything else, so it is moved online (see `_configure`), slowly.
        """
        kept = ports.kept_port(self._port_file)
        lock = self.folder / "data" / "mongod.lock"
        clean = lock.exists() and lock.stat().st_size == 0
        if kept in (None, self.port) or not clean:
            return
        self._spawn(
            binary,
            (
                *self._standalone_arguments(),
                *("--setParameter", "disableLogicalSessionCacheRefresh=true"),
            ),
        )
        self._wait_for(self._listens, "listen")
        with self._client() as client:
            self._wait_for(lambda: self._serves_this_folder(client), "answer")
            client["local"]["system.replset"].update_one(
                {"_id": REPLICA_SET}, {"$set": {"members.0.host": self._address}}
            )
        self._end_child(self.stop_seconds)

    def _wait_until_ready(self) -> None:
        self._wait_for(self._listens, "listen")
        with self._client() as client:
            self._wait_for(lambda: self._primary(client), "become a primary")

    def _client(self) -> MongoClient[dict[str, Any]]:
        return MongoClient(self._address, directConnection=True, serverSelectionTimeoutMS=2_000)

    def _listens(self) -> bool:
        try:
            socket.create_connection((LOOPBACK, self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def _primary(self, client: MongoClient[dict[str, Any]]) -> bool:
        try:
            hello = client.admin.command("hello")
            if hello.get("isWritablePrimary"):
                return self._serves_this_folder(client)
            if not hello.get("setName"):
                self._configure(client)
        except OperationFailure as error:
            raise EmbeddedError(f"mongod refused its replica set ({error.code}): see {self.log_file}") from error
        except PyMongoError:
            pass  # it is still starting, or has just ended; _wait_for knows which
        return False

    def _serves_this_folder(self, client: MongoClient[dict[str, Any]]) -> bool:
        """Make sure that it is our child that answers, not another mongod on the same port."""
        status = client.admin.command("serverStatus", repl=0, metrics=0, wiredTiger=0)
        return status.get("pid") == self.pid

    def _configure(self, client: MongoClient[dict[str, Any]]) -> None:
        """Make the set at the first start; move it when its port had to change."""
        kept = client["local"]["system.replset"].find_one({})
        member = {"_id": 0, "host": self._address}
        if kept is None:
            self._tolerant(client, {"replSetInitiate": {"_id": REPLICA_SET, "members": [member]}})
        elif kept["members"][0]["host"] != self._address:
            moved = {**kept, "version": kept["version"] + 1, "members": [member]}
            self._tolerant(client, {"replSetReconfig": moved, "force": True})

    @staticmethod
    def _tolerant(client: MongoClient[dict[str, Any]], command: dict[str, Any]) -> None:
        try:
            client.admin.command(command)
        except OperationFailure as error:
            # The set is just reading its stored configuration: the next round asks again.
            if error.code not in (_NOT_YET_INITIALIZED, _INVALID_REPLICA_SET_CONFIG):
                raise
