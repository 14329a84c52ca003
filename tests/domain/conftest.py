"""Builders for the rules of cases: they say only what matters."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from backend.domain.matters import (
    Guide,
    Level,
    LimitUnit,
    MaterialRequirement,
    Matter,
    MatterState,
    Necessity,
    ProjectType,
    TaskType,
    TimeLimit,
)

MatterMaker = Callable[..., Matter]


@pytest.fixture(scope="session")
def make_matter() -> MatterMaker:
    """`make_matter(task_type=…, online=…)`: a matter that can be filed, with one required material."""

    def make(state: MatterState = MatterState.ACTIVE, **guide: Any) -> Matter:
        defaults: dict[str, Any] = {
            "name": "食品经营许可",
            "task_type": TaskType.LICENSING,
            "level": Level.COUNTY,
            "project_type": ProjectType.PROMISED,
            "online": True,
            "statutory_limit": TimeLimit(20, LimitUnit.WORKING_DAY),
            "promised_limit": TimeLimit(5, LimitUnit.WORKING_DAY),
            "materials": (
                MaterialRequirement("id-card", "身份证"),
                MaterialRequirement("floor-plan", "平面布局图", Necessity.OPTIONAL),
                MaterialRequirement("lease", "租赁合同", situation="租用场地"),
            ),
        }
        return Matter(
            id="m1",
            code="11450721MB155808114000104002000",
            base_code="000104002000",
            department_id="d1",
            department_name="市场监督管理局",
            area_code="440105",
            version=3,
            state=state,
            guide=Guide(**(defaults | guide)),
            content_hash="",
            published_at=datetime(2026, 1, 1, tzinfo=UTC),
        )

    return make
