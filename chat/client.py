"""A client of the protocol in docs/protocol.md: the Python twin of the browser's, for tests, tour and drills.

Keeps a log per consultation that is always a prefix of the server's, an outbox that sends each thing until
there is a definite answer, and a connection that comes back by itself and resumes from its cursors.
`tests/conformance` plays both clients through the same scenarios.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from typing import Any

from chat.client_connection import ANSWER_TIMEOUT, PROTOCOL_VERSIONS, GetTicket
from chat.client_core import RECEIPTS_AFTER, TYPING_EVERY, Ack, ChatCore, first_message_cid
from chat.client_fold import build_thread
from chat.client_log import LocalLog
from chat.client_losses import Loss
from chat.client_outbox import LOST, Entry, Kept, Refused

__all__ = ["ANSWER_TIMEOUT", "PROTOCOL_VERSIONS", "Ack", "ChatClient", "GetTicket", "LocalLog", "Refused"]


class ChatClient(ChatCore):
    """One device of one person. `get_ticket` fetches a fresh ticket for each connection."""

    @property
    def connections(self) -> int:
        """How often it was connected."""
        return self.connection.connections

    @property
    def kicks(self) -> list[str]:
        """Why the server closed its connections, each time that it said so."""
        return self.connection.kicks

    @property
    def losses(self) -> list[Loss]:
        """How its connections, and what became none, ended: the latest hundred."""
        return list(self.connection.losses)

    @property
    def refusal(self) -> Ack | None:
        """What `connect_error` said last."""
        return self.connection.refusal

    async def __aenter__(self) -> ChatClient:
        self.start()
        async with asyncio.timeout(10):
            await self.connected.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def start(self) -> None:
        """Connect, and stay connected until `stop`."""
        self.connection.start()

    async def stop(self) -> None:
        """Disconnect for good. What was not acknowledged stays unanswered."""
        self.crash()
        await self.outbox.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.connection.stop()

    def crash(self) -> None:
        """From now on nothing is written any more: what is kept is what was kept at this moment."""
        self._kept = Kept(None)
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    async def sleep(self) -> None:
        """The app goes to the background: no connection, no attempts, until `wake`."""
        await self.connection.stop("sleeping")

    def wake(self) -> None:
        """The network or the app is back."""
        self.connection.wake()

    async def drop(self) -> None:
        """Lose the connection; a started client comes back."""
        await self.connection.drop()

    # --- seeing ----------------------------------------------------------------------------------

    def resolve(self, conv: str) -> str:
        """The id of a consultation that was opened here as `new:…`."""
        return self._aliases.get(conv, conv)

    def thread(self, conv: str) -> list[Ack]:
        """The bubbles and lines of a consultation: see `build_thread`."""
        conv = self.resolve(conv)
        log = self.logs.get(conv) or LocalLog(conv)
        shown = [entry.bubble(self._me, first_message_cid) for entry in self.outbox.of(conv)]
        return build_thread(log.ops, [each for each in shown if each], self._me, lambda n: log.state_of(self.side, n))

    def header(self, conv: str) -> Ack:
        """The consultation as lists show it, kept up to date by the operations; empty while nothing is known."""
        conv = self.resolve(conv)
        return self.logs[conv].shown(self.side) if conv in self.logs else {}

    # --- doing -----------------------------------------------------------------------------------

    def put(self, event: str, conv: str, **payload: Any) -> Entry:
        """Take an event up that changes a consultation: shown at once, kept, sent until there is an answer."""
        cid = payload.pop("cid", None) or str(uuid.uuid4())
        return self.outbox.add(event, self.resolve(conv), cid, payload)

    async def act(self, event: str, conv: str, **payload: Any) -> Ack:
        """`put`, and wait for the answer. Raises `Refused`."""
        done = self.put(event, conv, **payload).done
        assert done is not None
        return await asyncio.shield(done)

    async def send(self, conv: str, text: str, **options: Any) -> Ack:
        """Say something."""
        body = {"text": text, **options.pop("body", {})}
        return await self.act("msg:send", conv, body=body, **options)

    def begin(self, subject: str, *, cid: str | None = None, text: str | None = None, **payload: Any) -> Entry:
        """Open a consultation; `text` is its first message. It can be talked in at once, under the entry's `conv`."""
        cid = cid or str(uuid.uuid4())
        body = {} if text is None else {"body": {"text": text}}
        return self.outbox.add("conv:open", f"new:{cid}", cid, {"subject": subject, **payload, **body})

    async def open(self, subject: str, **payload: Any) -> Ack:
        """`begin`, and wait for the answer. Raises `Refused`."""
        done = self.begin(subject, **payload).done
        assert done is not None
        return await asyncio.shield(done)

    async def follow(self, conv: str) -> None:
        """Follow a consultation that the server did not put here by itself."""
        log = self._log(conv)
        self._followed.add(conv)
        await self.connection.greet({"cursors": {conv: [log.epoch, log.seq]}, "rest": False})

    def mark_read(self, conv: str, seq: int | None = None) -> None:
        """What is on the screen was read; up to the last operation when `seq` is left out."""
        log = self._log(self.resolve(conv))
        log.read = max(log.read, min(log.seq if seq is None else seq, log.seq))
        self._soon("receipts", RECEIPTS_AFTER, self._tell_receipts)
        self._note()

    async def typing(self, conv: str) -> None:
        """A key was pressed."""
        conv, now = self.resolve(conv), time.monotonic()
        if now - self._typed.get(conv, float("-inf")) >= TYPING_EVERY and conv in self.logs and self.logs[conv].joined:
            self._typed[conv] = now
            await self.connection.tell("typing", {"conv": conv})

    async def once(self, event: str, payload: Any, timeout: float = ANSWER_TIMEOUT) -> Ack | None:
        """Send an event a single time; None when no answer came."""
        answer = await self.connection.ask(event, payload, timeout)
        return None if answer is LOST else answer

    async def until(self, condition: Callable[[], Any], timeout: float = 10.0) -> Any:
        """Wait until `condition()` is true after something was heard, and return what it gave.

        Raises `TimeoutError`.
        """
        async with asyncio.timeout(timeout):
            async with self._changed:
                while not (found := condition()):
                    await self._changed.wait()
                return found

    async def until_texts(self, conv: str, *texts: str, timeout: float = 10.0) -> list[str]:
        """Wait until the consultation holds all these messages."""
        await self.until(lambda: set(texts) <= set(self._log(conv).texts()), timeout)
        return self._log(conv).texts()
