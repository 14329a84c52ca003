"""Rows of a catalogue file, one at a time: JSON lines or CSV, in the encodings that offices use."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from backend.domain.errors import InvalidInput

#: A longer line or cell is taken for a broken file.
MAX_CELL = 2_000_000
_SAMPLE = 1 << 20


@dataclass(frozen=True, slots=True)
class Row:
    """One record. `number` counts as a spreadsheet or an editor does: the first line is 1, in a CSV file
    that is the header. `error` says why the record cannot be read; then `values` is empty."""

    number: int
    values: dict[str, Any]
    error: str | None = None


def read_rows(path: Path, *, kind: str | None = None) -> Iterator[Row]:
    """The records of `path`, streaming. `kind` is "jsonl" or "csv"; None goes by the file's name.

    Raises `InvalidInput` when the file as a whole cannot be read: an unknown kind, a broken header.
    """
    kind = kind or {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv"}.get(path.suffix.lower())
    if kind == "jsonl":
        with path.open("rb") as file:
            yield from _json_lines(file)
    elif kind == "csv":
        with path.open("rb") as file:
            yield from _csv(file, detect_encoding(path))
    else:
        raise InvalidInput("只能导入 .jsonl 或 .csv 文件。", field="file")


def detect_encoding(path: Path) -> str:
    """UTF-8 (with or without a byte order mark), UTF-16 with one, else GB 18030 as spreadsheets write it."""
    with path.open("rb") as file:
        sample = file.read(_SAMPLE)
        if sample.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        decoder = codecs.getincrementaldecoder("utf-8-sig")()
        try:
            while sample:
                decoder.decode(sample)
                sample = file.read(_SAMPLE)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "gb18030"
    return "utf-8-sig"


def _json_lines(file: BinaryIO) -> Iterator[Row]:
    number = 0
    while line := file.readline(MAX_CELL + 1):
        number += 1
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        if len(line) > MAX_CELL:
            while line and not line.endswith(b"\n"):
                line = file.readline(MAX_CELL)
            yield Row(number, {}, "这一行太长。")
            continue
        if not line.strip():
            continue
        try:
            values = orjson.loads(line)
        except orjson.JSONDecodeError:
            yield Row(number, {}, "这一行不是有效的 JSON。")
            continue
        if isinstance(values, dict):
            yield Row(number, values)
        else:
            yield Row(number, {}, "这一行应当是一个 JSON 对象。")


def _csv(file: BinaryIO, encoding: str) -> Iterator[Row]:
    text = io.TextIOWrapper(file, encoding=encoding, errors="replace", newline="")
    csv.field_size_limit(MAX_CELL)
    reader = csv.reader(text, strict=True)
    try:
        header = [name.strip() for name in next(reader)]
    except StopIteration:
        return
    except csv.Error as error:
        raise InvalidInput("CSV 文件的标题行无法读取。", field="file") from error
    if not all(header) or len(set(header)) != len(header):
        raise InvalidInput("CSV 文件的标题行有空的或重复的列名。", field="file")
    number = 1
    while True:
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield Row(number, {}, "这一行的引号或分隔符有误，无法读取。")
            continue
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            yield Row(number, {}, f"这一行有 {len(cells)} 列，标题有 {len(header)} 列。")
        elif any("\ufffd" in cell for cell in cells):
            yield Row(number, {}, f"这一行有无法识别的字符（按 {encoding} 读取）。")
        else:
            yield Row(number, dict(zip(header, cells, strict=True)))
