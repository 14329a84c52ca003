"""Importing into a real database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backend.composition import Services
from backend.domain.access import SYSTEM, Actor, Role
from backend.domain.errors import Forbidden
from backend.domain.ids import derived_id
from backend.domain.matters import ProjectType
from backend.services.imports.mapping import ImportMapping
from backend.services.matter_import import ImportReport

Maker = Callable[..., dict[str, Any]]
FileMaker = Callable[[list[dict[str, Any]]], Path]


def counts(report: ImportReport) -> tuple[int, int, int, int]:
    return report.added, report.changed, report.unchanged, len(report.rejects)


async def test_importing_again_changes_nothing(
    services: Services, guangdong: ImportMapping, jsonl: FileMaker, row: Maker
) -> None:
    path = jsonl([row(1), row(2), row(3)])
    first = await services.matter_importer.run(SYSTEM, path, guangdong)
    second = await services.matter_importer.run(SYSTEM, path, guangdong)
    assert counts(first) == (3, 0, 0, 0)
    assert counts(second) == (0, 0, 3, 0)
    assert (first.departments_added, second.departments_added) == (1, 0)


async def test_a_changed_row_is_a_new_version_and_the_old_one_still_reads(
    services: Services, guangdong: ImportMapping, jsonl: FileMaker, row: Maker
) -> None:
    code = row(1)["task_code"]
    await services.matter_importer.run(SYSTEM, jsonl([row(1), row(2)]), guangdong)
    changed = jsonl([row(1, promised_time_limit="5(工作日)"), row(2)])
    report = await services.matter_importer.run(SYSTEM, changed, guangdong)
    assert counts(report) == (0, 1, 1, 0)
    now = await services.matters.by_code(SYSTEM, code)
    before = await services.matters.version(now.id, 1)
    assert now.version == 2
    assert now.guide.promised_limit is not None
    assert before.guide.promised_limit is not None
    assert (now.guide.promised_limit.amount, before.guide.promised_limit.amount) == (5, 7)


async def test_bad_rows_are_reported_and_the_others_are_imported(
    services: Services, guangdong: ImportMapping, jsonl: FileMaker, row: Maker
) -> None:
    path = jsonl([row(1), row(2, task_code="1"), row(3, visits="1"), row(1)])
    report = await services.matter_importer.run(SYSTEM, path, guangdong)
    assert counts(report) == (2, 0, 0, 2)
    assert [(note.row, note.field) for note in report.rejects] == [(2, "code"), (4, "code")]
    assert "第 1 行" in report.rejects[1].reason
    assert [(note.row, note.field) for note in report.warnings] == [(3, None)]


async def test_a_dry_run_writes_nothing(
    services: Services, guangdong: ImportMapping, jsonl: FileMaker, row: Maker
) -> None:
    report = await services.matter_importer.run(SYSTEM, jsonl([row(1), row(2)]), guangdong, dry_run=True)
    assert (counts(report), report.departments_added) == ((2, 0, 0, 0), 1)
    written = ("matters", "matter_versions", "catalogue", "departments", "posts", "responsibilities")
    assert [await services.database[name].count_documents({}) for name in written] == [0] * len(written)


async def test_a_department_gets_one_unstaffed_post_that_answers_for_all_its_matters(
    services: Services, guangdong: ImportMapping, jsonl: FileMaker, row: Maker
) -> None:
    await services.matter_importer.run(SYSTEM, jsonl([row(1), row(2)]), guangdong)
    department_id = derived_id("department", "11440000006939756B")
    posts = await services.organisation.page_posts(SYSTEM, after=None, limit=10, unstaffed=True)
    assert [post.department_id for post in posts] == [department_id]
    matter = await services.matters.by_code(SYSTEM, row(2)["task_code"])
    found = await services.organisation.responsible(matter_id=matter.id, department_id=department_id)
    assert found.post == posts[0]
    assert found.candidates == ()


async def test_what_an_administrator_changed_stays(
    services: Services, guangdong: ImportMapping, jsonl: FileMaker, row: Maker
) -> None:
    await services.matter_importer.run(SYSTEM, jsonl([row(1)]), guangdong)
    department_id = derived_id("department", "11440000006939756B")
    await services.organisation.update_department(SYSTEM, department_id, {"phone": "12345"}, version=1)
    await services.matter_importer.run(SYSTEM, jsonl([row(1), row(2)]), guangdong)
    assert (await services.organisation.department(SYSTEM, department_id)).phone == "12345"


async def test_two_imports_at_once_make_each_version_once(
    services: Services, guangdong: ImportMapping, jsonl: FileMaker, row: Maker
) -> None:
    path = jsonl([row(n) for n in range(1, 40)])
    reports = await asyncio.gather(*(services.matter_importer.run(SYSTEM, path, guangdong) for _ in range(3)))
    assert sum(report.added for report in reports) == 39
    assert sum(report.changed for report in reports) == 0
    assert await services.database["matter_versions"].count_documents({}) == 39


async def test_a_clerk_may_not_import(
    services: Services, guangdong: ImportMapping, jsonl: FileMaker, row: Maker
) -> None:
    clerk = Actor(kind="staff", id="1", roles=frozenset({Role.CLERK}))
    with pytest.raises(Forbidden):
        await services.matter_importer.run(clerk, jsonl([row(1)]), guangdong)


async def test_the_real_catalogue_comes_in_within_seconds(
    services: Services, guangdong: ImportMapping, shared_data: Path
) -> None:
    path = shared_data / "guangdong_items" / "items.jsonl"
    done: list[int] = []
    first = await services.matter_importer.run(SYSTEM, path, guangdong, progress=done.append)
    second = await services.matter_importer.run(SYSTEM, path, guangdong)
    assert (first.rows, counts(first)) == (2262, (2262, 0, 0, 0))
    assert counts(second) == (0, 0, 2262, 0)
    assert first.departments_added == first.posts_added == 177
    assert sum("校验位" in note.reason for note in first.warnings) == 6
    assert sum("部门名称" in note.reason for note in first.warnings) == 62
    assert first.seconds < 30
    assert done[-1] == 2262
    page, known = await services.matters.search(SYSTEM, "律师执业", limit=10)
    assert len(page.hits) == 10
    assert any(m.guide.project_type is ProjectType.PROMISED and m.guide.materials for m in known.values())
