"""`run.py doctor`: is this machine fit, is the system here well?"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from pathlib import Path

import aiohttp
from redis.asyncio import Redis
from redis.exceptions import RedisError

from backend.commands import checks
from backend.commands.environment import read_settings
from backend.commands.errors import CommandError
from backend.commands.findings import Finding, Verdict, attempt
from backend.commands.running import RunInfo, running_system
from backend.commands.terminal import say
from backend.domain.errors import DomainError
from backend.embedded import EmbeddedError
from backend.embedded.binaries import MONGOD, REDIS_SERVER, Program, find_program
from config.settings import Settings

_SKEW_SECONDS = 5.0
_MARKS = {"ok": "✓", "warning": "!", "failed": "✗"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="以 JSON 输出 / print JSON")
    parser.add_argument(
        "--canary",
        action="store_true",
        help="在两个节点之间实际走一次咨询 / play a consultation between two nodes, and look at the stores' members",
    )
    parser.add_argument(
        "--via",
        action="append",
        metavar="URL",
        type=_address,
        help="与 --canary 同用：节点地址，至多两个 / with --canary: a node's address, one for each side",
    )


def run(options: argparse.Namespace) -> int:
    """Check and report; 0 when nothing failed, 1 otherwise, 3 when nothing runs here and no `--via` says where."""
    via: list[str] = options.via or []
    if (via and not options.canary) or len(via) > 2:
        raise CommandError("--via goes with --canary, at most twice")
    settings = read_settings()
    info = running_system(settings.var)
    findings = _machine(settings)
    if info is not None:
        findings += asyncio.run(_system(info, settings))
    if options.canary and (info is not None or via):
        findings += asyncio.run(_deployment(info, settings, via))
    failed = any(finding.verdict == "failed" for finding in findings)
    if options.json:
        say(
            json.dumps(
                {"running": info is not None, "ok": not failed, "findings": [asdict(f) for f in findings]},
                ensure_ascii=False,
                indent=2,
            )
        )
    else:
        for finding in findings:
            say(f"  {_MARKS[finding.verdict]} {finding.check:<16} {finding.detail}")
        if info is None and not via:
            say("这里没有运行中的系统，请用 make run 启动。 / Nothing runs here: start it with `make run`.")
    return 1 if failed else 3 if info is None and not via else 0


def _address(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError("http://… or https://…")
    return text.rstrip("/")


def _machine(settings: Settings) -> list[Finding]:
    findings = [
        Finding("python", "ok", sys.version.split()[0]),
        Finding("libraries", "ok", ", ".join(f"{name} {version(name)}" for name in ("aiohttp", "motor", "redis"))),
    ]
    try:
        checks.make_writable(settings.var)
    except CommandError as error:
        findings.append(Finding("disk", "failed", str(error)))
    else:
        free = shutil.disk_usage(settings.var).free
        findings.append(Finding("disk", "ok", f"{settings.var}: {free / 2**30:.1f} GB free"))
    for program, url in ((MONGOD, settings.mongo_url), (REDIS_SERVER, settings.redis_url)):
        if url is None:
            findings.append(_program(program, settings))
    return findings


def _program(program: Program, settings: Settings) -> Finding:
    """Whether the embedded server's program starts at all: its libraries, its architecture."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = find_program(program, settings.embedded_prefer, Path(folder))
            answer = subprocess.run([str(path), "--version"], capture_output=True, text=True, timeout=20, check=False)
    except (EmbeddedError, OSError, subprocess.TimeoutExpired) as error:
        return Finding(program.name, "failed", str(error))
    words = (answer.stdout if answer.returncode == 0 else answer.stderr).strip().split("\n")[0]
    return Finding(program.name, "ok" if answer.returncode == 0 else "failed", words)


async def _system(info: RunInfo, settings: Settings) -> list[Finding]:
    from backend.commands import chat_figures

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as http:
        found = [
            await attempt("healthz", lambda: _http(http, f"{info.url}/healthz")),
            await attempt("readyz", lambda: _http(http, f"{info.url}/readyz")),
            await attempt("chat", lambda: chat_figures.look(http, info.url)),
            await attempt("clock", lambda: _clock(http, info.url)),
            await attempt("mongodb", lambda: _mongo(info, settings)),
            await attempt("redis", lambda: _redis(info)),
        ]
        if info.wechat_standin_url:
            standin = info.wechat_standin_url
            found.append(await attempt("wechat", lambda: _reachable(http, standin)))
    system = Finding("system", "ok", f"{info.url}, process {info.pid}, since {info.started_at}, {info.mode}")
    return [system, *found]


async def _deployment(info: RunInfo | None, settings: Settings, via: list[str]) -> list[Finding]:
    """The stores' members and a canary between the addresses; without any, the system that runs here."""
    from backend.commands import canary, stores_health
    from backend.composition import open_services

    mongo, redis = settings.mongo_url, settings.redis_url
    if info is not None:
        via, mongo, redis = via or [info.url], mongo or info.mongo_url, redis or info.redis_url
    if not mongo or not redis:
        raise CommandError("--via needs MONGO_URL and REDIS_URL of the deployment")
    here = settings.model_copy(update={"mongo_url": mongo, "redis_url": redis})
    try:
        async with open_services(here, upgrade=False) as services:
            looked = await stores_health.look(services, via)
            return looked + await canary.play(services, (via[0], via[-1]))
    except DomainError as error:
        return [Finding("canary", "failed", str(error) or error.code)]


async def _http(http: aiohttp.ClientSession, url: str) -> tuple[Verdict, str]:
    async with http.get(url) as response:
        text = (await response.text())[:200]
        return ("ok" if response.status == 200 else "failed"), f"{response.status} {text}"


async def _reachable(http: aiohttp.ClientSession, url: str) -> tuple[Verdict, str]:
    async with http.get(url) as response:
        return ("ok" if response.status < 500 else "failed"), f"{url} answers"


async def _clock(http: aiohttp.ClientSession, url: str) -> tuple[Verdict, str]:
    """Our clock against the server's, which matters when it is on another host."""
    async with http.get(f"{url}/healthz") as response:
        there = parsedate_to_datetime(response.headers["Date"]).timestamp()
    skew = abs(time.time() - there)
    return ("ok" if skew < _SKEW_SECONDS else "failed"), f"{max(0.0, skew - 1):.0f} s apart"


async def _mongo(info: RunInfo, settings: Settings) -> tuple[Verdict, str]:
    from backend.storage.database import Database

    await checks.reach_mongo(info.mongo_url, settings.mongo_database)
    database = Database.connect(info.mongo_url, settings.mongo_database, timeout=4)
    try:
        release = await database.server_version()
        hello = await database.raw.command("hello")
    finally:
        await database.close()
    skew = abs(time.time() - hello["localTime"].timestamp())
    where = "embedded" if info.mongo_embedded else checks.without_password(info.mongo_url)
    if skew >= _SKEW_SECONDS:
        return "failed", f"its clock and ours are {skew:.0f} s apart"
    return "ok", f"{release}, {where}, set {hello.get('setName', '– none: transactions will fail')}"


async def _redis(info: RunInfo) -> tuple[Verdict, str]:
    """Redis only makes things fast: its absence is a warning."""
    client = Redis.from_url(info.redis_url, socket_timeout=2, socket_connect_timeout=2)
    try:
        release = (await client.info("server"))["redis_version"]
    except (RedisError, OSError) as error:
        return "warning", f"away: {error}"
    finally:
        await client.aclose()
    return "ok", f"{release}, {'embedded' if info.redis_embedded else 'configured'}"
