import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from config.settings import Settings

EXAMPLE = Path(__file__).parents[2] / "config" / "example.env"


def test_the_example_names_every_setting_with_its_default() -> None:
    lines = re.findall(r"^(# )?BANSHI_(\w+)=(.*)$", EXAMPLE.read_text(), re.MULTILINE)
    named = {name.lower(): (bool(unset), value) for unset, name, value in lines}
    assert set(named) == set(Settings.model_fields)
    for name, (unset, value) in named.items():
        default = Settings.model_fields[name].default
        if not unset:
            assert float(value) == float(default) if isinstance(default, int | float) else value == str(default)


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"mongo_url": None}, "MONGO_URL"),
        ({"redis_url": None}, "REDIS_URL"),
        ({"wechat_secret": "short"}, "WECHAT_SECRET"),
        ({"wechat_base_url": "http://127.0.0.1:9000"}, "stand-in"),
        ({"wechat_base_url": "http://localhost:9000"}, "stand-in"),
        ({"public_url": "http://banshi.example"}, "https"),
        ({"personal_data_key": "short"}, "PERSONAL_DATA_KEY"),
    ],
)
def test_production_refuses_what_is_for_trying(changed: dict[str, str | None], complaint: str) -> None:
    good = {
        "mode": "production",
        "mongo_url": "mongodb://db/?replicaSet=rs0",
        "redis_url": "redis://cache",
        "wechat_secret": "0123456789abcdef0123456789abcdef",
        "public_url": "https://banshi.example",
        "personal_data_key": "x" * 44,
    }
    Settings(**good)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match=complaint) as error:
        Settings(**{**good, **changed})  # type: ignore[arg-type]
    assert "0123456789abcdef" not in str(error.value)
