"""What is asked of a consultation's log, and where it stands in the queue."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import structlog

from backend.domain.consultation_operations import Message, Operation, Party, Payload, Recall, Visibility
from backend.domain.consultations import Consultation, State, apply_all, changes_state

log = structlog.get_logger()

#: Messages after which a state is folded although nobody looked at it.
_MAX_UNFOLDED = 200


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


class Talked:
    """A state and the messages that followed it, folded only when somebody looks at the whole: of what talk
    leaves as it was, nothing has to be folded."""

    __slots__ = ("_count", "_known", "_messages")

    def __init__(self, known: Consultation, messages: list[Operation] | None = None) -> None:
        """`messages` may be added to; what is there now counts."""
        self._known = known
        self._messages = messages
        self._count = len(messages) if messages else 0

    @property
    def id(self) -> str:
        return self._known.id

    @property
    def version(self) -> int:
        return self._known.version

    @property
    def stage(self) -> State:
        """The `state` of the state."""
        return self._known.state

    @property
    def state(self) -> Consultation:
        """The whole."""
        if self._count and self._messages is not None:
            self._known = apply_all(self._known, self._messages[: self._count])
            self._messages, self._count = None, 0
        return self._known


@dataclass(frozen=True, slots=True)
class Committed:
    """What was written. `operation` is the one that carries the client id; `dup` says it was there before."""

    after: Talked
    operation: Operation
    operations: tuple[Operation, ...]
    dup: bool = False

    @property
    def state(self) -> Consultation:
        """The state after the operations, or, of what was there before, a later one."""
        return self.after.state


class CommitListener(Protocol):
    """Is told of what was committed in this process; must return at once."""

    def committed(self, after: Talked, operations: Sequence[Operation]) -> None: ...

    def receipt(self, consultation_id: str, reader: Party, delivered: int, read: int) -> None: ...


R = TypeVar("R", contravariant=True)


class Outcome(Protocol[R]):
    """Hears once what became of something, at that moment: before anything else can have its place."""

    def done(self, result: R) -> None: ...

    def refused(self, error: Exception) -> None: ...


class Awaited:
    """The outcome of a turn for who waits for it."""

    __slots__ = ("future",)

    def __init__(self) -> None:
        self.future: asyncio.Future[Committed] = asyncio.get_running_loop().create_future()

    def done(self, result: Committed) -> None:
        if not self.future.done():
            self.future.set_result(result)

    def refused(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


#: What has to be written before a message, by a state and the number of the last operation: most often nothing.
#: All else of the state is true, but for what messages change. Raises what refuses the message.
Rule = Callable[[Consultation, int], Sequence[Draft]]
Decide = Callable[[Consultation], Awaitable[Sequence[Draft]]]


class Turn:
    """One thing asked for: a message, for which `rule` decides at once, or what `decide` answers, which may look
    things up."""

    __slots__ = ("attempts", "decide", "message", "outcome", "request", "rule", "written")

    def __init__(
        self,
        request: Request,
        outcome: Outcome[Committed],
        *,
        message: Message | None = None,
        rule: Rule | None = None,
        decide: Decide | None = None,
    ) -> None:
        self.request = request
        self.outcome = outcome
        self.message = message
        self.rule = rule
        self.decide = decide
        self.attempts = 0
        self.written = False  # the index says that its client id is in the log

    def answer(self, committed: Committed) -> None:
        """Say that it was done. Whoever cannot hear it keeps nobody else from hearing."""
        try:
            self.outcome.done(committed)
        except Exception:
            log.exception("outcome_not_heard")

    def fail(self, error: Exception) -> None:
        """Say that it was refused."""
        try:
            self.outcome.refused(error)
        except Exception:
            log.exception("outcome_not_heard")

    async def drafts(self, state: Consultation) -> Sequence[Draft]:
        """What is to be written for it in this state. Raises what refuses it."""
        if self.decide is not None:
            return await self.decide(state)
        assert self.rule is not None
        assert self.message is not None
        return [*self.rule(state, state.last_seq), Draft(self.message)]


class Live:
    """A consultation that is written to in this process. `stale`: the state is read again before anything is
    decided on it."""

    __slots__ = ("_known", "_said", "busy", "doubt", "id", "last_seq", "stale", "stuck", "turns")

    def __init__(self, consultation_id: str) -> None:
        self.id = consultation_id
        self._known: Consultation | None = None
        self._said: list[Operation] = []  # messages that are not folded into it yet
        self.last_seq = 0
        self.stale = True
        self.stuck = False  # a number was taken by what cannot be read
        self.doubt = False  # something of ours may have been written without our knowing
        self.turns: deque[Turn] = deque()
        self.busy = False  # whether the turn at the head is being served

    @property
    def state(self) -> Consultation | None:
        """The state as it is known here."""
        if self._said and self._known is not None:
            self._known, self._said = apply_all(self._known, self._said), []
        return self._known

    @state.setter
    def state(self, state: Consultation) -> None:
        self._known, self._said, self.last_seq = state, [], state.last_seq

    @property
    def settled(self) -> Consultation | None:
        """The same, but for what messages change."""
        return self._known

    def say(self, message: Operation) -> Talked:
        """A message that follows was committed: what there is after it."""
        known = self._known if len(self._said) < _MAX_UNFOLDED else self.state
        assert known is not None
        self._said.append(message)
        self.last_seq = message.seq
        return Talked(known, self._said)

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


def is_plain(operations: Sequence[Operation]) -> bool:
    """Whether these change nothing but the talk, and are written by themselves: a recall also empties what it
    names."""
    return not any(changes_state(o.payload) or isinstance(o.payload, Recall) for o in operations)
