"""What is asked of a consultation's log, and where it stands in the queue."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from backend.domain.consultation_operations import Operation, Party, Payload, Recall, Visibility
from backend.domain.consultations import Consultation, changes_state


@dataclass(frozen=True, slots=True)
class Draft:
    """An operation before it has a number. `own` carries the client id of the request; the others are the
    system's."""

    payload: Payload
    own: bool = True
    visibility: Visibility = Visibility.ALL


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks for an operation, under which client id, and the fingerprint of what is asked."""

    sender: Party
    cid: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Committed:
    """What was written. `operation` is the one that carries the client id; `dup` says it was there before."""

    state: Consultation
    operation: Operation
    operations: tuple[Operation, ...]
    dup: bool = False


class CommitListener(Protocol):
    """Is told of what was committed in this process; must return at once."""

    def committed(self, state: Consultation, operations: Sequence[Operation]) -> None: ...

    def receipt(self, consultation_id: str, reader: Party, delivered: int, read: int) -> None: ...


Rule = Callable[[Consultation], Sequence[Draft]]
Decide = Callable[[Consultation], Awaitable[Sequence[Draft]]]
#: Is called at the moment of a refusal.
Refused = Callable[[Exception], None]


class Turn:
    """One thing asked for. `rule` decides at once, `decide` may look things up; one of them is there."""

    __slots__ = ("attempts", "decide", "done", "refused", "request", "rule", "written")

    def __init__(
        self, request: Request, rule: Rule | None, decide: Decide | None, refused: Refused | None = None
    ) -> None:
        self.request = request
        self.rule = rule
        self.decide = decide
        self.done: asyncio.Future[Committed] = asyncio.get_running_loop().create_future()
        self.attempts = 0
        self.written = False  # the index says that its client id is in the log
        self.refused = refused

    def answer(self, committed: Committed) -> None:
        if not self.done.done():
            self.done.set_result(committed)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            if self.refused is not None:  # at once: callbacks of the future come a turn of the loop later
                self.refused(error)
            self.done.set_exception(error)


class Live:
    """A consultation that is written to in this process. `stale`: the state is read again before it is used."""

    __slots__ = ("busy", "doubt", "id", "stale", "state", "stuck", "turns")

    def __init__(self, consultation_id: str) -> None:
        self.id = consultation_id
        self.state: Consultation | None = None
        self.stale = True
        self.stuck = False  # a number was taken by what cannot be read
        self.doubt = False  # something of ours may have been written without our knowing
        self.turns: deque[Turn] = deque()
        self.busy = False  # whether the turn at the head is being served

    def fail_all(self, error: Exception) -> None:
        """Nothing that waits here can be served."""
        while self.turns:
            self.turns.popleft().fail(error)

    def fail_after(self, failed: Sequence[Turn], error: Exception) -> None:
        """What these senders asked for afterwards must not overtake what they will ask for again."""
        senders = {(turn.request.sender.kind, turn.request.sender.id) for turn in failed}
        waiting, self.turns = self.turns, deque()
        for turn in waiting:
            if (turn.request.sender.kind, turn.request.sender.id) in senders:
                turn.fail(error)
            else:
                self.turns.append(turn)


@dataclass(slots=True)
class Step:
    """A turn decided: what is to be written for it, and the state after that."""

    turn: Turn
    operations: tuple[Operation, ...]
    state: Consultation

    @property
    def own(self) -> Operation:
        """The operation that carries the client id."""
        cid = self.turn.request.cid
        return next(operation for operation in self.operations if operation.cid == cid)


def is_talk(drafts: Sequence[Draft]) -> bool:
    """Whether this is one operation that changes nothing but the talk."""
    return len(drafts) == 1 and not changes_state(drafts[0].payload) and not isinstance(drafts[0].payload, Recall)


def is_plain(operations: Sequence[Operation]) -> bool:
    """Whether these are written by themselves: a recall also empties what it names."""
    return not any(changes_state(o.payload) or isinstance(o.payload, Recall) for o in operations)
