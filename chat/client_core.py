"""What goes on under the Python client: what is heard, fetched, kept and told."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from chat.client_connection import ANSWER_TIMEOUT, BEAT_EVERY, CONNECT_TIMEOUT, Connection, GetTicket, Hooks
from chat.client_log import LocalLog
from chat.client_outbox import LOST, Entry, Kept, Outbox, Refused

Ack = dict[str, Any]

#: Seconds a sign of typing is shown, and between two that are sent.
TYPING_SHOWN = 5.0
TYPING_EVERY = 3.0
#: Consultations one `hello` or `beat` may name.
MAX_CURSORS = 200
#: Seconds: receipts are gathered, the file is written, an acknowledged operation is fetched if it did not come.
RECEIPTS_AFTER = 0.2
_SAVE_AFTER = 0.3
_FETCH_AFTER = 2.0
_FIRST_MESSAGE = uuid.uuid5(uuid.NAMESPACE_URL, "banshi:first-message")


def first_message_cid(cid: str) -> str:
    """The `cid` of the message that came with `conv:open`."""
    return str(uuid.uuid5(_FIRST_MESSAGE, cid))


class ChatCore:
    """The state of one device and everything that changes it from outside."""

    def __init__(
        self,
        base_url: str,
        get_ticket: GetTicket,
        *,
        namespace: str,
        me: str = "",
        device: str = "",
        logs: dict[str, LocalLog] | None = None,
        kept: Path | None = None,
        tells_receipts: bool = False,
        first_pause: float = 0.1,
        longest_pause: float = 30.0,
        answer_timeout: float = ANSWER_TIMEOUT,
        beat_every: float = BEAT_EVERY,
        connect_timeout: float = CONNECT_TIMEOUT,
        typing_shown: float = TYPING_SHOWN,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`me` is the person's id, needed to show threads and to merge what the log says of one's own.

        `logs` are those of an earlier run of the same device; `kept` is the file in which logs and what was not sent
        outlive it. `tells_receipts`: what arrived is told as delivered, as apps do. All times are in seconds.
        """
        self.namespace = namespace
        self.side = "citizen" if namespace == "/citizen" else "staff"
        self._me = (self.side, me)
        self.events: deque[tuple[str, Any]] = deque(maxlen=1000)
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._fetching: set[str] = set()
        self._typed: dict[str, float] = {}
        self._tells_receipts, self._typing_shown = tells_receipts, typing_shown
        self._aliases: dict[str, str] = {}
        self._followed: set[str] = set()
        hooks = Hooks(
            greeting=lambda: {"cursors": self._cursors(), "rest": True},
            greeted=self._greeted,
            online=self._online,
            offline=self._offline,
            heard=self._heard,
            beat=self._positions,
            beaten=self._beaten,
            changed=self._note,
        )
        self.connection = Connection(
            base_url,
            get_ticket,
            hooks,
            namespace=namespace,
            device=device,
            pauses=(first_pause, longest_pause),
            answer_timeout=answer_timeout,
            beat_every=beat_every,
            connect_timeout=connect_timeout,
        )
        self.connected = self.connection.connected
        self.outbox = Outbox(
            ask=self.connection.ask,
            online=self.connected,
            changed=self._typed_or_failed,
            opened=self._opened,
            acknowledged=self._acknowledged,
            first_cid=first_message_cid,
            merges=bool(me),
            now=now,
        )
        self._kept = Kept(kept)
        stored = self._kept.read()
        self.logs = logs if logs is not None else {c: LocalLog.from_json(c, each) for c, each in stored["logs"].items()}
        self.outbox.adopt(stored["entries"], self.logs, self._me)

    # --- asking ----------------------------------------------------------------------------------

    async def call(self, event: str, payload: Ack) -> Ack:
        """Send an event until there is a definite answer. Raises `Refused`."""
        while True:
            await self.connected.wait()
            answer = await self.connection.ask(event, payload)
            if answer is LOST:
                await asyncio.sleep(0.01)
            elif answer["ok"]:
                return dict(answer)
            elif answer["retry"]:
                await asyncio.sleep(answer.get("after_ms", 1000) / 1000)
            else:
                raise Refused(answer["problem"])

    # --- the connection --------------------------------------------------------------------------

    def _cursors(self) -> dict[str, list[int]]:
        return {log.consultation_id: [log.epoch, log.seq] for log in self._latest()[:MAX_CURSORS]}

    def _positions(self) -> dict[str, int]:
        joined = [log for log in self._latest() if log.joined]
        return {log.consultation_id: log.seq for log in joined[:MAX_CURSORS]}

    def _latest(self) -> list[LocalLog]:
        """All logs, in the order in which they are named where not all can be: what was asked to be followed, then
        the latest."""
        return sorted(self.logs.values(), key=lambda log: (log.consultation_id in self._followed, log.at), reverse=True)

    def _greeted(self, answer: Ack) -> None:
        for entry in answer["convs"]:
            log = self._log(entry["conv"])
            if entry["epoch"] != log.epoch or log.seq > entry["last_seq"]:
                log.reset(entry["epoch"])
            log.joined = log.joined or entry["joined"]
            log.meet(entry["consultation"])
        for conv in answer["gone"]:
            self.logs.pop(conv, None)

    def _online(self) -> None:
        self.outbox.pump_all()
        self._receipts_soon()
        self._note()

    def _offline(self) -> None:
        for log in self.logs.values():
            log.joined = False

    async def _beaten(self, answer: Ack) -> None:
        for conv, seq in answer["ahead"].items():
            if seq > self._log(conv).seq:  # it may have come meanwhile
                self._later(self._fetch(conv))
        left = {c: [self.logs[c].epoch, self.logs[c].seq] for c in answer["left"] if c in self.logs}
        if left:
            await self.connection.greet({"cursors": left, "rest": False})

    def _opened(self, opening: Entry, answer: Ack) -> None:
        self._aliases[opening.conv] = answer["conv"]
        if "consultation" in answer:
            self._log(answer["conv"]).meet(answer["consultation"])

    def _acknowledged(self, entry: Entry, answer: Ack) -> None:
        conv = answer["conv"]
        if entry.kind != "action":  # the operation comes as an event; should it not, it is fetched
            self._soon(f"fetch:{conv}", _FETCH_AFTER, lambda: self._fetch_acknowledged(conv))

    # --- hearing ---------------------------------------------------------------------------------

    def _log(self, conv: str) -> LocalLog:
        if conv not in self.logs:
            self.logs[conv] = LocalLog(conv)
        return self.logs[conv]

    def _heard(self, event: str, data: Any) -> None:
        self.events.append((event, data))
        if event == "op":
            self._take(data)
        elif event == "conv":
            log = self._log(data["id"])
            log.joined = log.joined or data["joined"]
            log.meet({name: value for name, value in data.items() if name != "joined"})
        elif event == "conv:left":
            self.logs.pop(data["conv"], None)
        elif event == "rcpt":
            log = self._log(data["conv"])
            log.receive({name: value for name, value in data.items() if name != "conv"})
            if (data["reader"]["kind"], data["reader"]["id"]) == self._me:
                log.read = max(log.read, data["read"])
        elif event == "typing":
            self._show_typing(data["conv"], data["who"])
        self._note()

    def _take(self, op: Ack) -> None:
        log = self._log(op["conv"])
        for each in log.add(op):
            sender = each.get("from") or {}
            if (sender.get("kind"), sender.get("id")) == self._me:
                self.outbox.merge(op["conv"], each)
            elif each["kind"] == "message":
                log.typing = None
        if log.gap and op["conv"] not in self._fetching:
            self._later(self._fetch(op["conv"]))
        self._receipts_soon()
        self._soon("save", _SAVE_AFTER, self._save)

    async def _fetch(self, conv: str) -> None:
        """Something is missing: get it from the log."""
        if conv in self._fetching:
            return
        self._fetching.add(conv)
        try:
            log, more = self._log(conv), True
            while more:
                answer = await self.call("ops:get", {"conv": conv, "epoch": log.epoch, "after": log.seq})
                if not answer["recovered"]:
                    log.reset(answer["epoch"])
                    continue
                for op in answer["ops"]:
                    self._take(op)
                # what is missing may have been said after the answer was
                more = (answer["more"] or log.gap) and bool(answer["ops"])
            self._note()
        except Refused:
            pass  # not to be seen any more: `conv:left` or the next hello says so
        finally:
            self._fetching.discard(conv)

    def _fetch_acknowledged(self, conv: str) -> None:
        if self.outbox.acknowledged_seq(conv) > self._log(conv).seq:
            self._later(self._fetch(conv))

    def _show_typing(self, conv: str, who: str) -> None:
        log = self._log(conv)
        log.typing = who
        if running := self._timers.pop(f"typing:{conv}", None):
            running.cancel()  # shown longer by the next one

        def over() -> None:
            log.typing = None
            self._note()

        self._soon(f"typing:{conv}", self._typing_shown, over)

    # --- receipts, keeping, telling --------------------------------------------------------------

    def _receipts_soon(self) -> None:
        if self._tells_receipts:
            self._soon("receipts", RECEIPTS_AFTER, self._tell_receipts)

    def _tell_receipts(self) -> None:
        self._later(self._receipts())

    async def _receipts(self) -> None:
        """Tell what changed, once each; a new connection begins with what is not told."""
        for conv, log in list(self.logs.items()):
            told, read = log.told, log.read
            news = any(
                op["kind"] == "message" and (op["from"]["kind"], op["from"]["id"]) != self._me
                for op in log.ops[told[0] :]
            )
            delivered = max(read, log.seq if news else told[0])
            if not log.joined or (delivered <= told[0] and read <= told[1]):
                continue
            answer = await self.connection.ask("rcpt", {"conv": conv, "delivered": delivered, "read": read})
            if answer is LOST:
                return
            if not answer["ok"] and answer["retry"]:
                self._soon("receipts", answer.get("after_ms", 1000) / 1000, self._tell_receipts)
                return
            log.told = (delivered, read)

    def _typed_or_failed(self) -> None:
        self._save()
        self._note()

    def _save(self) -> None:
        self._kept.write(self.outbox, self.logs)

    def _soon(self, name: str, after: float, work: Callable[[], None]) -> None:
        """Do something a little later, once, however often it is asked for meanwhile."""

        def run() -> None:
            self._timers.pop(name, None)
            work()

        if name not in self._timers:
            self._timers[name] = asyncio.get_running_loop().call_later(after, run)

    def _note(self) -> None:
        self._later(self._notify())

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
