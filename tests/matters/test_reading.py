"""Files of other offices: encodings, broken lines, mappings, reasons."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from backend.domain.errors import InvalidInput
from backend.domain.matters import Audience, LimitUnit, ProjectType, TimeLimit
from backend.services.imports.mapping import ImportMapping, load_mapping, parse_mapping
from backend.services.imports.reading import ReadRow, read_matter
from backend.services.imports.rows import Row, read_rows

Maker = Callable[..., dict[str, Any]]

CSV = "编码,名称\r\n1,居住证\r\n2,护照\r\n"
MINIMAL: dict[str, Any] = {
    "fields": {
        "code": "code",
        "name": "name",
        "department_name": "department",
        "area_code": {"const": "440106"},
        "task_type": {"const": "public_service"},
        "project_type": {"const": "promised"},
    }
}


def read(values: dict[str, Any], mapping: ImportMapping) -> ReadRow:
    return read_matter(Row(1, values), mapping)


@pytest.mark.parametrize(
    "content",
    [
        CSV.encode(),
        codecs.BOM_UTF8 + CSV.encode(),
        CSV.encode("gb18030"),
        codecs.BOM_UTF16_LE + CSV.encode("utf-16-le"),
    ],
    ids=["utf-8", "utf-8 with mark", "gb18030", "utf-16"],
)
def test_csv_is_read_in_the_encodings_of_offices(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    rows = list(read_rows(path))
    assert [row.values for row in rows] == [{"编码": "1", "名称": "居住证"}, {"编码": "2", "名称": "护照"}]
    assert [row.number for row in rows] == [2, 3]


def test_malformed_csv_rows_say_what_is_wrong_and_the_others_go_on(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('a,b\n1,2\n1,2,3\n"x"y,2\n5,6\n', encoding="utf-8")
    rows = list(read_rows(path))
    assert [row.values for row in rows if row.error is None] == [{"a": "1", "b": "2"}, {"a": "5", "b": "6"}]
    assert [(row.number, row.error) for row in rows if row.error] == [
        (3, "这一行有 3 列，标题有 2 列。"),
        (4, "这一行的引号或分隔符有误，无法读取。"),
    ]


def test_a_csv_header_with_equal_names_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,a\n1,2\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="标题行"):
        list(read_rows(path))


def test_malformed_json_lines_say_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(codecs.BOM_UTF8 + b'{"a": 1}\n\n{"a": \n[1]\n\xff\n{"a": 2}')
    rows = list(read_rows(path))
    assert [(row.number, row.values) for row in rows if row.error is None] == [(1, {"a": 1}), (6, {"a": 2})]
    assert [row.number for row in rows if row.error] == [3, 4, 5]


def test_a_row_becomes_a_guide(guangdong: ImportMapping, row: Maker) -> None:
    values = row(
        everyday_terms=["提价申报"],
        materials=["申请报告", "身份证", "身份证"],
        handle_location="办理地点：东风中路305号",
        service_objects=["自然人", "其他组织"],
        co_department="省级司法（受理,审核）、市级司法（受理、审核）",
    )
    draft = read(values, guangdong).draft
    assert draft is not None
    guide = draft.guide
    assert guide.name == "来源事项1"
    assert guide.everyday_names == ("提价申报",)
    assert guide.statutory_limit == TimeLimit(20, LimitUnit.WORKING_DAY, text="20(工作日)")
    assert guide.audiences == (Audience.PERSON, Audience.OTHER)
    assert guide.windows[0].address == "东风中路305号"
    assert guide.co_departments == ("省级司法（受理,审核）", "市级司法（受理、审核）")
    assert [material.name for material in guide.materials] == ["申请报告", "身份证", "身份证"]
    assert len({material.key for material in guide.materials}) == 3
    assert guide.courier
    assert draft.department_code == "11440000006939756B"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"item_type": "公共服务", "materials": []}, ProjectType.INFORMATION),
        ({"item_type": "公共服务", "materials": ["申请表"]}, ProjectType.PROMISED),
        ({"item_type": "行政许可", "materials": []}, ProjectType.PROMISED),
    ],
)
def test_a_public_service_without_materials_is_information_only(
    guangdong: ImportMapping, row: Maker, changes: dict[str, Any], expected: ProjectType
) -> None:
    draft = read(row(**changes), guangdong).draft
    assert draft is not None
    assert draft.guide.project_type is expected


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"task_code": "123"}, "code"),
        ({"task_code": "11440000006939756B24401010000A1"}, "code"),
        ({"task_code": None}, "code"),
        ({"catalog_id": "77"}, "base_code"),
        ({"item_name": "  "}, "name"),
        ({"item_name": "长" * 501}, "name"),
        ({"item_type": "行政魔法"}, "item_type"),
        ({"service_objects": ["自然人", "神仙"]}, "service_objects"),
        ({"legal_time_limit": "尽快"}, "statutory_limit"),
        ({"visits": "很多"}, "visits"),
        ({"online": "也许"}, "online"),
        ({"department": ""}, "department_name"),
        ({"area_code": "广东"}, "area_code"),
        ({"materials": ["表"] * 501}, "materials"),
    ],
)
def test_a_bad_value_rejects_the_row_and_names_the_field(
    guangdong: ImportMapping, row: Maker, changes: dict[str, Any], field: str
) -> None:
    result = read(row(**changes), guangdong)
    assert result.draft is None
    assert result.reject is not None
    assert result.reject.field == field
    assert result.reject.reason.endswith("。")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task_code": "11440000006939756C2440101000001"}, "校验位"),
        ({"catalog_id": "440101999999"}, "不一致"),
        ({"visits": "2"}, "没有写明原因"),
        ({"promised_time_limit": "30(工作日)"}, "承诺时限比法定时限长"),
        ({"department_suspect": True}, "部门名称"),
    ],
)
def test_what_is_odd_but_usable_is_a_warning(
    guangdong: ImportMapping, row: Maker, changes: dict[str, Any], words: str
) -> None:
    result = read(row(**changes), guangdong)
    assert result.draft is not None
    assert words in "".join(note.reason for note in result.warnings)
    assert result.draft.warnings == tuple(note.reason for note in result.warnings)


def test_nested_paths_defaults_objects_and_dates() -> None:
    raw = {
        **MINIMAL,
        "fields": MINIMAL["fields"]
        | {
            "summary": {"from": ["plain.text", "plain.short"]},
            "courier": {"from": "mail", "default": False},
            "fees": {"from": "fees", "each": {"name": "n", "standard": "s"}},
            "effective_from": "since",
            "themes": {"from": "themes", "split": "[;；]"},
        },
    }
    values = {
        "code": "11440106007499999X4442011000001",
        "name": "甲",
        "department": "区民政局",
        "plain": {"short": "短"},
        "fees": [{"n": "工本费", "s": "10 元"}],
        "since": "2025年3月1日",
        "themes": "婚育；养老",
    }
    draft = read(values, parse_mapping(raw)).draft
    assert draft is not None
    assert draft.guide.summary == "短"
    assert draft.guide.fees[0].standard == "10 元"
    assert draft.guide.effective_from == date(2025, 3, 1)
    assert draft.guide.themes == ("婚育", "养老")
    assert not draft.guide.courier


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"fields": {"code": "a"}},
        {"fields": {"code": "a", "name": "b", "colour": "c"}},
        {"fields": {"code": "a", "name": {"from": "b", "const": "c"}}},
        {"fields": {"code": "a", "name": {"from": "b", "split": "("}}},
        {"fields": {"code": "a", "name": "b", "materials": "m"}},
        {"fields": {"code": "a", "name": "b", "materials": {"from": "m", "each": {"colour": "."}}}},
        {"fields": {"code": "a", "name": "b"}, "rules": [{"set": {"colour": "red"}}]},
        {"fields": {"code": "a", "name": "b"}, "format": "xlsx"},
        {"fields": {"code": "a", "name": "b"}, "feilds": {}},
    ],
)
def test_a_broken_mapping_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="映射文件有误"):
        parse_mapping(broken)


def test_a_mapping_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_text("= =", encoding="utf-8")
    with pytest.raises(InvalidInput, match="TOML"):
        load_mapping(path)
