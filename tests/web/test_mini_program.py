"""The same source compiles to a WeChat mini-program with every page in it."""

from __future__ import annotations

import json

import pytest

from backend.commands.browser.phone_pages import declared
from backend.commands.build_web import TARGETS, build
from backend.commands.errors import CommandError
from tests.browser.conftest import unavailable


@pytest.mark.timeout(900)  # it waits for what others build, and builds
def test_the_mini_program_compiles_with_all_pages() -> None:
    try:
        build("build:mp")
    except CommandError as error:
        unavailable(f"the mini-program cannot be built: {error}")
    (folder,) = TARGETS["build:mp"]
    app = json.loads((folder / "app.json").read_text(encoding="utf-8"))
    assert app["pages"] == [f"pages/{page}" for page in declared()]
    for page in app["pages"]:
        for suffix in ("js", "wxml", "json"):
            assert (folder / f"{page}.{suffix}").is_file(), f"{page}.{suffix} was not built"
    tabs = [tab["pagePath"] for tab in app["tabBar"]["list"]]
    assert set(tabs) <= set(app["pages"])
