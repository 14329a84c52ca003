"""What a socket sent must not overtake what it was told to send again.

A client has several events of one consultation in flight. When one of them is refused with `retry`, those it
sent after it are on their way already; done now, they would stand before it for good. So they are refused in the
same way, until the client has sent the first one again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from backend.domain.errors import Unavailable

#: Seconds after which a client that did not send it again has given it up.
PATIENCE = 15.0
#: Consultations of one socket in which something is owed; more than a client follows.
_MAX = 200


@dataclass(frozen=True, slots=True)
class _Owed:
    """The first event of a consultation that is to be sent again: when it came, and its client id."""

    arrival: int
    cid: str
    until: float


class SendOrder:
    """Of one socket: what it was told to send again, per consultation."""

    __slots__ = ("_arrivals", "_owed")

    def __init__(self) -> None:
        self._arrivals = 0
        self._owed: dict[str, _Owed] = {}

    def arrived(self) -> int:
        """The place of an event among all that came; to be called when it comes."""
        self._arrivals += 1
        return self._arrivals

    def admit(self, conv: str, cid: str, arrival: int) -> None:
        """Whether an event may be done now, in its turn. Raises `Unavailable` when something before it is missing."""
        owed = self._owed.get(conv)
        if owed is None or arrival < owed.arrival:
            return
        if owed.cid != cid and time.monotonic() < owed.until:
            raise Unavailable("前面的操作还没有完成，请稍后按原来的顺序重试。")
        del self._owed[conv]

    def refused(self, conv: str, cid: str, arrival: int) -> None:
        """An event is to be sent again."""
        owed = self._owed.get(conv)
        if owed is None or arrival < owed.arrival or time.monotonic() >= owed.until:
            if len(self._owed) >= _MAX:
                self._owed.clear()
            self._owed[conv] = _Owed(arrival, cid, time.monotonic() + PATIENCE)
