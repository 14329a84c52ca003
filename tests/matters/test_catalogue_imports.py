"""Imports over HTTP, done by the worker: dry run, report, the real run, and a worker killed in the middle."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from backend.composition import Services
from backend.domain.access import Role
from config.settings import Settings
from tests.conftest import LoginStaff

ROOT = Path(__file__).resolve().parents[2]
Maker = Callable[..., dict[str, Any]]


def lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def form(content: bytes, *, name: str = "事项.jsonl", **fields: str | bytes) -> aiohttp.FormData:
    data = aiohttp.FormData(quote_fields=False)  # as browsers send names
    data.add_field("file", io.BytesIO(content), filename=name)
    for key, value in fields.items():
        data.add_field(key, value if isinstance(value, str) else io.BytesIO(value), filename=None)
    return data


async def begin(bureau: Any, rows: list[dict[str, Any]]) -> dict[str, Any]:
    status, made = await bureau.editor.post("/api/catalogue/imports", data=form(lines(rows), mapping="guangdong"))
    assert (status, made["state"]) == (202, "queued"), made
    return dict(made)


async def until(bureau: Any, import_id: str, state: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            _, view = await bureau.editor.get(f"/api/catalogue/imports/{import_id}")
            if view["state"] == state:
                return dict(view)
            assert view["state"] not in ("failed", "cancelled"), view
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("worker")
async def test_checked_first_and_applied_when_somebody_says_so(bureau: Any, row: Maker, services: Services) -> None:
    rows = [row(1), row(2, visits="1"), row(3, legal_time_limit="尽快"), row(1), row(4)]
    made = await begin(bureau, rows)
    path = f"/api/catalogue/imports/{made['id']}"
    checked = await until(bureau, made["id"], "checked")
    assert checked["check"] == {"added": 3, "changed": 0, "unchanged": 0, "departments": 1}
    assert (checked["rows_total"], checked["rows_done"], checked["result"]) == (5, 5, None)
    assert (checked["warnings"], checked["rejects"]) == (1, 2)
    assert await services.database["matters"].count_documents({}) == 0
    _, rejects = await bureau.editor.get(f"{path}/notes", params={"limit": 1})
    assert [(note["row"], note["field"]) for note in rejects["items"]] == [(3, "statutory_limit")]
    _, more = await bureau.editor.get(f"{path}/notes", params={"cursor": rejects["next_cursor"]})
    assert [(note["row"], note["reason"]) for note in more["items"]] == [(4, "事项编码与第 1 行相同。")]
    _, warnings = await bureau.editor.get(f"{path}/notes", params={"kind": "warning"})
    assert [note["row"] for note in warnings["items"]] == [2]
    status, report = await bureau.editor.get(f"{path}/rejects.csv")
    assert status == 200
    text = report.decode("utf-8-sig").splitlines()
    assert text[0] == "行,事项编码,字段,原因"
    assert [line.split(",")[0] for line in text[1:]] == ["3", "4"]

    assert (await bureau.editor.post(f"{path}/apply"))[0] == 202
    applied = await until(bureau, made["id"], "applied")
    assert applied["result"] == {"added": 3, "changed": 0, "unchanged": 0, "departments": 1}
    assert applied["applied_by"]["name"] == "编辑小陈"
    assert (await bureau.editor.post(f"{path}/apply"))[0] == 409
    assert (await bureau.editor.delete(path))[0] == 409
    _, found = await bureau.editor.get("/api/catalogue/matters", params={"q": "来源事项"})
    assert [item["name"] for item in found["items"]] == ["来源事项1", "来源事项2", "来源事项4"]
    _, versions = await bureau.editor.get(f"/api/catalogue/matters/{found['items'][0]['id']}/versions")
    assert versions["items"][0]["published_by"]["name"] == "编辑小陈"

    again = await begin(bureau, rows)
    checked = await until(bureau, again["id"], "checked")
    assert checked["check"] == {"added": 0, "changed": 0, "unchanged": 3, "departments": 0}
    _, listed = await bureau.editor.get("/api/catalogue/imports")
    assert [item["id"] for item in listed["items"]] == [again["id"], made["id"]]
    events = await services.events.of("catalogue_import", made["id"])
    assert [event.kind for event in events] == ["created", "checked", "accepted", "applied"]


async def test_nothing_is_applied_before_the_dry_run_and_cancelling_ends_it(
    bureau: Any, row: Maker, services: Services
) -> None:
    made = await begin(bureau, [row(1)])
    path = f"/api/catalogue/imports/{made['id']}"
    status, problem = await bureau.editor.post(f"{path}/apply")
    assert (status, problem["code"]) == (409, "invalid-transition")
    status, cancelled = await bureau.editor.delete(path)
    assert (status, cancelled["state"]) == (200, "cancelled")
    assert await services.import_work.once() == 0
    assert await services.database["catalogue_imports.files"].count_documents({}) == 1
    assert await services.import_work.tidy() == 1
    assert await services.database["catalogue_imports.files"].count_documents({}) == 0
    assert await services.database["catalogue_imports.chunks"].count_documents({}) == 0


async def test_an_import_that_is_cancelled_at_work_stops_where_it_is(
    bureau: Any, row: Maker, services: Services
) -> None:
    services.import_work._batch = 1
    made = await begin(bureau, [row(n) for n in range(1, 60)])
    work = asyncio.create_task(services.import_work.once())
    path = f"/api/catalogue/imports/{made['id']}"
    async with asyncio.timeout(30):
        while (await bureau.editor.get(path))[1]["rows_done"] < 3:
            await asyncio.sleep(0.01)
    assert (await bureau.editor.delete(path))[0] == 200
    assert await asyncio.wait_for(work, 30) == 1
    _, view = await bureau.editor.get(path)
    assert view["state"] == "cancelled"
    assert view["rows_done"] < 59


async def test_a_department_made_by_hand_is_recognised_by_its_code(
    bureau: Any, row: Maker, services: Services, login_staff: LoginStaff
) -> None:
    admin = await login_staff(Role.ADMIN)
    _, made = await admin.post(
        "/api/organisation/departments",
        {"code": row(1)["task_code"][:18], "name": "省发展改革委", "kind": "bureau", "area_code": "440000"},
    )
    item = await begin(bureau, [row(1)])
    await services.import_work.once()
    path = f"/api/catalogue/imports/{item['id']}"
    assert (await bureau.editor.get(path))[1]["check"]["departments"] == 0
    await bureau.editor.post(f"{path}/apply")
    await services.import_work.once()
    _, page = await bureau.editor.get("/api/catalogue/matters", params={"department": made["id"]})
    assert [item["name"] for item in page["items"]] == ["来源事项1"]
    _, view = await bureau.editor.get(f"/api/catalogue/matters/{page['items'][0]['id']}")
    assert view["responsible"] is not None


WORKER = """
import asyncio, os, sys
from backend.composition import open_services
from config.settings import Settings

async def main():
    async with open_services(Settings(), upgrade=False) as services:
        services.import_work._batch = 5
        while not await services.import_work.once():
            await asyncio.sleep(0.05)

asyncio.run(main())
"""


@pytest.fixture
async def short_transactions(services: Services) -> AsyncIterator[None]:
    """A server that forgets the transactions of the dead in seconds instead of a minute."""
    admin = services.database.raw.client.admin
    await admin.command("setParameter", 1, transactionLifetimeLimitSeconds=3)
    yield
    await admin.command("setParameter", 1, transactionLifetimeLimitSeconds=60)


@pytest.mark.timeout(150)
@pytest.mark.usefixtures("short_transactions")
async def test_a_killed_worker_is_gone_on_from_where_it_was(
    bureau: Any, row: Maker, services: Services, settings: Settings
) -> None:
    rows = [row(n) for n in range(1, 601)]
    made = await begin(bureau, rows)
    assert await services.import_work.once() == 1
    path = f"/api/catalogue/imports/{made['id']}"
    assert (await bureau.editor.post(f"{path}/apply"))[0] == 202
    environment = {
        "BANSHI_MODE": "test",
        "BANSHI_VAR": str(settings.var),
        "MONGO_URL": settings.mongo_url or "",
        "REDIS_URL": settings.redis_url or "",
        "BANSHI_MONGO_DATABASE": settings.mongo_database,
    }
    process = subprocess.Popen([sys.executable, "-c", WORKER], env=os.environ | environment, cwd=ROOT)
    try:
        async with asyncio.timeout(60):
            while (done := (await bureau.editor.get(path))[1]["rows_done"]) < 10:
                assert process.poll() is None
                await asyncio.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    _, killed = await bureau.editor.get(path)
    assert killed["state"] == "applying"
    assert done <= killed["rows_done"] < len(rows), "the worker was too fast for this test"
    assert killed["result"]["added"] == killed["rows_done"]
    bureau.clock.warp(timedelta(seconds=31))
    assert await services.import_work.once() == 1
    view = await until(bureau, made["id"], "applied")
    assert view["result"] == {"added": 600, "changed": 0, "unchanged": 0, "departments": 1}
    assert await services.database["matters"].count_documents({}) == 600
    assert await services.database["matter_versions"].count_documents({}) == 600


async def test_a_code_counts_where_it_comes_first_also_after_a_break(
    bureau: Any, row: Maker, services: Services
) -> None:
    services.import_work._batch = 2
    made = await begin(bureau, [row(1), row(2), row(3), row(1), row(2), row(4)])
    store = services.database["catalogue_imports"]
    claimed = await services.import_work._imports.claim(services.clock.now(), "dies")
    assert claimed is not None
    await store.update_one({"_id": made["id"]}, {"$set": {"state": "checking", "rows_done": 2, "rows_total": 6}})
    bureau.clock.warp(timedelta(seconds=31))
    assert await services.import_work.once() == 1
    _, notes = await bureau.editor.get(f"/api/catalogue/imports/{made['id']}/notes")
    assert [note["row"] for note in notes["items"]] == [4, 5]


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (lambda: form(b"{}\n", mapping="nowhere"), "mapping"),
        (lambda: form(b"{}\n"), "mapping"),
        (lambda: form(b"", mapping="guangdong"), "file"),
        (lambda: form(b"{}\n", name="a.xlsx", mapping="guangdong"), "file"),
        (lambda: form(b"{}\n", mapping_file=b"name = "), "mapping_file"),
        (lambda: form(b"{}\n", mapping_file=b"name = 'x'"), "mapping"),
    ],
)
async def test_what_cannot_be_imported_is_refused_at_once(bureau: Any, data: Any, field: str) -> None:
    status, problem = await bureau.editor.post("/api/catalogue/imports", data=data())
    assert (status, problem.get("field")) == (422, field), problem


async def test_an_own_mapping_and_a_broken_file(bureau: Any, services: Services) -> None:
    _, mappings = await bureau.editor.get("/api/catalogue/mappings")
    assert [m["id"] for m in mappings["items"]] == ["guangdong"]
    own = (
        b"name = 'own'\n[fields]\ncode = 'code'\nname = 'name'\ndepartment_name = { const = 'X' }\n"
        b"area_code = { const = '440106' }\ntask_type = { const = 'public_service' }\n"
        b"project_type = { const = 'promised' }\n"
    )
    csv = "code,name\n11440106007499999X4442011000001,甲\n=x,乙\n".encode("gb18030")
    _, made = await bureau.editor.post("/api/catalogue/imports", data=form(csv, name="a.csv", mapping_file=own))
    assert made["mapping"] == "own"
    await services.import_work.once()
    _, view = await bureau.editor.get(f"/api/catalogue/imports/{made['id']}")
    assert (view["state"], view["check"]["added"], view["rejects"]) == ("checked", 1, 1)
    _, report = await bureau.editor.get(f"/api/catalogue/imports/{made['id']}/rejects.csv")
    assert "'=x" in report.decode(), "a spreadsheet would run it"
    broken = b"a,a\n1,2\n"
    _, made = await bureau.editor.post("/api/catalogue/imports", data=form(broken, name="a.csv", mapping_file=own))
    await services.import_work.once()
    _, view = await bureau.editor.get(f"/api/catalogue/imports/{made['id']}")
    assert (view["state"], view["problem"]) == ("failed", "CSV 文件的标题行有空的或重复的列名。")
