"""Builders that say only what matters."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backend.domain.catalogue import MatterDraft
from backend.domain.matters import Guide, Level, MaterialRequirement, ProjectType, TaskType
from backend.services.imports.mapping import ImportMapping, load_mapping

ROOT = Path(__file__).resolve().parents[2]
BUREAU = "11440106007499999X"
DraftMaker = Callable[..., MatterDraft]
FileMaker = Callable[[list[dict[str, Any]]], Path]


def make_draft(number: int = 1, *, department: str = "区民政局", **guide: Any) -> MatterDraft:
    """A draft; `number` makes its code."""
    values: dict[str, Any] = {
        "name": f"事项{number}",
        "task_type": TaskType.PUBLIC_SERVICE,
        "level": Level.COUNTY,
        "project_type": ProjectType.PROMISED,
        "materials": (MaterialRequirement(key="form", name="申请表"),),
    } | guide
    base_code = f"4420110{number:05d}"
    return MatterDraft(
        code=f"{BUREAU}4{base_code}",
        base_code=base_code,
        department_code=BUREAU,
        department_name=department,
        area_code="440106",
        guide=Guide(**values),
    )


def make_row(number: int = 1, **changes: Any) -> dict[str, Any]:
    """A row of a source as config/mappings/guangdong.toml reads it."""
    row: dict[str, Any] = {
        "task_code": f"11440000006939756B24401010{number:05d}",
        "catalog_id": f"4401010{number:05d}",
        "item_name": f"来源事项{number}",
        "parent_item": None,
        "item_type": "行政许可",
        "department": "省发展改革委",
        "area_code": "440000",
        "level": "省级",
        "short_name": None,
        "everyday_terms": [],
        "accept_conditions": None,
        "materials": ["申请报告"],
        "legal_time_limit": "20(工作日)",
        "promised_time_limit": "7(工作日)",
        "visits": "0",
        "online": True,
        "handle_location": "无线下办理窗口",
        "courier": "是",
        "themes": ["其他"],
        "service_objects": ["自然人"],
        "url": None,
    }
    return row | changes


@pytest.fixture
def draft() -> DraftMaker:
    return make_draft


@pytest.fixture
def row() -> Callable[..., dict[str, Any]]:
    return make_row


@pytest.fixture(scope="session")
def guangdong() -> ImportMapping:
    return load_mapping(ROOT / "config" / "mappings" / "guangdong.toml")


@pytest.fixture
def jsonl(tmp_path: Path) -> FileMaker:
    """Writes rows to a file."""

    def write(rows: list[dict[str, Any]]) -> Path:
        path = tmp_path / "items.jsonl"
        path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
        return path

    return write
