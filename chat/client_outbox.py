"""Things on their way, for the Python client. Each consultation's go one after the other, each with the same `cid`
until there is a definite answer; one that is refused for good stays as failed and holds up nothing behind it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chat.client_fold import Json
from chat.client_log import LocalLog

#: No answer came: the connection went away, or nothing was heard in time.
LOST = object()
_KINDS = {"conv:open": "open", "msg:send": "message", "note:add": "note", "msg:edit": "edit", "msg:recall": "recall"}


class Refused(Exception):
    """A definite refusal; `problem` is the server's error object."""

    def __init__(self, problem: Json) -> None:
        super().__init__(f"{problem.get('code')}: {problem.get('detail')}")
        self.problem = problem

    @property
    def code(self) -> str:
        return str(self.problem.get("code"))


@dataclass
class Entry:
    """One thing: its event and payload, as they are sent each time."""

    event: str
    conv: str  # a consultation's id, or `new:<cid of its opening>`
    cid: str
    payload: Json  # without `conv` and `cid`
    order: tuple[float, int]
    problem: Json | None = None
    answer: Json | None = None
    done: asyncio.Future[Json] | None = field(default=None, compare=False)

    @property
    def kind(self) -> str:
        return _KINDS.get(self.event, "action")

    def packet(self) -> Json:
        """What is sent."""
        conv = {} if self.kind == "open" else {"conv": self.conv}
        return {"cid": self.cid, **conv, **self.payload}

    def bubble(self, me: tuple[str, str], first_cid: Callable[[str], str]) -> Json | None:
        """How it shows in a thread; None for what does not."""
        if self.kind in ("edit", "recall"):
            return {"changing": self.kind, **self.payload}
        body = self.payload if self.kind == "note" else self.payload.get("body")
        if self.kind == "action" or body is None:
            return None
        return {
            "type": "bubble",
            "cid": first_cid(self.cid) if self.kind == "open" else self.cid,
            "seq": None,
            "mine": True,
            "from": {"kind": me[0], "id": me[1]},
            "content": dict(body),
            "note": self.kind == "note",
            "recalled": False,
            "edited_at": None,
            "state": "failed" if self.problem else "sent" if self.answer else "sending",
            "problem": self.problem,
        }


class Outbox:
    """`ask` sends once and gives the acknowledgement or `LOST`; `opened` is told of openings that were committed.

    `merges`: what was acknowledged stays until `merge` is told that the log has it; else it goes at once.
    """

    def __init__(
        self,
        *,
        ask: Callable[[str, Json], Awaitable[Any]],
        online: asyncio.Event,
        changed: Callable[[], None],
        opened: Callable[[Entry, Json], None],
        acknowledged: Callable[[Entry, Json], None],
        first_cid: Callable[[str], str],
        merges: bool,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._ask, self._online, self._changed = ask, online, changed
        self._merges = merges
        self._opened, self._acknowledged, self.first_cid, self._now = opened, acknowledged, first_cid, now
        self.entries: dict[str, Entry] = {}
        self._pumps: dict[str, asyncio.Task[None]] = {}
        self._latest = (0.0, 0)
        self._closed = False

    def of(self, conv: str) -> list[Entry]:
        """What is to be shown of one consultation, in the order in which it was typed."""
        return sorted((e for e in self.entries.values() if e.conv == conv), key=lambda e: e.order)

    def add(self, event: str, conv: str, cid: str, payload: Json) -> Entry:
        """Take a thing up and send it; `done` is its acknowledgement, or `Refused`."""
        entry = Entry(event, conv, cid, payload, self._next_order(), done=asyncio.get_running_loop().create_future())
        assert entry.done is not None
        entry.done.add_done_callback(lambda done: done.cancelled() or done.exception())  # need not be awaited
        self.entries[cid] = entry
        self._changed()
        self._pump(conv)
        return entry

    def adopt(self, entries: list[Json], logs: dict[str, LocalLog], me: tuple[str, str]) -> None:
        """Take up what an earlier run stored and the logs do not hold."""
        mine = {op["cid"] for log in logs.values() for op in log.ops if (op.get("from") or {}).get("id") == me[1]}
        for stored in entries:
            entry = Entry(**stored | {"order": tuple(stored["order"])})
            self._latest = max(self._latest, entry.order)
            if self._settled_by(entry) not in mine:
                self.entries[entry.cid] = entry

    def pump_all(self) -> None:
        """The connection is there (again)."""
        for conv in {entry.conv for entry in self.entries.values()}:
            self._pump(conv)

    def merge(self, conv: str, op: Json) -> None:
        """The log has an own operation."""
        direct = self.entries.get(op["cid"])
        if direct is not None and direct.kind == "open" and direct.conv != conv:
            self._moved(direct, _told(op))
        for entry in [e for e in self.of(conv) if self._settled_by(e) == op["cid"]]:
            del self.entries[entry.cid]
            entry.answer = entry.answer or _told(op)

    def retry(self, cid: str) -> None:
        """Try a failed thing again, after what was typed since."""
        entry = self.entries[cid]
        if entry.problem is None:
            return
        entry.problem, entry.order = None, self._next_order()
        entry.done = asyncio.get_running_loop().create_future()
        entry.done.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._changed()
        self._pump(entry.conv)

    def discard(self, cid: str) -> None:
        """Take a failed thing away; an opening with all that was typed after it."""
        entry = self.entries[cid]
        if entry.problem is None:
            return
        for gone in self.of(entry.conv) if entry.kind == "open" else [entry]:
            del self.entries[gone.cid]
        self._changed()

    def acknowledged_seq(self, conv: str) -> int:
        """The highest number that was acknowledged here and is not in the log yet."""
        return max((e.answer["seq"] for e in self.of(conv) if e.answer), default=0)

    def to_json(self) -> list[Json]:
        """What is kept through a restart. Decisions are not: they make no sense on a later state."""
        return [
            {name: getattr(e, name) for name in ("event", "conv", "cid", "payload", "order", "problem")}
            for e in self.entries.values()
            if e.kind != "action"
        ]

    async def close(self) -> None:
        """Send nothing more. What was not answered stays unanswered."""
        self._closed = True
        pumps = list(self._pumps.values())
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)

    # --- sending ---------------------------------------------------------------------------------

    def _next_order(self) -> tuple[float, int]:
        """Later than all before, also where the clock was put back in between."""
        self._latest = (max(self._latest[0], self._now()), self._latest[1] + 1)
        return self._latest

    def _settled_by(self, entry: Entry) -> str:
        """The cid by which the log shows that a thing is there with all it said."""
        return self.first_cid(entry.cid) if entry.kind == "open" and entry.payload.get("body") else entry.cid

    def _next(self, conv: str) -> Entry | None:
        waiting = [e for e in self.of(conv) if e.problem is None and e.answer is None]
        if conv.startswith("new:"):
            return next((e for e in self.of(conv) if e.kind == "open" and e in waiting), None)
        return waiting[0] if waiting else None

    def _pump(self, conv: str) -> None:
        running = self._pumps.get(conv)
        if not self._closed and (running is None or running.done()):
            self._pumps[conv] = asyncio.create_task(self._send_all(conv), name="outbox")

    async def _send_all(self, conv: str) -> None:
        while not self._closed and (entry := self._next(conv)):
            await self._deliver(entry)

    async def _deliver(self, entry: Entry) -> None:
        """Until there is a definite answer, or the log shows that it is there."""
        while True:
            await self._online.wait()
            answer = await self._ask(entry.event, entry.packet())
            if answer is not LOST and answer["ok"]:
                return self._acknowledge(entry, answer)
            if entry.answer is not None:  # the log said so first
                return self._finish(entry)
            if answer is LOST:
                await asyncio.sleep(0)
            elif not answer["retry"]:
                return self._fail(entry, answer["problem"])
            else:
                await asyncio.sleep(answer.get("after_ms", 1000) / 1000)

    def _acknowledge(self, entry: Entry, answer: Json) -> None:
        entry.answer = answer
        if entry.kind == "open":
            self._moved(entry, answer)
        if entry.kind == "action" or not self._merges:
            self.entries.pop(entry.cid, None)
        self._finish(entry)
        self._acknowledged(entry, answer)
        self._changed()

    def _moved(self, opening: Entry, answer: Json) -> None:
        """An opening was committed: what was typed meanwhile goes to its consultation."""
        opening.answer = opening.answer or answer
        if opening.conv == answer["conv"]:
            return
        local = opening.conv
        for entry in self.of(local):
            entry.conv = answer["conv"]
        opening.conv = answer["conv"]
        self._opened(Entry(opening.event, local, opening.cid, {}, opening.order), answer)
        self._pump(answer["conv"])

    def _finish(self, entry: Entry) -> None:
        if entry.done is not None and not entry.done.done():
            assert entry.answer is not None
            entry.done.set_result(dict(entry.answer))

    def _fail(self, entry: Entry, problem: Json) -> None:
        if entry.kind in ("action", "edit", "recall"):
            self.entries.pop(entry.cid, None)
        else:
            entry.problem = problem
        if entry.done is not None and not entry.done.done():
            entry.done.set_exception(Refused(problem))
        self._changed()


def _told(op: Json) -> Json:
    """What the acknowledgement would have said of an operation that came in the log."""
    return {"ok": True, "dup": True, **{name: op[name] for name in ("conv", "id", "epoch", "seq", "ts")}}


class Kept:
    """A device's memory in one file, replaced as a whole."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def read(self) -> Json:
        if self._path is None or not self._path.exists():
            return {"entries": [], "logs": {}}
        return dict(json.loads(self._path.read_text()))

    def write(self, outbox: Outbox, logs: dict[str, LocalLog]) -> None:
        if self._path is None:
            return
        text = json.dumps({"entries": outbox.to_json(), "logs": {c: log.to_json() for c, log in logs.items()}})
        fresh = self._path.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self._path)
