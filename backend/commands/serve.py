"""`run.py serve`: the whole system on one machine."""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import socket
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from backend.commands import checks, running
from backend.commands.children import Embedded, Process, Unit
from backend.commands.environment import read_settings
from backend.commands.errors import CommandError
from backend.commands.supervisor import Interrupted, Supervisor, Tier
from backend.commands.terminal import complain, say
from backend.embedded import EmbeddedError, EmbeddedMongo, EmbeddedRedis, ports
from config.settings import Settings

_READY_SECONDS = 60.0
_PREPARE_SECONDS = 600.0
_SUCCESSOR_SECONDS = 180.0  # nobody waits for it: the old one goes on


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--host", help="监听地址 / address to listen on (BANSHI_HOST, 127.0.0.1)")
    parser.add_argument(
        "--port",
        type=_port,
        help="监听端口；不设则用 8080 或其后第一个空闲端口 / port; unset: 8080 or the next free one (BANSHI_PORT)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="共用一个端口的服务进程数 / server processes on the one port (BANSHI_WORKERS, 1)",
    )
    parser.add_argument(
        "--logs",
        choices=("files", "terminal"),
        help="日志写到 var/log/ 还是终端 / where logs go (files; in production: terminal)",
    )


def run(options: argparse.Namespace) -> int:
    """Run until Ctrl-C or SIGTERM; 0 after an orderly stop, 1 when it could not start or go on."""
    settings = read_settings(host=options.host, port=options.port, workers=options.workers)
    checks.make_writable(settings.var)
    logs = options.logs or ("terminal" if settings.mode == "production" else "files")
    supervisor = Supervisor()
    with supervisor.attentive(), running.only_once(settings.var):
        running.remove(settings.var)  # whatever is there was left by a system that was killed
        running.forget_processes(settings.metrics_folder)
        system = _System(settings, supervisor, to_files=logs == "files")
        try:
            system.start()
            say(system.greeting())
            supervisor.watch(system.tend)
            say("正在停止 / stopping …（再按一次 Ctrl-C 立即停止 / once more to hasten）")
        except Interrupted:
            pass
        except EmbeddedError as error:
            # An interrupted start is no complaint.
            if not supervisor.stopping:
                raise CommandError(str(error)) from None
        finally:
            running.remove(settings.var)
            system.stop()
    say(f"已停止 / stopped ({supervisor.signal_name})")
    return 0


class _System:
    """The parts of one running system, in the order of their start."""

    def __init__(self, settings: Settings, supervisor: Supervisor, *, to_files: bool) -> None:
        self._settings = settings
        self._supervisor = supervisor
        self._logs = settings.var / "log" if to_files else None
        self._mongo: EmbeddedMongo | None = None
        self._redis: EmbeddedRedis | None = None
        self._standin_url: str | None = None
        self._listener: socket.socket | None = None
        self._url = ""
        self._used_urls = ("", "")
        self._servers: list[Process] = []
        self._answer: Path | None = None
        self._prepared: dict[str, object] = {}
        self._started_at = datetime.now(ZoneInfo("Asia/Shanghai"))
        self._restarts = 0
        self._restart_problem = ""

    def start(self) -> None:
        """Start everything and return when it answers."""
        settings, supervisor = self._settings, self._supervisor
        self._listener = checks.listen(settings.host, settings.port)
        port = self._listener.getsockname()[1]
        self._url = f"http://{_reachable(settings.host)}:{port}"
        if settings.mongo_url:
            asyncio.run(checks.reach_mongo(settings.mongo_url, settings.mongo_database))
        if self._logs:
            self._logs.mkdir(exist_ok=True)
        self._answer = settings.var / f".prepared.{os.getpid()}"
        self._worker = worker = self._process("worker")
        first, *others = self._servers = [self._process(f"server-{n}") for n in range(1, settings.workers + 1)]
        # It imports its modules while the stores start. Whatever citizens do not wait for comes after it.
        first.warm_up()
        if settings.wechat_base_url is None and settings.mode != "production":
            supervisor.start(Tier.STANDIN, [self._standin()])
        supervisor.start(Tier.STORES, self._stores())
        self._used_urls = (self._mongo_url, self._redis_url)
        self._prepare(first)
        supervisor.start(Tier.SERVERS, [first])
        supervisor.wait_for(lambda: _ready(self._url), _READY_SECONDS, f"{self._url} is not ready")
        supervisor.start(Tier.SERVERS, others)
        supervisor.start(Tier.WORKER, [worker])
        self._tell()

    def stop(self) -> None:
        """Stop what was started, servers first. From here on nobody can connect."""
        if self._listener is not None:
            self._listener.close()
        self._supervisor.stop()
        for server in self._servers:  # begun, perhaps not yet in the supervisor's care
            server.ask_to_stop(hasten=True)
            server.wait_stopped(lambda: True)

    def tend(self) -> None:
        """What is to be done from time to time."""
        self.follow_moves()
        if self._supervisor.take_restart():
            self._restart()

    def _restart(self) -> None:
        """Replace the server processes and the worker one after the other, by what lies on the disk now."""
        say("逐个更换进程 / replacing the processes one by one …")
        try:
            for index, old in enumerate(self._servers):
                self.follow_moves()
                new = self._process(old.name)
                self._supervisor.replace(old, new, _SUCCESSOR_SECONDS)
                self._servers[index] = new
            new = self._process("worker")
            self._supervisor.replace(self._worker, new, _SUCCESSOR_SECONDS)
            self._worker = new
        except CommandError as error:
            self._restart_problem = str(error)
            complain(f"the restart was broken off: {error}")
        else:
            self._restart_problem = ""
            say("已全部更换 / all of them are replaced")
        self._restarts += 1
        self._tell()

    def follow_moves(self) -> None:
        """When a store came back at another address, everyone above it must learn it."""
        if (self._mongo_url, self._redis_url) == self._used_urls:
            return
        self._used_urls = (self._mongo_url, self._redis_url)
        complain("a store came back at another address: restarting the servers and the worker")
        self._supervisor.restart_above(Tier.STORES)
        self._tell()

    def greeting(self) -> str:
        """Where it is, and as whom one may enter."""
        lines = [
            "",
            f"  办事 Banshi  {self._url}",
            f"  接口文档 API  {self._url}/api/docs",
        ]
        if self._standin_url:
            lines.append(f"  假手机（微信替身） WeChat stand-in  {self._standin_url}/phone")
        accounts = self._prepared.get("accounts")
        if isinstance(accounts, list) and accounts:
            lines.append("  首次启动生成的账号，只显示这一次 / first accounts, shown this once:")
            lines += [f"    {a['role']:<10} {a['username']:<20} {a['password']}" for a in accounts]
        file = self._prepared.get("accounts_file")
        if isinstance(file, str) and Path(file).exists():
            lines.append(f"  账号与密码 accounts and passwords  {file}")
        lines += [f"  数据 data  {self._settings.var}", "  Ctrl-C 停止 / stops everything", ""]
        return "\n".join(lines)

    # --- parts ----------------------------------------------------------------------------

    @property
    def _mongo_url(self) -> str:
        return self._settings.mongo_url or (self._mongo.url if self._mongo else "")

    @property
    def _redis_url(self) -> str:
        return self._settings.redis_url or (self._redis.url if self._redis else "")

    def _stores(self) -> Iterator[Unit]:
        """Embedded servers for what is not configured. Redis first: it is the quicker to fail."""
        settings = self._settings
        if not settings.redis_url:
            self._redis = EmbeddedRedis(settings.var / "redis", prefer=settings.embedded_prefer)
            self._redis.cancelled = lambda: self._supervisor.stopping
            yield Embedded(self._redis)
        if not settings.mongo_url:
            self._mongo = EmbeddedMongo(settings.var / "mongo", prefer=settings.embedded_prefer)
            self._mongo.cancelled = lambda: self._supervisor.stopping
            yield Embedded(self._mongo)

    def _standin(self) -> Process:
        folder = self._settings.var / "wechat-standin"
        folder.mkdir(exist_ok=True)
        port = next(ports.candidates(folder / "port"))
        ports.keep_port(folder / "port", port)
        self._standin_url = f"http://{ports.LOOPBACK}:{port}"
        return Process(
            "wechat-standin",
            lambda: (
                *("-m", "backend.wechat_standin"),
                *("--port", str(port)),
                *("--state", str(folder / "people.json")),
                *("--appid", self._settings.wechat_appid),
                *("--secret", self._settings.wechat_secret.get_secret_value()),
                *("--app-url", f"{(self._settings.public_url or self._url).rstrip('/')}/m/"),
            ),
            self._environment,
            log=self._log("wechat-standin"),
            stop_seconds=5.0,
        )

    def _process(self, name: str) -> Process:
        """A server process or the worker."""
        module = "backend.commands.worker_process" if name == "worker" else "backend.commands.server_process"
        listener = self._listener.fileno() if self._listener and name.startswith("server") else None

        def arguments() -> list[str]:
            words = ["-m", module, name]
            if listener is not None:
                words.append(str(listener))
            if name == "server-1" and not self._prepared:
                words.append(str(self._answer))
            return words

        return Process(
            name,
            arguments,
            self._environment,
            log=self._log(name),
            listener=listener,
            ready_file=self._settings.var / f".ready.{name}",
            # a server: unnoticed, moving its sockets, their last answers, and what is under way
            stop_seconds=2 * self._settings.drain_seconds + self._settings.shutdown_grace + 8.0,
        )

    def _log(self, name: str) -> Path | None:
        return self._logs / f"{name}.log" if self._logs else None

    def _environment(self) -> dict[str, str]:
        """What the processes must know beyond our own environment."""
        settings = self._settings
        known = {
            "BANSHI_VAR": str(settings.var),
            "BANSHI_HOST": settings.host,
            "BANSHI_PORT": self._url.rpartition(":")[2],
            "BANSHI_WORKERS": str(settings.workers),
            "BANSHI_MONGO_URL": self._mongo_url,
            "BANSHI_REDIS_URL": self._redis_url,
        }
        if self._standin_url:
            known["BANSHI_WECHAT_BASE_URL"] = self._standin_url
        return known

    def _prepare(self, first: Process) -> None:
        """Migrations, first accounts and the sample district, by the first server before it serves."""
        answer = self._answer
        assert answer
        try:
            first.start()
            self._supervisor.wait_for(
                lambda: answer.exists() or not first.running, _PREPARE_SECONDS, "the database is not prepared"
            )
            if not answer.exists():
                why = first.last_words().removeprefix("banshi: ") or f"exit code {first.exit_code}"
                raise CommandError(f"the database could not be prepared: {why}")
            self._prepared = json.loads(answer.read_text(encoding="utf-8"))
        finally:
            answer.unlink(missing_ok=True)  # it may hold passwords

    def _tell(self) -> None:
        settings = self._settings
        running.write(
            settings.var,
            running.RunInfo(
                pid=os.getpid(),
                url=self._url,
                mode=settings.mode,
                workers=settings.workers,
                mongo_url=self._mongo_url,
                redis_url=self._redis_url,
                mongo_embedded=self._mongo is not None,
                redis_embedded=self._redis is not None,
                wechat_standin_url=self._standin_url or settings.wechat_base_url,
                started_at=self._started_at.isoformat(timespec="seconds"),
                restarts=self._restarts,
                restart_problem=self._restart_problem,
            ),
        )


def _port(text: str) -> int:
    port = int(text)
    if not 1 <= port <= 65_535:
        raise argparse.ArgumentTypeError("1 – 65535")
    return port


def _reachable(host: str) -> str:
    """The host by which this machine reaches a socket that listens on `host`."""
    if host in ("0.0.0.0", ""):  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    if host == "::":
        return "[::1]"
    return f"[{host}]" if ":" in host else host


def _ready(url: str) -> bool:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
