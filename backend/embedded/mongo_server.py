"""mongod as a child: a one-node replica set, so that transactions and change streams work."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from backend.embedded import ports
from backend.embedded.binaries import MONGOD, Prefer
from backend.embedded.ports import LOOPBACK
from backend.embedded.process import ServerProcess

if TYPE_CHECKING:
    from backend.embedded.replica_set import Member

REPLICA_SET = "rs0"


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
        with self._member() as member:
            self._wait_for(member.is_ours, "answer")
            member.move_offline()
        self._end_child(self.stop_seconds)

    def _wait_until_ready(self) -> None:
        with self._member() as member:
            self._wait_for(self._listens, "listen")
            self._wait_for(member.is_primary, "become a primary")

    def _member(self) -> Member:
        # Imported here because the driver takes as long to import as mongod takes to start.
        from backend.embedded.replica_set import Member

        return Member(self._address, self.pid)

    def _listens(self) -> bool:
        try:
            socket.create_connection((LOOPBACK, self.port), timeout=1).close()
        except OSError:
            return False
        return True
