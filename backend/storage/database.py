"""The connection to MongoDB, transactions, indexes.

Writes are acknowledged by the majority and journaled: what was answered with success survives the loss of
any one server. Reads come from the primary.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC
from typing import Any, TypeVar

import pymongo
import structlog
from bson.codec_options import CodecOptions
from motor.motor_asyncio import (
    AsyncIOMotorClient,
    AsyncIOMotorClientSession,
    AsyncIOMotorCollection,
    AsyncIOMotorDatabase,
)
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

from backend.domain.errors import Unavailable
from backend.storage.abandoned import AbandonedTransactions

log = structlog.get_logger()

Document = dict[str, Any]
T = TypeVar("T")
#: What every process that serves or works is called in the list of MongoDB's connections.
APP_NAME = "banshi"
Session = AsyncIOMotorClientSession
Collection = AsyncIOMotorCollection[Document]
#: A collection over PyMongo's own asynchronous API (`Database.native`).
NativeCollection = AsyncCollection[Document]

#: (collection, keys, options): what a store module declares as its INDEXES.
IndexDeclaration = tuple[str, list[tuple[str, int]], Mapping[str, Any]]

_CODEC: CodecOptions[Document] = CodecOptions(tz_aware=True, tzinfo=UTC)
_WRITE = WriteConcern(w="majority", j=True, wtimeout=10_000)
_OPTIONS: dict[str, Any] = {
    "codec_options": _CODEC,
    "write_concern": _WRITE,
    "read_preference": ReadPreference.PRIMARY,
    "read_concern": ReadConcern("majority"),
}
_NativeClient = AsyncMongoClient[Document]
#: Milliseconds without use after which a connection is made anew: below what firewalls and proxies leave open.
_IDLE_MS = 30_000


class Database:
    """A connected database. Own it with `Database.connect` and `close`."""

    def __init__(self, client: AsyncIOMotorClient[Document], name: str, native: Callable[[], _NativeClient]) -> None:
        self._client = client
        self._name = name
        self._connect_natively = native
        self._native: _NativeClient | None = None
        self.abandoned = AbandonedTransactions(client, APP_NAME)
        self._db: AsyncIOMotorDatabase[Document] = client.get_database(name, **_OPTIONS)

    @classmethod
    def connect(cls, url: str, name: str, *, timeout: float = 5.0, app_name: str = APP_NAME) -> Database:
        """A database at `url`. Nothing is sent before the first use; `timeout` bounds finding a server."""
        options: dict[str, Any] = {
            "serverSelectionTimeoutMS": int(timeout * 1000),
            "connectTimeoutMS": int(timeout * 1000),
            "retryWrites": True,
            "retryReads": True,
            "uuidRepresentation": "standard",
            "maxPoolSize": 100,
            "appname": app_name,
        }
        client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(url, **options)
        # a connection that was cut while nobody used it is found out by a command that fails, unlike Motor's
        return cls(client, name, lambda: AsyncMongoClient(url, maxIdleTimeMS=_IDLE_MS, **options))

    @property
    def name(self) -> str:
        return self._name

    @property
    def raw(self) -> AsyncIOMotorDatabase[Document]:
        """The driver's database, for GridFS and change streams inside this package."""
        return self._db

    def __getitem__(self, collection: str) -> Collection:
        return self._db[collection]

    @property
    def native(self) -> AsyncDatabase[Document]:
        """The same over PyMongo's own asynchronous API, for what is written while people wait for each other: Motor
        hands every command to a thread and back (ADR 0003). Belongs to the event loop of its first use."""
        if self._native is None:
            self._native = self._connect_natively()
        return self._native.get_database(self._name, **_OPTIONS)

    async def ping(self) -> None:
        """Raises `Unavailable` when no primary answers."""
        try:
            await self._client.admin.command("ping")
        except PyMongoError as error:
            raise Unavailable("数据库暂时不可用，请稍后再试。") from error

    async def server_version(self) -> str:
        return str((await self._client.server_info())["version"])

    async def drop(self) -> None:
        """Delete the whole database. For tests."""
        await self._client.drop_database(self._name)

    async def close(self) -> None:
        # Motor's says good-bye to the database and waits for the answer
        closing: list[Awaitable[None]] = [asyncio.to_thread(self._client.close)]
        if self._native is not None:
            closing.append(self._native.close())
        await asyncio.gather(*closing)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """One transaction: commits at the end, aborts on any exception.

        A write conflict with another transaction surfaces as `EditConflict` from the stores' own
        compare-and-set, or as a transient error here, which `retry_transient` repeats.
        """
        try:
            async with (
                await self._client.start_session() as session,
                session.start_transaction(
                    read_concern=ReadConcern("snapshot"), write_concern=_WRITE, max_commit_time_ms=10_000
                ),
            ):
                yield session
        except PyMongoError as error:
            if is_transient(error):
                await self.abandoned.end()  # it may be one that nobody goes on with
            raise

    async def ensure_indexes(self, declarations: Iterable[IndexDeclaration]) -> None:
        """Create what is declared. Idempotent."""
        for collection, keys, options in declarations:
            await self._db[collection].create_index(keys, **options)

    async def collections(self) -> set[str]:
        return set(await self._db.list_collection_names())

    async def ensure_collection(self, name: str) -> None:
        """Create a collection ahead of its first use: transactions should not have to."""
        try:
            await self._db.create_collection(name)
        except pymongo.errors.CollectionInvalid:
            pass
        except pymongo.errors.OperationFailure as error:
            if error.code != 48:  # NamespaceExists, from two nodes starting at once
                raise


def is_transient(error: BaseException) -> bool:
    """Whether running the same transaction again may succeed."""
    return isinstance(error, PyMongoError) and (
        error.has_error_label("TransientTransactionError") or error.has_error_label("UnknownTransactionCommitResult")
    )


async def retry_transient(operation: Callable[[], Awaitable[T]], *, attempts: int = 8) -> T:
    """Run `operation()` (a coroutine function holding one whole transaction) until it is not transient.

    The pause between attempts grows and is short: conflicts come from two people saving at once.
    """
    for attempt in range(attempts):
        try:
            return await operation()
        except PyMongoError as error:
            if not is_transient(error) or attempt == attempts - 1:
                raise
            await asyncio.sleep(0.005 * 2**attempt)
    raise AssertionError("unreachable")
