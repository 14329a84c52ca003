"""The connection is cut at every step, with the page left as it is and loaded anew."""

from __future__ import annotations

from tests.conformance.proxy import Fate, Way
from tests.conformance.scenarios import CONNECT, HELLO, HELLO_ACK, OP, SEND, SEND_ACK, scenario, short
from tests.conformance.stage import Stage, events

POINTS: dict[str, tuple[Way, str, Fate, bool]] = {
    "before_the_upgrade": ("up", "HTTP upgrade", "cut-before", True),
    "after_the_upgrade": ("up", "HTTP upgrade", "cut-after", True),
    "after_the_upgrade_was_answered": ("down", "HTTP upgrade", "cut-after", True),
    "before_the_ticket_left": ("up", CONNECT, "cut-before", True),
    "after_the_ticket_was_used": ("up", CONNECT, "cut-after", True),
    "when_the_namespace_is_joined": ("down", CONNECT, "cut-after", True),
    "before_hello_left": ("up", HELLO, "cut-before", True),
    "after_hello_left": ("up", HELLO, "cut-after", True),
    "before_hello_is_answered": ("down", HELLO_ACK, "cut-before", True),
    "after_hello_was_answered": ("down", HELLO_ACK, "cut-after", True),
    "half_open_at_hello": ("up", HELLO, "swallow", True),
    "before_a_message_left": ("up", SEND, "cut-before", False),
    "after_a_message_left": ("up", SEND, "cut-after", False),
    "with_a_message_lost": ("up", SEND, "drop", False),
    "before_a_message_is_acknowledged": ("down", SEND_ACK, "cut-before", False),
    "after_a_message_was_acknowledged": ("down", SEND_ACK, "cut-after", False),
    "half_open_at_a_message": ("up", SEND, "swallow", False),
    "half_open_at_an_acknowledgement": ("down", SEND_ACK, "swallow", False),
    "after_an_operation_came": ("down", OP, "cut-after", False),
}


#: Of these, what `make test` plays.
IN_SHORT = {
    "cut_after_hello_left",
    "cut_before_a_message_is_acknowledged_and_loaded_anew",
    "cut_half_open_at_a_message",
    "cut_after_an_operation_came_and_loaded_anew",
}


def _cut(name: str, point: tuple[Way, str, Fate, bool], *, anew: bool) -> None:
    way, pattern, fate, connecting = point

    async def play(stage: Stage) -> None:
        phone = await stage.phone()
        if connecting:
            phone.through.cut()
        rule = phone.through.on(way, pattern, fate)
        for text in ("一", "二", "三"):
            await phone.send(text)
        await phone.until(lambda _: rule.done)
        if anew:
            phone = await stage.reload(phone)
            await phone.do("start")
        await phone.send("四")
        await stage.converged("您好", "一", "二", "三", "四")
        for cid in {payload["cid"] for _, payload in events(phone.through) if "cid" in payload}:
            said = [payload for name, payload in events(phone.through) if payload.get("cid") == cid]
            assert all(payload == said[0] for payload in said)

    play.__name__ = f"cut_{name}{'_and_loaded_anew' * anew}"
    (short if play.__name__ in IN_SHORT else scenario)(play)


for _name, _point in POINTS.items():
    for _anew in (False, True):
        _cut(_name, _point, anew=_anew)


def _cut_bytes(count: int) -> None:
    async def play(stage: Stage) -> None:
        phone = await stage.phone()
        phone.through.cut_after_bytes = count
        phone.through.cut()
        for text in ("一", "二"):
            await phone.send(text)
        await phone.until(lambda _: phone.through.cut_after_bytes is None)
        await stage.converged("您好", "一", "二")

    play.__name__ = f"cut_after_{count}_bytes"
    scenario(play)


for _count in (1, 100, 400, 700, 1000):
    _cut_bytes(_count)
