"""The manners of every operation: parsing, refusals, idempotency, limits. Shown on real operations."""

import asyncio
import json
import re
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from backend.app import create_app
from backend.composition import Services, open_services
from backend.domain.access import Role
from backend.domain.ids import new_id
from config.settings import Settings
from tests.callers import Caller
from tests.conftest import LoginStaff

DEPARTMENT: dict[str, Any] = {
    "code": "11440196MB2C10377L",
    "name": "民政局",
    "kind": "bureau",
    "area_code": "440196",
    "duty_spans": [{"start": "09:00", "end": "12:00"}],
}


@pytest.fixture
async def admin(login_staff: LoginStaff) -> Caller:
    return await login_staff(Role.ADMIN)


async def test_broken_json_is_malformed(admin: Caller) -> None:
    for raw in (b"{", b"\xff\xfe", b"", b'{"code": NaN}'):
        status, problem = await admin.post(
            "/api/organisation/departments", data=raw, headers={"Content-Type": "application/json"}
        )
        assert (status, problem["code"]) == (400, "malformed-request"), raw


async def test_what_is_not_json_is_refused_by_its_type(admin: Caller) -> None:
    status, problem = await admin.post("/api/organisation/departments", data={"code": "1"})
    assert (status, problem["code"]) == (415, "unsupported-media")


async def test_a_wrong_value_is_named_and_never_repeated(admin: Caller) -> None:
    secret = "11010519491231002X" * 20
    status, problem = await admin.post("/api/organisation/departments", {**DEPARTMENT, "kind": secret, "extra": secret})
    assert (status, problem["code"]) == (422, "invalid-input")
    assert {error["field"] for error in problem["errors"]} == {"kind", "extra"}
    assert secret not in json.dumps(problem)


async def test_a_body_over_the_limit_is_too_large(admin: Caller, settings: Settings) -> None:
    status, problem = await admin.post("/api/organisation/departments", {**DEPARTMENT, "name": "x" * settings.max_body})
    assert (status, problem["code"]) == (413, "too-large")


@pytest.mark.parametrize("text", ["\u0000", "\ud800", "‮", "🧧" * 10, "' OR 1=1 --", "{{7*7}}"])
async def test_odd_strings_are_kept_or_refused_but_break_nothing(admin: Caller, text: str) -> None:
    raw = json.dumps({**DEPARTMENT, "name": f"民政{text}"})
    status, answer = await admin.post(
        "/api/organisation/departments", data=raw, headers={"Content-Type": "application/json"}
    )
    assert status in (201, 400, 422)
    if status == 201:
        assert answer["name"].startswith("民政")


async def test_an_id_that_cannot_exist_does_not_exist(admin: Caller) -> None:
    for path in ("nothing", new_id(), "%00", "..%2f..%2fetc"):
        status, problem = await admin.get(f"/api/organisation/departments/{path}")
        assert (status, problem["code"]) == (404, "not-found")


async def test_a_wrong_method_says_which_are_right(http: aiohttp.ClientSession) -> None:
    async with http.put("/api/citizen/login") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST"
        assert (await response.json(content_type=None))["code"] == "method-not-allowed"


async def test_without_a_login_every_private_operation_answers_401(
    server: TestServer, http: aiohttp.ClientSession
) -> None:
    async with http.get("/api/openapi.json") as response:
        document = await response.json()
    private = [
        (method, path)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if operation["security"] != [{}]
    ]
    assert len(private) > 20
    for method, path in private:
        async with http.request(method, re.sub(r"{\w+}", new_id(), path)) as response:
            assert response.status == 401, (method, path)
            assert response.headers["WWW-Authenticate"].startswith("Bearer")


# --- idempotency ---------------------------------------------------------------------------


async def test_the_same_key_acts_once_and_answers_alike(admin: Caller) -> None:
    key = {"Idempotency-Key": new_id()}
    first = await admin.post("/api/organisation/departments", DEPARTMENT, headers=key)
    again = await admin.post("/api/organisation/departments", DEPARTMENT, headers=key)
    assert first == again
    assert first[0] == 201
    _, page = await admin.get("/api/organisation/departments")
    assert len(page["items"]) == 1


async def test_the_same_key_at_the_same_time_acts_once(admin: Caller) -> None:
    key = {"Idempotency-Key": new_id()}
    answers = await asyncio.gather(
        *(admin.post("/api/organisation/departments", DEPARTMENT, headers=key) for _ in range(20))
    )
    assert {status for status, _ in answers} <= {201, 409}
    assert {answer["code"] for status, answer in answers if status == 409} <= {"request-in-progress"}
    assert len({answer["id"] for status, answer in answers if status == 201}) == 1
    _, page = await admin.get("/api/organisation/departments")
    assert len(page["items"]) == 1


async def test_the_same_key_with_another_body_is_a_conflict(admin: Caller) -> None:
    key = {"Idempotency-Key": new_id()}
    await admin.post("/api/organisation/departments", DEPARTMENT, headers=key)
    status, problem = await admin.post("/api/organisation/departments", {**DEPARTMENT, "name": "教育局"}, headers=key)
    assert (status, problem["code"]) == (409, "idempotency-conflict")


async def test_a_key_survives_an_empty_redis(admin: Caller, services: Services) -> None:
    key = {"Idempotency-Key": new_id()}
    first = await admin.post("/api/organisation/departments", DEPARTMENT, headers=key)
    await services.redis.flushall()
    assert await admin.post("/api/organisation/departments", DEPARTMENT, headers=key) == first


async def test_a_refused_request_frees_its_key(admin: Caller) -> None:
    key = {"Idempotency-Key": new_id()}
    await admin.post("/api/organisation/departments", DEPARTMENT)
    status, _ = await admin.post("/api/organisation/departments", DEPARTMENT, headers=key)
    assert status == 409  # the code is taken
    status, _ = await admin.post(
        "/api/organisation/departments", {**DEPARTMENT, "code": "11440196MB2C10748B"}, headers=key
    )
    assert status == 201


async def test_two_people_may_use_the_same_key(admin: Caller, login_staff: LoginStaff) -> None:
    other = await login_staff(Role.ADMIN)
    key = {"Idempotency-Key": new_id()}
    first, _ = await admin.post("/api/organisation/departments", DEPARTMENT, headers=key)
    second, answer = await other.post(
        "/api/organisation/departments", {**DEPARTMENT, "code": "11440196MB2C10748B"}, headers=key
    )
    assert (first, second) == (201, 201), answer


# --- rate limits ---------------------------------------------------------------------------


async def test_too_many_requests_are_told_when_to_come_back(settings: Settings, services: Services) -> None:
    few = settings.model_copy(update={"rate_per_minute": 5})
    async with TestServer(create_app(few, services)) as server, aiohttp.ClientSession() as session:
        seen, last = [], None
        for _ in range(8):
            async with session.get(server.make_url("/api/sessions")) as response:
                seen.append(response.status)
                last = response.headers.get("Retry-After")
        assert seen == [401] * 5 + [429] * 3
        assert last is not None
        assert 1 <= int(last) <= 60


async def test_without_redis_each_process_limits_by_itself(settings: Settings) -> None:
    away = settings.model_copy(update={"redis_url": "redis://127.0.0.1:9/0", "rate_per_minute": 5})
    async with (
        open_services(away) as services,
        TestServer(create_app(away, services)) as server,
        aiohttp.ClientSession() as session,
    ):
        seen = []
        for _ in range(8):
            async with session.get(server.make_url("/api/sessions")) as response:
                seen.append(response.status)
        assert seen == [401] * 5 + [429] * 3
        async with session.get(server.make_url("/readyz")) as response:
            assert response.status == 200
            assert (await response.json())["checks"] == {"mongodb": "ok", "redis": "away"}


# --- pages and their cookies ---------------------------------------------------------------


async def test_a_page_of_another_site_cannot_use_the_session_cookie(
    http: aiohttp.ClientSession, login_staff: LoginStaff, server: TestServer
) -> None:
    admin = await login_staff(Role.ADMIN)
    cookie = {"Cookie": f"banshi_session={admin.token}"}
    own = f"http://{urlsplit(str(server.make_url(''))).netloc}"
    for origin, expected in (("https://evil.example", 403), ("null", 403), (None, 403), (own, 201)):
        headers = cookie | ({"Origin": origin} if origin else {})
        async with http.post("/api/organisation/departments", json=DEPARTMENT, headers=headers) as response:
            assert response.status == expected, origin
    async with http.get("/api/organisation/departments", headers=cookie) as response:
        assert response.status == 200
