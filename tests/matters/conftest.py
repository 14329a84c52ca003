"""Builders that say only what matters."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from backend.composition import Services
from backend.domain.access import SYSTEM, Role
from backend.domain.calendar import SHANGHAI
from backend.domain.catalogue import MatterDraft
from backend.domain.matters import Guide, Level, MaterialRequirement, ProjectType, TaskType
from backend.integrations.clock import WarpedClock
from backend.services.imports.mapping import ImportMapping, load_mapping
from backend.services.matter_import import organisation_of
from backend.worker import work
from tests.callers import Caller
from tests.conftest import LoginStaff, set_clock

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


@dataclass
class Bureau:
    """A bureau with a post that answers for its matters, and an editor who is logged in."""

    services: Services
    clock: WarpedClock
    editor: Caller
    department_id: str

    def at(self, *parts: int) -> None:
        """Make it this moment in Shanghai."""
        set_clock(self.clock, datetime(*parts, tzinfo=SHANGHAI))  # type: ignore[misc, arg-type]

    async def publish(self, *drafts: MatterDraft) -> None:
        """Matters that are there already."""
        await self.services.matters.publish(SYSTEM, drafts)
        await self.services.matters.refresh()

    async def see(self, draft: MatterDraft, who: Caller | None = None) -> dict[str, Any]:
        status, view = await (who or self.editor).get(f"/api/catalogue/matters/{draft.id}")
        assert status == 200, view
        return dict(view)

    async def act(self, draft: MatterDraft, method: str, path: str, **body: Any) -> tuple[int, Any]:
        """An action on the matter at the edit version that holds now."""
        version = (await self.see(draft))["version"]
        address = f"/api/catalogue/matters/{draft.id}/{path}"
        if method == "DELETE":
            return await self.editor.delete(address, params={"version": version})
        return await self.editor.request(method, address, json={"version": version, **body})

    async def rewrite(self, draft: MatterDraft, **changes: Any) -> dict[str, Any]:
        """A draft that is the published guide with `changes`."""
        view = await self.see(draft)
        guide = (view["draft"] or view["published"])["guide"] | changes
        status, saved = await self.act(draft, "PUT", "draft", guide=guide)
        assert status == 200, saved
        return dict(saved)


@pytest.fixture
async def bureau(services: Services, clock: WarpedClock, login_staff: LoginStaff) -> Bureau:
    departments, posts, rules = organisation_of([make_draft()])
    await services.organisation.seed(SYSTEM, departments=departments, posts=posts, responsibilities=rules)
    return Bureau(services, clock, await login_staff(Role.EDITOR, name="编辑小陈"), departments[0].id)


@pytest.fixture
async def worker(services: Services) -> AsyncIterator[None]:
    """A worker of this test's system."""
    stop = asyncio.Event()
    running = asyncio.create_task(work(services, stop))
    yield
    stop.set()
    await asyncio.wait_for(running, 10)
