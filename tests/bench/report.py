"""How every benchmark says its result: a table for people, JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table


def report(name: str, rows: Sequence[Mapping[str, object]], json_path: Path | None = None) -> None:
    """Print `rows` as a table titled `name`; write `{"name", "rows"}` to `json_path` when one is given.

    Columns are the keys in the order in which they first appear; a missing key is an empty cell. Put
    units into the keys (`cpu_ms`, `msg_per_s`). The folder of `json_path` is made when it is absent.
    """
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = Table(title=name, box=box.SIMPLE)
    for column in columns:
        numeric = all(isinstance(row.get(column, 0), int | float) for row in rows)
        table.add_column(column, justify="right" if numeric else "left")
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    console = Console()
    if not console.is_terminal:  # a pipe has no width of its own
        console = Console(width=250)
    console.print(table)
    if json_path is not None:
        json_path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"name": name, "rows": [dict(row) for row in rows]}, ensure_ascii=False, indent=2)
        json_path.write_text(text + "\n", encoding="utf-8")


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case float():
            return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
        case int() if not isinstance(value, bool):
            return f"{value:,}"
        case _:
            return str(value)
