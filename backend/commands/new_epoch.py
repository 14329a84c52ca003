"""`run.py new-epoch`: after a backup was put back, let every client begin its consultations again."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from pymongo.errors import PyMongoError

from backend.commands.environment import read_settings
from backend.commands.errors import CommandError
from backend.commands.running import running_system
from backend.commands.terminal import say
from backend.domain.errors import DomainError
from backend.embedded import EmbeddedError, EmbeddedMongo
from backend.storage.consultation_epochs import ConsultationEpochs, Raised
from backend.storage.database import Database
from config.settings import Settings

_EXPLANATION = """\
恢复数据库备份之后运行一次。备份之后发出的消息编号会再次用于别的消息：不换批次，
已有这些编号的手机和工作台会漏收新消息。本命令给所有咨询记录换上新的批次（epoch），
客户端重新连接时会从头取回记录；消息本身不变。
请先停止所有节点和后台进程。
Run once after a backup was put back. Numbers given after the backup are given again, to other messages:
without a new epoch, clients that have the old ones miss the new ones. This gives all consultations a new
epoch, upon which clients fetch them from the beginning; nothing that was said changes.
Stop all nodes and workers first."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = _EXPLANATION
    parser.add_argument("--yes", action="store_true", help="确实要做 / really do it")
    parser.add_argument(
        "--nodes-are-stopped",
        action="store_true",
        help="不看谁还连着数据库：我已停止所有节点 / do not look who is connected: I stopped all nodes",
    )


def run(options: argparse.Namespace) -> int:
    """Change the epoch in MONGO_URL's database, or in this checkout's own, which is started for it."""
    if not options.yes:
        say(_EXPLANATION)
        raise CommandError("nothing was changed: give --yes to do it")
    settings = read_settings()
    if info := running_system(settings.var):
        raise CommandError(f"a system runs here at {info.url} (process {info.pid}): stop it first")
    with _database_url(settings) as url:
        raised = asyncio.run(renew(url, settings.mongo_database, nodes_are_stopped=options.nodes_are_stopped))
    say(f"新批次 / new epoch: {raised.epoch}")
    say(f"咨询 / consultations: {raised.consultations}   操作 / operations: {raised.operations}")
    if raised.without_log:
        say(f"没有记录、已删除的列表项 / deleted list entries without a log: {raised.without_log}")
    if raised.damaged:
        say(f"编号有缺口（备份不是同一时刻的） / gaps (not a backup of one moment): {' '.join(raised.damaged)}")
        return 1
    return 0


@contextmanager
def _database_url(settings: Settings) -> Iterator[str]:
    if settings.mongo_url:
        yield settings.mongo_url
        return
    if not (settings.var / "mongo").is_dir():
        raise CommandError(f"there is no database: MONGO_URL is not set, and {settings.var / 'mongo'} is absent")
    try:
        with EmbeddedMongo(settings.var / "mongo", prefer=settings.embedded_prefer) as mongo:
            yield mongo.url
    except EmbeddedError as error:
        raise CommandError(str(error)) from None


async def renew(url: str, name: str, *, nodes_are_stopped: bool) -> Raised:
    """Change the epoch. Raises `CommandError` while processes of the product are connected."""
    database = Database.connect(url, name, app_name="banshi-new-epoch")
    try:
        await database.ping()
        epochs = ConsultationEpochs(database)
        others = await epochs.others()
        if others is None and not nodes_are_stopped:
            raise CommandError(
                "the database does not let us see who is connected: stop all nodes and workers, "
                "then run this with --nodes-are-stopped"
            )
        if others and not nodes_are_stopped:
            raise CommandError(
                f"nodes or workers are still connected from {', '.join(others)}: stop them first. "
                "What they remember of the talks is from before the restore. "
                "If these are of another installation on the same database servers, add --nodes-are-stopped"
            )
        return await epochs.raise_all(datetime.now(UTC))
    except (DomainError, PyMongoError) as error:
        raise CommandError(f"{type(error).__name__}: {error}") from None
    finally:
        await database.close()
