"""The one member of the embedded replica set, spoken to over MongoDB's protocol."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from backend.embedded.errors import EmbeddedError

REPLICA_SET = "rs0"

_NOT_YET_INITIALIZED = 94
_INVALID_REPLICA_SET_CONFIG = 93


class Member:
    """A mongod at `address`, which must be the process `pid`."""

    def __init__(self, address: str, pid: int | None) -> None:
        self._address = address
        self._pid = pid
        self._client: MongoClient[dict[str, Any]] = MongoClient(
            address, directConnection=True, serverSelectionTimeoutMS=2_000
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def is_ours(self) -> bool:
        """Whether our own child answers, not another mongod on the same port."""
        try:
            status = self._client.admin.command("serverStatus", repl=0, metrics=0, wiredTiger=0)
        except PyMongoError:
            return False
        return status.get("pid") == self._pid

    def is_primary(self) -> bool:
        """Whether it takes writes; configures it when it is not yet a member at this address.

        Raises:
            EmbeddedError: it refuses the configuration.

        """
        try:
            hello = self._client.admin.command("hello")
            if hello.get("isWritablePrimary"):
                return self.is_ours()
            if not hello.get("setName"):
                self._configure()
        except OperationFailure as error:
            raise EmbeddedError(f"mongod refused its replica set: error {error.code}") from error
        except PyMongoError:
            pass  # it is still starting, or has just ended: who waits for it knows which
        return False

    def move_offline(self) -> None:
        """Note this address in the stored configuration of a mongod started without `--replSet`."""
        self._client["local"]["system.replset"].update_one(
            {"_id": REPLICA_SET}, {"$set": {"members.0.host": self._address}}
        )

    def _configure(self) -> None:
        """Make the set at the first start; move it when its port had to change."""
        kept = self._client["local"]["system.replset"].find_one({})
        member = {"_id": 0, "host": self._address}
        command: dict[str, Any]
        if kept is None:
            command = {"replSetInitiate": {"_id": REPLICA_SET, "members": [member]}}
        elif kept["members"][0]["host"] != self._address:
            moved = {**kept, "version": kept["version"] + 1, "members": [member]}
            command = {"replSetReconfig": moved, "force": True}
        else:
            return
        try:
            self._client.admin.command(command)
        except OperationFailure as error:
            # The set is just reading its stored configuration: the next round asks again.
            if error.code not in (_NOT_YET_INITIALIZED, _INVALID_REPLICA_SET_CONFIG):
                raise
