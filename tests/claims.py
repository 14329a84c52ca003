"""What the documents claim is shown by tests that exist and ran.

A table line in `docs/*.md` that names a test (`tests/area/test_x.py::test_y`) is a claim. The static check
(`python -m tests.claims`) fails when a named test is not in its file; in a full run of the tests the plugin
below fails the run when a named test was skipped, deselected or failed. A line whose test is a drill is shown by
`make drills` in the same way, and only there.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
_NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def claimed() -> dict[str, str]:
    """Test id → the document that names it."""
    found: dict[str, str] = {}
    for document in sorted((ROOT / "docs").rglob("*.md")):
        for line in document.read_text().splitlines():
            if line.lstrip().startswith("|"):
                for file, test in _NAMED.findall(line):
                    found.setdefault(f"{file}::{test}", str(document.relative_to(ROOT)))
    return found


def is_drill(test_id: str) -> bool:
    """Whether a test that exists is marked as a drill, itself or with its whole file."""
    file, _, name = test_id.partition("::")
    tree = ast.parse((ROOT / file).read_text())
    marks = [node.value for node in tree.body if isinstance(node, ast.Assign) and "pytestmark" in ast.unparse(node)]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == name:
            marks += node.decorator_list
    each = [part for mark in marks for part in (mark.elts if isinstance(mark, ast.List) else [mark])]
    return "pytest.mark.drill" in map(ast.unparse, each)  # cases of it that are drills are others


def missing() -> list[str]:
    """Claims whose test is not there."""
    lost = []
    for test_id, document in claimed().items():
        file, _, name = test_id.partition("::")
        path = ROOT / file
        names = set()
        if path.exists():
            names = {
                node.name
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            }
        if name not in names:
            lost.append(f"{document} names {test_id}, which does not exist")
    return lost


class ClaimsPlugin:
    """Watches a full run."""

    def __init__(self) -> None:
        self._passed: set[str] = set()
        self._bad: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test_id = report.nodeid.split("[", 1)[0]
        if report.when == "call" and report.passed:
            self._passed.add(test_id)
        elif report.skipped or report.failed:
            self._bad.add(test_id)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        config = session.config
        if hasattr(config, "workerinput"):  # one of several processes: the first of them hears all reports
            return
        drills = config.option.markexpr == "drill"
        partial = config.option.keyword or (config.args != [str(a) for a in config.getini("testpaths")] and not drills)
        if partial or config.option.collectonly or session.shouldfail:
            return
        # one who drills a single file proves what that file claims
        asked = tuple(config.args) if drills else ("tests",)
        shared = (ROOT.parent / "shared" / "data").is_dir()
        unproved = [
            f"{document} claims {test_id}, which {'was skipped or failed' if test_id in self._bad else 'did not run'}"
            for test_id, document in claimed().items()
            if is_drill(test_id) is drills
            and test_id.startswith(asked)
            and test_id not in self._passed - self._bad
            and (shared or test_id not in self._bad)
        ]
        if unproved:
            reporter = config.pluginmanager.get_plugin("terminalreporter")
            assert reporter is not None
            for line in unproved:
                reporter.write_line(f"UNPROVED: {line}", red=True)
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


if __name__ == "__main__":
    lost = missing()
    print("\n".join(lost) or f"{len(claimed())} claims name tests that exist")
    sys.exit(bool(lost))
