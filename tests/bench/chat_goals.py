"""The goals of docs/performance.md that concern chat, and what a run says to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Rows = Sequence[Mapping[str, object]]


def goals(tables: Mapping[str, Rows]) -> list[dict[str, object]]:
    """One line per goal for which the run has figures."""
    lines: list[dict[str, object]] = []

    def line(what: str, found: float | None, must: float, aim: float, *, most: bool = False) -> None:
        if found is None:
            return
        found, side, sign = round(found, 2), -1 if most else 1, "≤" if most else "≥"
        verdict = "aim" if found * side >= aim * side else "must" if found * side >= must * side else "MISSED"
        lines.append(
            {"goal": what, "found": found, "must": f"{sign} {must:g}", "aim": f"{sign} {aim:g}", "reached": verdict}
        )

    single, eight = _table(tables, "across two workers, 1 in flight each"), _table(tables, "8 in flight each")
    line("CPU of bare echo / ours, 1 in flight", _ratio(single, "bare echo"), 0.5, 0.8)
    line("CPU of bare echo / ours, 8 in flight", _ratio(eight, "bare echo"), 0.5, 1.0)
    line("CPU of the stock recipe / ours, 1 in flight", _ratio(single, "stock"), 5, 10)
    line("CPU of naive Node / ours, 1 in flight", _ratio(single, "node naive"), 5, 10)
    line("CPU of Node with group commit / ours, 1 in flight", _ratio(single, "node group"), 1.0, 1.5)
    line("CPU of Node with group commit / ours, 8 in flight", _ratio(eight, "node group"), 1.0, 1.5)
    paced = _table(tables, "open loop")
    ours, bare = _value(paced, "ours", "p99_ms"), _value(paced, "bare echo", "p99_ms")
    line("delivered p99 at 500 msg/s, of bare echo's", ours / bare if ours and bare else None, 3, 2, most=True)
    if ours and (insert := _value(paced, "echo + insert", "p99_ms")):  # no goal, but what the one above it may be
        found = round(ours / insert, 2)
        lines.append({"goal": "… of echo with one insert", "found": found, "must": "–", "aim": "–", "reached": "–"})
    line("delivered p50 at 500 msg/s, ms", _value(paced, "ours", "p50_ms"), 10, 2, most=True)
    line("CPU µs per message on a third worker", _value(single, "ours", "third_us"), 10, 2, most=True)
    both = _table(tables, "one worker and two, 8")
    line("second worker: throughput, shared cores", _value(both, "ours, 2 workers", "gain_measured"), 1.0, 1.7)
    line("second worker: throughput, a core each (by CPU)", _value(both, "ours, 2 workers", "gain_by_cpu"), 1.0, 1.7)
    idle = _table(tables, "idle sockets")
    memory = next((float(str(row["memory_kb_per_socket"])) for row in idle if "memory_kb_per_socket" in row), None)
    line("KB per idle, browser-like socket", memory, 40, 35, most=True)
    return lines


def _table(tables: Mapping[str, Rows], part: str) -> Rows:
    return next((rows for name, rows in tables.items() if part in name), [])


def _value(rows: Rows, server: str, column: str) -> float | None:
    return next((float(str(row[column])) for row in rows if row["server"] == server and column in row), None)


def _ratio(rows: Rows, peer: str) -> float | None:
    ours, theirs = _value(rows, "ours", "cpu_us"), _value(rows, peer, "cpu_us")
    return theirs / ours if ours and theirs else None
