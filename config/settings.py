"""The settings of one process: the only reader of the environment.

Every name is read from the environment with the prefix `BANSHI_` (`BANSHI_PORT`), or from the file that
`BANSHI_ENV_FILE` names; `MONGO_URL` and `REDIS_URL` are read without the prefix too. `config/example.env`
lists them all. Nothing outside `run.py` and the composition roots imports this module.
"""

from __future__ import annotations

import os
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

#: Where a stand-in listens.
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Settings(BaseSettings):
    """All settings with their defaults. Durations are seconds, sizes bytes."""

    model_config = SettingsConfigDict(
        env_prefix="BANSHI_",
        env_file=os.environ.get("BANSHI_ENV_FILE"),
        extra="ignore",
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    mode: Literal["development", "test", "production"] = "development"
    var: Path = Path("var")

    host: str = "127.0.0.1"
    port: int | None = Field(default=None, ge=1, le=65535)
    workers: int = Field(default=1, ge=1, le=64)
    public_url: str | None = None
    """What citizens and clerks type; decides the Secure flag of cookies and the allowed Origin."""
    trusted_proxies: int = Field(default=0, ge=0, le=5)
    """How many proxies before us append to X-Forwarded-For."""

    mongo_url: str | None = Field(
        default=None, validation_alias=AliasChoices("BANSHI_MONGO_URL", "MONGO_URL", "mongo_url")
    )
    mongo_database: str = "banshi"
    redis_url: str | None = Field(
        default=None, validation_alias=AliasChoices("BANSHI_REDIS_URL", "REDIS_URL", "redis_url")
    )
    embedded_prefer: Literal["auto", "path", "wheel"] = "auto"

    wechat_appid: str = "wxb0000000000000a1"
    wechat_secret: SecretStr = SecretStr("development-only-secret")
    wechat_base_url: str | None = None
    """None: the stand-in that `run.py serve` starts (outside production), or Tencent's in production."""

    personal_data_key: SecretStr | None = None
    """The key of personal data's fingerprints, later of its encryption; production refuses a short one."""

    access_token_ttl: int = Field(default=2 * 3600, ge=60)
    refresh_token_ttl: int = Field(default=90 * 86400, ge=3600)
    staff_session_ttl: int = Field(default=12 * 3600, ge=300)
    idempotency_ttl: int = Field(default=24 * 3600, ge=60)

    max_body: int = Field(default=256 * 1024, ge=1024)
    max_photo: int = Field(default=12 * 1024 * 1024, ge=1024)
    photo_workers: int = Field(default=1, ge=1, le=16)
    photo_wait_seconds: float = Field(default=2.0, gt=0, le=60)
    """How long a photograph may wait for a free process before its sender is asked to come again."""
    rate_per_minute: int = Field(default=600, ge=1)
    """Requests a minute for one session, or for one address without a session."""
    chat_events_per_second: float = Field(default=15.0, gt=0)
    """Events one socket may send in the long run; four times as many at once."""
    chat_connects_per_second: float = Field(default=75.0, gt=0)
    """People who may begin to connect to one server process; the others are told when to come."""
    chat_rights_seconds: float = Field(default=15.0, gt=0, le=15)
    """How old the rights of those behind open sockets may be, whether they say something or not."""
    chat_sockets: Literal["lean", "plain"] = "lean"
    """How packets come and go: `chat.lean_sockets`, or python-engineio's own way."""
    login_rate_per_minute: int = Field(default=60, ge=1)
    """Login attempts a minute from one address."""

    metrics_from: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = tuple(
        map(
            ip_network,
            ("127.0.0.0/8", "::1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"),
        )
    )
    """From where `/metrics` may be read, never through a proxy. In the environment: networks with commas between."""

    district: Path | None = None
    """Folder of the district to seed an empty database with; None is the sample district."""
    district_name: str | None = Field(default=None, max_length=40)
    """What citizens are told the district is called; None: as its folder says."""
    web: Path = Path(__file__).resolve().parent.parent / "web"
    """Folder of the web workspace, whose built clients are served under /desk/ and /m/."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"
    shutdown_grace: float = Field(default=10.0, ge=0)
    """How long a stopping process waits for requests under way."""
    drain_seconds: float = Field(default=0.0, ge=0, le=600)
    """How long a stopping node stays unready before it moves its sockets, and then over how long it moves them."""

    @field_validator("mongo_url", "redis_url", "wechat_base_url", "public_url", "district_name", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("metrics_from", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _production_is_strict(self) -> Self:
        if self.mode != "production":
            return self
        problems = []
        if not self.mongo_url or not self.redis_url:
            problems.append("MONGO_URL and REDIS_URL must be set")
        if len(self.wechat_secret.get_secret_value()) < 32:
            problems.append("BANSHI_WECHAT_SECRET must be the real one (32 characters)")
        if self.wechat_base_url and urlsplit(self.wechat_base_url).hostname in _LOOPBACK:
            problems.append("BANSHI_WECHAT_BASE_URL must not be a stand-in")
        if not self.public_url or not self.public_url.startswith("https://"):
            problems.append("BANSHI_PUBLIC_URL must be an https address")
        if self.personal_data_key is None or len(self.personal_data_key.get_secret_value()) < 43:
            problems.append("BANSHI_PERSONAL_DATA_KEY must hold 32 random bytes in base64")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def standin_url(self) -> str | None:
        """The address of the WeChat stand-in; None in production, and where WeChat itself is asked."""
        if self.mode == "production" or urlsplit(self.wechat_base_url or "").hostname not in _LOOPBACK:
            return None
        return self.wechat_base_url

    @property
    def metrics_folder(self) -> Path:
        """Where the processes of one system find each other's figures."""
        return self.var / "metrics"

    @property
    def clock_file(self) -> Path | None:
        """The file with the warped clock's offset; None where the clock cannot be warped."""
        return None if self.mode == "production" else self.var / "clock-offset"


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment; keyword arguments win. Raises pydantic's ValidationError."""
    return Settings(**overrides)  # type: ignore[arg-type]  # pydantic checks them
