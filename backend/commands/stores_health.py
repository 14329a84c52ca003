"""What `doctor --canary` asks of the database's members, of Redis and of the nodes' versions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
from pymongo.errors import PyMongoError

from backend.commands.findings import Finding, Verdict, attempt
from backend.composition import Services
from backend.domain.ids import new_id
from backend.version import VERSION

_LAG_SECONDS = 5.0
_HEARD_SECONDS = 8.0
_PROBES = 6  # connections to one address, which several processes may share


async def look(services: Services, urls: Sequence[str]) -> list[Finding]:
    """All of it. The members come last: what they should have by then was just written."""
    single = await asyncio.gather(
        attempt("write concern", lambda: _write_concern(services)),
        attempt("redis path", lambda: _publish(services)),
        *(_version(url) for url in dict.fromkeys(urls)),
    )
    return [*await _members(services), *single]


async def _members(services: Services) -> list[Finding]:
    """The members of the set, each with what is wrong with it."""
    admin, deadline = services.database.raw.client.admin, time.monotonic() + _HEARD_SECONDS
    try:
        while True:
            status = await admin.command("replSetGetStatus")
            # a quiet set writes only every ten seconds, and hears of each other's progress with the heartbeats
            if max(_lags(status["members"]).values(), default=0.0) <= _LAG_SECONDS or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.5)
    except PyMongoError as error:
        why = str(error).split(", full error")[0]
        return [Finding("replica set", "warning", f"its state cannot be read (clusterMonitor is needed): {why}")]
    members = status["members"]
    lags = _lags(members)
    found = []
    for member in members:
        name, state = f"member {member['name']}", member["stateStr"]
        if member.get("health") != 1 or state not in ("PRIMARY", "SECONDARY"):
            why = member.get("lastHeartbeatMessage") or "not following the primary"
            found.append(Finding("replica set", "failed", f"{name} is {state.lower()}: {why[:120]}"))
            continue
        lag = lags[member["name"]]
        verdict: Verdict = "ok" if lag <= _LAG_SECONDS else "failed"
        found.append(Finding("replica set", verdict, f"{name} is {state.lower()}, {lag:.0f} s behind"))
    if len(members) < 3:
        words = f"{len(members)} member(s) hold the data: three are needed to lose one without stopping"
        found.append(Finding("replica set", "warning", words))
    return found


def _lags(members: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Seconds by which each member that takes part is behind the one that has most."""
    times = {m["name"]: m["optimeDate"] for m in members if m.get("health") == 1 and "optimeDate" in m}
    newest = max(times.values(), default=None)
    return {name: (newest - at).total_seconds() for name, at in times.items()} if newest is not None else {}


async def _write_concern(services: Services) -> tuple[Verdict, str]:
    """What an acknowledgement stands on: a write that the majority has in its journal."""
    admin, collection = services.database.raw.client.admin, services.database["meta"]
    begun, probe = time.perf_counter(), f"canary-{new_id()}"
    try:
        await collection.insert_one({"_id": probe})
        took = (time.perf_counter() - begun) * 1000
        await collection.delete_one({"_id": probe})
    except PyMongoError as error:
        return "failed", f"the majority does not journal writes: {str(error)[:160]}"
    try:
        config = (await admin.command("replSetGetConfig"))["config"]
    except PyMongoError:
        return "warning", f"majority, journaled in {took:.0f} ms; the set's configuration cannot be read"
    if not config.get("writeConcernMajorityJournalDefault", True):
        return "failed", "writeConcernMajorityJournalDefault is off: set it to true"
    if arbiters := [member["host"] for member in config["members"] if member.get("arbiterOnly")]:
        return "warning", f"{', '.join(arbiters)} is an arbiter: the loss of one member stops majority writes"
    return "ok", f"majority, journaled in {took:.0f} ms"


async def _publish(services: Services) -> tuple[Verdict, str]:
    """Whether what is published comes to who subscribed. Redis away slows down, and loses nothing."""
    channel = f"canary:{new_id()}"
    async with services.redis.pubsub() as reader:
        await reader.subscribe(channel)
        await reader.get_message(timeout=2)
        await services.redis.publish(channel, "1")
        async with asyncio.timeout(3):
            while (message := await reader.get_message(timeout=1)) is None or message["type"] != "message":
                pass
    return "ok", "what is published arrives"


async def _version(url: str) -> Finding:
    """The version of the processes behind an address."""
    seen: set[str] = set()
    timeout = aiohttp.ClientTimeout(total=5)
    try:
        for _ in range(_PROBES):
            connector = aiohttp.TCPConnector(force_close=True)
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as http,
                http.get(f"{url}/healthz") as response,
            ):
                if response.status == 404:
                    return Finding("version", "warning", f"{url} does not pass /healthz on: ask the nodes themselves")
                seen.add(str((await response.json(content_type=None))["version"]))
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError) as error:
        return Finding("version", "failed", f"{url}/healthz: {str(error) or type(error).__name__}")
    words = " and ".join(sorted(seen))
    if seen == {VERSION}:
        return Finding("version", "ok", f"{url} runs {words}, as we are")
    return Finding("version", "failed", f"{url} runs {words}, this is {VERSION}: finish the rolling restart")
