"""Errors on demand: what an endpoint does instead of its duty, for the next n calls or for ever."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

FaultKind = Literal["errcode", "timeout", "status", "truncated", "cut", "slow"]
KINDS: frozenset[str] = frozenset(get_args(FaultKind))


@dataclass(slots=True)
class Fault:
    """`endpoint` is a path without its leading slash, or `*` for all.

    errcode: the business error `errcode`, nothing is done. status: HTTP `status` with an HTML page,
    nothing is done. timeout: no answer for `seconds`, nothing is done. slow: the true answer after
    `seconds`. truncated: done, but half of the JSON arrives in a correct HTTP answer. cut: done, but
    the connection ends in the middle. `remaining` None means for ever.
    """

    endpoint: str
    kind: FaultKind
    remaining: int | None = 1
    errcode: int = -1
    status: int = 502
    seconds: float = 120.0

    def to_json(self) -> dict[str, Any]:
        """As the control API shows it."""
        return asdict(self)


class Faults:
    """The errors that are ordered and not yet delivered; first ordered, first delivered."""

    def __init__(self) -> None:
        self._ordered: list[Fault] = []

    def order(self, fault: Fault) -> None:
        self._ordered.append(fault)

    def take(self, endpoint: str) -> Fault | None:
        """The fault for this call, if one is due; counts it down."""
        for fault in self._ordered:
            if fault.endpoint in (endpoint, "*"):
                if fault.remaining is not None:
                    fault.remaining -= 1
                    if fault.remaining <= 0:
                        self._ordered.remove(fault)
                return fault
        return None

    def clear(self) -> None:
        self._ordered.clear()

    def to_json(self) -> list[dict[str, Any]]:
        return [fault.to_json() for fault in self._ordered]


class Stats:
    """How often what was called, and how it was answered."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._calls: Counter[str] = Counter()
        self._with_token: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._errcodes: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def call(self, endpoint: str, *, with_token: bool) -> None:
        self._calls[endpoint] += 1
        if with_token:
            self._with_token[endpoint] += 1

    def answered(self, endpoint: str, errcode: int) -> None:
        self._errcodes[endpoint][str(errcode)] += 1

    def fault(self, endpoint: str) -> None:
        self._faults[endpoint] += 1

    def to_json(self) -> dict[str, Any]:
        """By endpoint: calls, calls that carried an access token, delivered faults, answers by errcode."""
        return {
            "calls": dict(self._calls),
            "with_token": dict(self._with_token),
            "faults": dict(self._faults),
            "errcodes": {endpoint: dict(codes) for endpoint, codes in self._errcodes.items()},
        }
