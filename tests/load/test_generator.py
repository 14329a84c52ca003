"""The load generator counts right: what an unruly server drops, doubles, reorders, refuses and holds up is seen."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

import pytest

from tests.bench.generator import Generator, NoCompiler, Outcome, compiled, faults, generator
from tests.load.unruly_server import Delivers, UnrulyServer, unruly


@pytest.fixture(autouse=True, scope="module")
def _compiler() -> None:
    try:
        compiled()
    except NoCompiler as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must be able to compile the load generator: {error}")
        pytest.skip(str(error))


def _each(number: int) -> list[int]:
    return [number]


def _ok(_: int) -> list[bool]:
    return [True]


async def _joined(load: Generator, port: int, pairs: int, *, deflate: bool = False) -> None:
    for number in range(pairs):
        auth = {"pair": f"pair-{number}"}
        sender = load.socket(port, "/", auth)
        reader = load.socket(port, "/", auth, deflate=deflate)
        load.pair(
            sender,
            reader,
            ["msg:send", {"conv": f"c-{number}", "cid": "@CID@", "body": {"text": "~n@NUM@~问"}}],
            f"c-{number}",
        )
    await load.connect()


async def _played(
    delivers: Delivers = _each,
    acknowledges: Callable[[int], list[bool]] = _ok,
    *,
    in_flight: int = 4,
    patience: float = 10.0,
) -> tuple[Outcome, UnrulyServer]:
    async with unruly(delivers, acknowledges) as (server, port), generator() as load:
        await _joined(load, port, 2)
        return await load.closed(40, in_flight=in_flight, patience=patience), server


async def test_what_arrives_once_and_in_order_is_no_fault() -> None:
    outcome, server = await _played()
    assert faults(outcome) == {}
    assert (outcome["sent"], outcome["ok"], outcome["delivered"]) == (40, 40, 40)
    assert outcome["delivered_ms"]["count"] == outcome["ack_ms"]["count"] == 40
    assert 0 < outcome["delivered_ms"]["p50"] <= outcome["delivered_ms"]["p99"] <= outcome["delivered_ms"]["max"]
    assert outcome["cpu_seconds"] < outcome["seconds"]
    assert server.pongs == 4


async def test_a_lost_message_is_counted_and_keeps_its_place_in_flight() -> None:
    outcome, _ = await _played(lambda n: [] if n == 7 else [n], patience=0.5)
    assert faults(outcome) == {"lost": 2}
    outcome, _ = await _played(lambda n: [] if n == 7 else [n], in_flight=1, patience=0.5)
    assert (outcome["sent"], outcome["acked"]) == (16, 16)


async def test_a_doubled_message_is_counted() -> None:
    outcome, _ = await _played(lambda n: [n, n] if n % 10 == 3 else [n])
    assert faults(outcome) == {"doubled": 4}


async def test_messages_that_change_places_are_counted() -> None:
    def swapped(number: int) -> list[int]:
        return {4: [], 5: [5, 4]}.get(number, [number])

    outcome, _ = await _played(swapped)
    assert faults(outcome) == {"reordered": 2}


async def test_a_refusal_and_a_missing_answer_are_counted() -> None:
    outcome, _ = await _played(acknowledges=lambda n: {2: [False], 3: []}.get(n, [True]), patience=0.5)
    assert faults(outcome) == {"refused": 2, "unanswered": 2}
    assert "ok" in outcome["first_trouble"]


async def test_a_second_answer_is_counted() -> None:
    outcome, _ = await _played(acknowledges=lambda n: [True, True] if n == 5 else [True])
    assert faults(outcome) == {"unasked": 2}


async def test_a_socket_that_ends_is_counted_and_nobody_waits_for_it_for_ever() -> None:
    async with unruly(_each, _ok) as (server, port), generator() as load:
        await _joined(load, port, 1)
        await load.closed(4)
        await server.close_readers()
        outcome = await load.closed(4, patience=0.5)
    assert outcome["closed"] == 1
    assert outcome["lost"] == outcome["sent"] > 0


async def test_the_open_loop_counts_from_when_a_message_should_have_left() -> None:
    pids: list[int] = []

    def stops_the_generator(number: int) -> list[bool]:
        if number == 20:
            os.kill(pids[0], signal.SIGSTOP)
            asyncio.get_running_loop().call_later(0.5, os.kill, pids[0], signal.SIGCONT)
        return [True]

    async with unruly(_each, stops_the_generator) as (_, port), generator() as load:
        pids.append(load.pid)
        await _joined(load, port, 1)
        outcome = await load.open(100, per_second=200.0)
    assert faults(outcome) == {}
    assert outcome["delivered"] == outcome["late_ms"]["count"] == 100
    # half a second at 200 a second: the 80 that follow all leave late
    assert outcome["late_ms"]["max"] >= 450
    assert outcome["delivered_ms"]["p90"] >= outcome["late_ms"]["p50"] >= 100


async def test_a_socket_like_a_browsers_offers_deflate_and_says_whether_it_got_it() -> None:
    async with unruly(_each, _ok) as (server, port), generator() as load:
        load.socket(port, "/", {"pair": "a"}, deflate=True)
        load.socket(port, "/", {"pair": "a"})
        outcome = await load.connect()
    assert outcome["deflate_accepted"] == 0
    assert sorted(offer.split(";")[0] for offer in server.offered) == ["", "permessage-deflate"]
