"""Settings as the commands see them: broken ones in one line, `var` made absolute, a running system found."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from backend.commands.errors import CommandError
from backend.commands.running import RunInfo, running_system
from config.settings import Settings, load_settings

ROOT = Path(__file__).resolve().parent.parent.parent


def read_settings(**overrides: object) -> Settings:
    """The settings of this checkout; options that were not given (None) change nothing.

    Raises:
        CommandError: a setting is wrong; names it, never echoes its value.

    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        settings = load_settings(**given)
    except ValidationError as error:
        raise CommandError("broken settings: " + "; ".join(_wrong(error))) from None
    return settings.model_copy(update={"var": (ROOT / settings.var).resolve()})


def read_connected_settings(*, need_running: bool = False) -> tuple[Settings, RunInfo | None]:
    """Settings with the database and Redis to work with: those configured, else the running system's.

    Raises:
        CommandError: neither is there, or nothing runs although `need_running`.

    """
    settings = read_settings()
    info = running_system(settings.var)
    if info is None and (need_running or not settings.mongo_url):
        raise CommandError(
            f"nothing runs here ({settings.var / 'run.json'} is absent or stale): "
            "start it with `make run` or `python run.py serve`"
            + ("" if need_running else ", or set MONGO_URL and REDIS_URL")
        )
    if info is None:
        return settings, None
    update: dict[str, object] = {
        "mongo_url": settings.mongo_url or info.mongo_url,
        "redis_url": settings.redis_url or info.redis_url,
        "wechat_base_url": settings.wechat_base_url or info.wechat_standin_url,
    }
    return settings.model_copy(update=update), info


def _wrong(error: ValidationError) -> list[str]:
    told = []
    for item in error.errors(include_input=False, include_url=False, include_context=False):
        message = item["msg"].removeprefix("Value error, ")
        names = [str(part) for part in item["loc"]]
        variable = next((name for name in names if name.isupper()), None)
        if variable is None and names:
            variable = f"BANSHI_{names[0].upper()}"
        told.append(f"{variable}: {message}" if variable else message)
    return told
