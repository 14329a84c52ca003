"""The judge: what a history and the log must have to do with each other, whatever broke in between.

Each invariant has a name; a violation says which one was broken and how. `test_checker.py` shows hand-made
bad histories to it, `test_planted.py` real nodes with real bugs.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.drills.history import Entry, Event, History

#: Seconds in which every client has everything after a fault was healed.
CONVERGED_WITHIN = 5.0

Log = Mapping[str, Sequence[Entry]]


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken invariant."""

    invariant: str
    detail: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.detail}"


Rule = Callable[[History, Log], Iterator[Violation]]


def check(history: History, log: Log) -> list[Violation]:
    """Everything that is wrong. `log` holds each consultation's operations by number."""
    rules: tuple[Rule, ...] = (
        _log_is_gapless,
        _nothing_twice,
        _acknowledged_is_kept,
        _refused_is_absent,
        _own_order,
        _views_are_prefixes,
        _same_state,
        _receipts_only_grow,
        _in_time,
    )
    return [violation for rule in rules for violation in rule(history, log)]


def _log_is_gapless(_: History, log: Log) -> Iterator[Violation]:
    for conv, entries in log.items():
        numbers = [entry.seq for entry in entries]
        if numbers != list(range(1, len(numbers) + 1)):
            odd = next((n for n, wanted in zip(numbers, range(1, len(numbers) + 1), strict=True) if n != wanted), None)
            yield Violation("gapless", f"the log of {conv} is not 1…{len(numbers)}: {odd} out of place")


def _nothing_twice(_: History, log: Log) -> Iterator[Violation]:
    for conv, entries in log.items():
        ids = Counter((entry.sender, entry.cid) for entry in entries)
        for (sender, cid), count in ids.items():
            if count > 1:
                at = [e.seq for e in entries if (e.sender, e.cid) == (sender, cid)]
                yield Violation("once", f"{cid} of {sender} is {count} times in {conv}, at {at}")


def _acknowledged_is_kept(history: History, log: Log) -> Iterator[Violation]:
    kept = {(conv, entry.cid): entry for conv, entries in log.items() for entry in entries}
    for event in history.of("acked"):
        cid, seq = event.data["cid"], event.data["seq"]
        entry = kept.get((event.conv, cid))
        if entry is None:
            yield Violation("acknowledged", f"{event.who} was told {cid} is number {seq}; it is not in the log")
        elif entry.seq != seq:
            yield Violation("acknowledged", f"{event.who} was told {cid} is number {seq}; it is number {entry.seq}")
        elif _moment(event.data["ts"]) != entry.at:
            yield Violation("acknowledged", f"{event.who} was told {cid} is of {event.data['ts']}; it is of {entry.at}")


def _refused_is_absent(history: History, log: Log) -> Iterator[Violation]:
    kept = {(conv, entry.cid): entry.seq for conv, entries in log.items() for entry in entries}
    for event in history.of("refused"):
        seq = kept.get((event.conv, event.data["cid"]))
        if seq is not None:
            yield Violation("refused", f"{event.data['cid']} was refused ({event.data['code']}) and is number {seq}")


def _own_order(history: History, log: Log) -> Iterator[Violation]:
    """One device's operations stand in the log in the order in which it first sent them.

    Also where some of them had to be sent again: what was sent after them must not overtake them.
    """
    numbers = {(conv, entry.cid): entry.seq for conv, entries in log.items() for entry in entries}
    last: dict[tuple[str, str], int] = {}
    judged: set[str] = set()
    for event in history.of("sent"):
        cid = event.data["cid"]
        seq = numbers.get((event.conv, cid))
        if seq is None or cid in judged:
            continue
        judged.add(cid)
        before = last.get((event.who, event.conv), 0)
        if seq < before:
            yield Violation("own order", f"{event.who} sent number {seq} of {event.conv} after number {before}")
        last[event.who, event.conv] = max(seq, before)


def _views_are_prefixes(history: History, log: Log) -> Iterator[Violation]:
    """What a client was shown is 1, 2, 3 … of the log at every moment, and nothing else ever."""
    have: defaultdict[tuple[str, str], int] = defaultdict(int)
    for event in history.of("shown", "reset"):
        key = (event.who, event.conv)
        if event.kind == "reset":
            yield Violation("prefix", f"{event.who} was told to begin {event.conv} again at {have[key]}")
            have[key] = 0
            continue
        op = event.data["op"]
        entries, seq = log.get(event.conv, ()), op["seq"]
        if seq > have[key] + 1:
            yield Violation("no gap shown", f"{event.who} was shown number {seq} of {event.conv} after {have[key]}")
        have[key] = max(have[key], seq)
        entry = entries[seq - 1] if seq <= len(entries) else None
        if entry is None:
            yield Violation("only the log", f"{event.who} was shown number {seq} of {event.conv}, which never was")
        elif problem := _differs(op, entry, history.audiences.get(event.who, "staff")):
            yield Violation("only the log", f"{event.who}, number {seq} of {event.conv}: {problem}")


def _differs(op: Mapping[str, Any], entry: Entry, audience: str) -> str:
    if entry.staff_only and audience == "citizen":
        return "" if op["kind"] == "skip" else f"a {entry.kind} for staff was shown"
    if op["kind"] == "skip" and entry.kind == "skip":
        return ""
    if op.get("id") != entry.id or op["kind"] != entry.kind:
        return f"shown {op['kind']} {op.get('id')}, the log has {entry.kind} {entry.id}"
    if entry.text is not None and not op.get("recalled_by") and op["body"].get("text") != entry.text:
        return f"shown {op['body'].get('text')!r}, the log has {entry.text!r}"
    return ""


def fold(ops: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The thread as a client draws it: what each message says now, the notes, who has it, the end."""
    thread: dict[str, Any] = {"state": "", "said": {}, "staff": None, "score": None}
    said: dict[int, dict[str, Any]] = thread["said"]
    for op in ops:
        body = op.get("body") or {}
        match op["kind"]:
            case "message" | "note":
                gone = bool(op.get("recalled_by"))
                said[op["seq"]] = {"text": "" if gone else body.get("text"), "edited": False, "gone": gone}
            case "edit":
                target = said[body["target_seq"]] if body.get("target_seq") in said else None
                if target is not None and not target["gone"]:
                    target |= {"text": body["text"], "edited": True}
            case "recall":
                if (target := said.get(body["target_seq"])) is not None:
                    target |= {"text": "", "edited": False, "gone": True}
            case "opened" | "reopened" | "transferred":
                thread["state"], thread["staff"] = "queued", None
            case "assigned":
                thread["state"], thread["staff"] = "active", body["staff"]["id"]
            case "waiting":
                thread["state"] = "waiting_answer"
            case "closed":
                thread["state"] = "closed"
            case "rated":
                thread["score"] = body["score"]
    return thread


def views(history: History) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """What each client has of each consultation: the operations it kept, in order."""
    kept: defaultdict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for event in history.of("shown"):
        view = kept[event.who, event.conv]
        if event.data["op"]["seq"] == len(view) + 1:
            view.append(event.data["op"])
    return kept


def _same_state(history: History, log: Log) -> Iterator[Violation]:
    """Who was there all the time and who came last draw the same: state + operations == fetched again."""
    whole: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {}
    for (who, conv), ops in reversed(list(views(history).items())):  # the last to come first
        if len(ops) != len(log.get(conv, ())):
            continue
        audience = history.audiences.get(who, "staff")
        drawn = fold(ops)
        other, theirs = whole.setdefault((audience, conv), (who, drawn))
        if theirs != drawn:
            yield Violation("same state", f"{who} and {other} draw {conv} differently: {_difference(drawn, theirs)}")


def _difference(one: dict[str, Any], other: dict[str, Any]) -> str:
    for key in one:
        if key == "said":
            for seq in sorted(one[key].keys() | other[key].keys()):
                if one[key].get(seq) != other[key].get(seq):
                    return f"number {seq}: {one[key].get(seq)} and {other[key].get(seq)}"
        elif one[key] != other[key]:
            return f"{key}: {one[key]!r} and {other[key]!r}"
    return ""


def _receipts_only_grow(history: History, _: Log) -> Iterator[Violation]:
    """Watermarks as shown on one connection, and as answered to whoever moves them, never go back."""
    for event in history.of("watermark"):
        floor, told = event.data["floor"], event.data["now"]
        if told[0] < floor[0] or told[1] < floor[1]:
            yield Violation("receipts grow", f"{event.who} was told {told} in {event.conv} after {floor}")
    seen: dict[tuple[str, str, str], tuple[int, int]] = {}
    for event in history.of("receipt"):
        now = (event.data["delivered"], event.data["read"])
        key = (event.who, event.conv, event.data["reader"])
        before = seen.get(key, (0, 0))
        if now[0] < before[0] or now[1] < before[1]:
            yield Violation("receipts grow", f"{event.who} saw {event.data['reader']}'s go from {before} to {now}")
        seen[key] = (max(now[0], before[0]), max(now[1], before[1]))


def _in_time(history: History, _: Log) -> Iterator[Violation]:
    for event in history.of("late"):
        yield Violation("converged", f"{event.who} had {event.data['have']} after {event.data['seconds']:.1f} s")


def _moment(ts: str) -> datetime:
    return datetime.fromisoformat(ts)


def explain(violations: Sequence[Violation], events: Sequence[Event] = ()) -> str:
    """For the failure's message: how many of each, and the first of each."""
    first: dict[str, Violation] = {}
    counts = Counter(v.invariant for v in violations)
    for violation in violations:
        first.setdefault(violation.invariant, violation)
    lines = [f"{counts[name]} × {violation}" for name, violation in first.items()]
    return "\n".join([*lines, *(f"fault: {e.data}" for e in events if e.kind == "fault")])
