"""Mappings that would hold up the worker or break the server are refused where they come in."""

from __future__ import annotations

from typing import Any

import pytest

from backend.domain.errors import InvalidInput
from backend.services.catalogue_imports import parse_mapping_text
from backend.services.imports.patterns import UnsafePattern, compile_safe
from backend.services.imports.reading import read_matter
from backend.services.imports.rows import Row
from backend.services.imports.targets import MAX_TEXT
from tests.matters.test_catalogue_imports import form

MINIMAL = '[fields]\ncode = "code"\nname = "name"\n'


@pytest.mark.parametrize(
    "pattern", [r"[;；]", r"\s{2,}|\n", r"、(?![^（]*）)", r"\s*[;；]", r"^\d+[.、]\s?", r"(?:ab)*c"]
)
def test_separators_and_fillers_are_taken(pattern: str) -> None:
    assert compile_safe(pattern).pattern == pattern


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+b",
        r"(a|aa)*b",
        r"(a|a)*?b",
        r"a*a*a*b",
        r"(.*)\1",
        "a?" * 30 + "a" * 30,
        "(?:(?:a{500}){500}){500}",
        "(" * 2000,
        "a{1,4294967296000}",
        "x" * 301,
    ],
)
def test_patterns_that_may_take_for_ever_are_not(pattern: str) -> None:
    with pytest.raises(UnsafePattern):
        compile_safe(pattern)


@pytest.mark.parametrize(
    "text",
    [
        MINIMAL + r"summary = { from = 'a', remove = '(a+)+b' }",
        MINIMAL + "summary = { from = 5 }",
        MINIMAL + 'summary = { from = ["a", 5] }',
        MINIMAL + "summary = { from = 'a', split = 5 }",
        MINIMAL + "summary = { from = 'a', skip = 5 }",
        MINIMAL + "summary = { from = 'a', values = 'b' }",
        MINIMAL + "materials = { from = 'a', each = 'b' }",
        "rules = 5\n" + MINIMAL,
        "rules = [5]\n" + MINIMAL,
        MINIMAL + "[[rules]]\nset = 5",
        MINIMAL + "[[rules]]\nset = { code = '1' }",
        MINIMAL + "[[rules]]\nset = { themes = '1' }",
        "warnings = [1]\n" + MINIMAL,
        MINIMAL + "[[warnings]]\nwhen = 5\ntext = 'x'",
        "name = 5\n" + MINIMAL,
        f"name = '{'长' * 201}'\n" + MINIMAL,
        "a = " + "[" * 5000 + "]" * 5000,
        "a = " + "9" * 6000,
        ".".join("a" * 30_000) + " = 1",
        "fields = 1",
    ],
)
async def test_what_is_wrong_in_a_mapping_is_said(bureau: Any, text: str) -> None:
    status, problem = await bureau.editor.post(
        "/api/catalogue/imports", data=form(b"code,name\n1,2\n", name="a.csv", mapping_file=text.encode())
    )
    assert (status, problem["code"]) == (422, "invalid-input"), problem


def test_a_pattern_is_not_let_loose_on_a_very_long_text_and_odd_lists_are_read() -> None:
    mapping = parse_mapping_text(
        MINIMAL + "summary = { from = 'a', remove = 'x+y' }\nthemes = { from = 't', skip = ['无'] }"
    )
    long = read_matter(Row(1, {"code": "1", "a": "x" * (MAX_TEXT + 1)}), mapping)
    assert long.reject is not None
    assert long.reject.field == "a"
    assert read_matter(Row(2, {"code": "1", "name": "n", "t": [{"b": 1}, "无"]}), mapping).reject is not None


def test_rubbish_is_not_toml() -> None:
    with pytest.raises(InvalidInput):
        parse_mapping_text("\x00\x01PK")
