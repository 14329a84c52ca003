"""What both clients are played through: each takes a stage, does, waits for what must be shown, and notes it.

`play_sending`, `play_hearing`, `play_connecting` and `play_cuts` have them. Those marked `short` are played by
`make test`, all of them by `make drills`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tests.conformance.stage import Stage

Scenario = Callable[[Stage], Awaitable[None]]

SCENARIOS: dict[str, Scenario] = {}
SHORT: dict[str, Scenario] = {}

SEND = r'"msg:send"'
SEND_ACK = r'^43/citizen,\d+\[.*"dup":'
OP = r'^42/citizen,\["op"'
CONNECT = r"^40/citizen"
HELLO = r'"hello"'
HELLO_ACK = r'^43/citizen,\d+\[.*"convs":'


def scenario(each: Scenario) -> Scenario:
    SCENARIOS[each.__name__] = each
    return each


def short(each: Scenario) -> Scenario:
    SHORT[each.__name__] = each
    return scenario(each)
