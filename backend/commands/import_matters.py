"""`run.py import-matters`: a catalogue file into the running system."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from backend.commands.environment import ROOT, read_connected_settings
from backend.commands.errors import CommandError
from backend.commands.logs import configure_logging
from backend.commands.terminal import say
from backend.composition import open_services
from backend.domain.access import SYSTEM
from backend.domain.errors import DomainError
from backend.services.imports.mapping import ImportMapping, load_mapping
from backend.services.imports.reading import RowNote
from backend.services.matter_import import ImportReport
from config.settings import Settings

#: Rows that the table names one by one; `--json` names all.
SHOWN = 50
#: The exit code when the file was imported and some of its rows were rejected.
SOME_REJECTED = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", type=Path, metavar="文件 FILE", help="事项清单（.jsonl 或 .csv） / a JSONL or CSV file")
    parser.add_argument(
        "--mapping",
        type=Path,
        required=True,
        help="字段映射（TOML），例如 config/mappings/guangdong.toml / the mapping, see docs/importing.md",
    )
    parser.add_argument("--dry-run", action="store_true", help="只检查，不写入 / check and report, write nothing")
    parser.add_argument("--json", action="store_true", help="以 JSON 输出完整报告 / print the whole report as JSON")


def run(options: argparse.Namespace) -> int:
    """Import; 0 when every row was taken, 3 when some were rejected."""
    settings, _ = read_connected_settings()
    if not settings.redis_url:
        raise CommandError("REDIS_URL is not set: set it beside MONGO_URL")
    configure_logging(settings.model_copy(update={"log_level": "warning"}), process="import-matters")
    if not options.file.is_file():
        raise CommandError(f"{options.file}: no such file")
    try:
        mapping = load_mapping(_mapping_path(options.mapping))
        report = asyncio.run(_import(settings, options, mapping))
    except DomainError as error:
        raise CommandError(f"{options.file.name}: {error}") from None
    if options.json:
        say(json.dumps(asdict(report), ensure_ascii=False, indent=2))
    else:
        _print(report, Console())
    return SOME_REJECTED if report.rejects else 0


def _mapping_path(path: Path) -> Path:
    """As it is written, else beside the mappings of the project (`guangdong`)."""
    shipped = ROOT / "config" / "mappings" / f"{path.name.removesuffix('.toml')}.toml"
    return shipped if not path.exists() and shipped.exists() else path


async def _import(settings: Settings, options: argparse.Namespace, mapping: ImportMapping) -> ImportReport:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(file=sys.stderr)
    async with open_services(settings) as services:
        with Progress(*columns, console=console, disable=options.json or not console.is_terminal) as bar:
            task = bar.add_task("导入 import", total=await asyncio.to_thread(_lines, options.file))
            return await services.matter_importer.run(
                SYSTEM,
                options.file,
                mapping,
                dry_run=options.dry_run,
                progress=lambda rows: bar.update(task, completed=rows),
            )


def _lines(path: Path) -> int:
    """About how many rows there are: for the bar alone."""
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))


def _print(report: ImportReport, console: Console) -> None:
    title = "试运行，未写入 dry run, nothing written" if report.dry_run else "导入完成 imported"
    table = Table(title=f"{title}（{report.seconds:.1f} s）", box=box.SIMPLE, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for label, count in (
        ("读取 rows", report.rows),
        ("新增 added", report.added),
        ("更新 changed", report.changed),
        ("未变 unchanged", report.unchanged),
        ("提醒 warnings", len(report.warnings)),
        ("拒收 rejects", len(report.rejects)),
        ("新部门 departments", report.departments_added),
        ("新岗位 posts (unstaffed)", report.posts_added),
    ):
        table.add_row(label, str(count))
    console.print(table)
    if report.warnings:
        kinds = Table(title="提醒 warnings", box=box.SIMPLE)
        for header in ("数量 count", "内容 reason", "例如第几行 rows"):
            kinds.add_column(header)
        for reason, count in Counter(note.reason for note in report.warnings).most_common(SHOWN):
            rows = [str(note.row) for note in report.warnings if note.reason == reason]
            kinds.add_row(str(count), reason, ", ".join(rows[:5]) + ("…" if len(rows) > 5 else ""))
        console.print(kinds)
    if report.rejects:
        console.print(_rejects(report.rejects))


def _rejects(rejects: Sequence[RowNote]) -> Table:
    table = Table(title="拒收 rejects", box=box.SIMPLE)
    for header in ("行 row", "字段 field", "原因 reason"):
        table.add_column(header)
    for note in rejects[:SHOWN]:
        table.add_row(str(note.row), note.field or "", note.reason)
    if len(rejects) > SHOWN:
        table.add_row("…", "", f"另有 {len(rejects) - SHOWN} 行，见 --json / {len(rejects) - SHOWN} more, see --json")
    return table
