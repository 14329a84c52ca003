"""The announcements and quick replies that the sample district ships."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import aiohttp
import pytest

from backend.commands.first_start import seed_district
from backend.composition import Services
from backend.domain.quick_replies import PLACEHOLDERS, check_reply
from config.sample_district import DEFAULT_FOLDER, SampleDistrictError, load_sample_district
from tests.callers import Caller


def test_the_shipped_words_are_sound() -> None:
    words = load_sample_district().words
    assert len(words.announcements) >= 2
    assert {reply.scope.value for reply in words.quick_replies} == {"department", "district"}
    for reply in words.quick_replies:
        check_reply(reply)
        assert set(re.findall(r"{(.*?)}", reply.text)) <= set(PLACEHOLDERS)
    shortcuts = [(reply.list, reply.shortcut) for reply in words.quick_replies]
    assert len(set(shortcuts)) == len(shortcuts)


async def test_everybody_reads_them_after_the_first_start(services: Services, http: aiohttp.ClientSession) -> None:
    district = load_sample_district()
    for _ in range(2):  # doing it again changes nothing
        await seed_district(services, district)
    _, page = await Caller(http).get("/api/announcements")
    assert page["items"][0]["level"] == "important"
    assert {item["id"] for item in page["items"]} == {item.id for item in district.words.announcements}


def test_an_unknown_department_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "district"
    shutil.copytree(DEFAULT_FOLDER, folder)
    words = folder / "words.yaml"
    words.write_text(words.read_text(encoding="utf-8").replace("department: renshe", "department: nobody"), "utf-8")
    with pytest.raises(SampleDistrictError, match=r"words\.yaml.*nobody"):
        load_sample_district(folder)


def test_a_district_may_have_no_words(tmp_path: Path) -> None:
    folder = tmp_path / "district"
    shutil.copytree(DEFAULT_FOLDER, folder, ignore=shutil.ignore_patterns("words.yaml"))
    assert load_sample_district(folder).words.announcements == ()
