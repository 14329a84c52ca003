"""The same as in the tests, longer: the database dies five times in one talk."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.settings import Settings
from tests.chat.test_acknowledged import talk_through_kills
from tests.drills.results import Figures, note


@pytest.mark.drill
@pytest.mark.timeout(600)
async def test_what_was_acknowledged_outlives_five_kills(
    settings: Settings, wechat_standin: str, tmp_path: Path
) -> None:
    await talk_through_kills(settings, wechat_standin, tmp_path, messages=300, kills=5)
    note(Figures("the database killed five times", sent=300, acknowledged=300, faults=5))
