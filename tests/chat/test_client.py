"""The Python client by itself, without a server."""

from __future__ import annotations

from typing import Any

from chat.client import ChatClient, LocalLog
from chat.client_core import MAX_CURSORS


async def no_ticket() -> str:
    raise AssertionError("nothing is connected here")


def known(number: int, **header: Any) -> LocalLog:
    log = LocalLog(f"k{number}")
    log.epoch, log.joined = 1, True
    log.header = {"updated_at": f"2026-03-{number:03}", **header}
    return log


async def test_a_beat_names_the_consultations_that_hello_named() -> None:
    """The latest, whichever order they were met in; first what somebody asked to follow."""
    numbers = [*range(150, 400), *range(100, 150)]
    logs = {log.consultation_id: log for log in map(known, numbers)}
    logs["k100"].ops = [{"seq": 1, "ts": "2026-03-999"}]  # said after the list was fetched
    client = ChatClient("http://nowhere", no_ticket, namespace="/clerk", logs=logs)
    client._followed.add("k101")
    named = ["k101", "k100", *(f"k{number}" for number in range(399, 399 - MAX_CURSORS + 2, -1))]
    hooks = client.connection._hooks
    assert list(hooks.greeting()["cursors"]) == named
    assert list(hooks.beat()) == named
    assert hooks.beat()["k100"] == 1
    logs["k399"].joined = False
    assert list(hooks.beat()) == [*(each for each in named if each != "k399"), "k201"]
    assert list(hooks.greeting()["cursors"]) == named
