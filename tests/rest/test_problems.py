"""One error object, one set of codes."""

import re

import backend.app  # noqa: F401 - every module that declares an error is loaded
from backend.domain.errors import DomainError, InvalidInput, NotFound
from backend.rest.openapi import declared_errors
from backend.rest.problems import STATUS, problem_of, status_of


def test_every_error_has_a_code_a_chinese_title_and_a_status() -> None:
    for kind in declared_errors():
        assert re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", kind.code), kind
        assert re.search(r"[\u4e00-\u9fff]", kind.title), kind
        assert 400 <= status_of(kind) < 600, kind
        assert kind is DomainError or status_of(kind) != 500, f"{kind} is mapped to nothing but a server error"


def test_no_two_meanings_share_a_code() -> None:
    codes: dict[str, type[DomainError]] = {}
    for kind in declared_errors():
        if "code" in vars(kind):
            assert codes.setdefault(kind.code, kind) is kind


def test_a_subclass_has_its_nearest_ancestors_status() -> None:
    assert status_of(NotFound) == STATUS[NotFound] == 404
    assert all(status_of(kind) == 422 for kind in declared_errors() if kind.__bases__ == (InvalidInput,))


def test_a_problem_carries_what_helps_and_nothing_else() -> None:
    problem = problem_of(InvalidInput("“phone”格式不正确。", field="phone", slots=["a"]), "req-1")
    assert problem.model_dump(exclude_none=True) == {
        "type": "about:blank",
        "code": "invalid-input",
        "title": "填写的内容有误",
        "status": 422,
        "detail": "“phone”格式不正确。",
        "field": "phone",
        "request_id": "req-1",
        "slots": ["a"],
    }
