"""Settings of the task server: flag > environment > default, read once, all errors at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import pydantic
from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from phoenix_compat.errors import ConfigError

PREFIX: Final = "PHOENIX_COMPAT_"

REPLICATE_URL: Final = "https://api.replicate.com/v1"


class Settings(BaseSettings):
    """Everything an operator may choose. Each field `name` is `PHOENIX_COMPAT_NAME` in the
    environment; Replicate's own variables keep Replicate's names.

    Attributes:
        host, port: where to listen; port 0 takes a free one.
        data_dir: where the database lives; made when missing.
        replicate_api_token: without one the emulator stands in for Replicate.
        replicate_base_url: the API with its version.
        public_url: how browsers reach this server; its host may then open sockets.
        check_origin: further origins whose pages may open sockets, as "//example.com".
        show_watchers: whether the clients of a task see who else watches it, as Phoenix Presence
            shows it; a client is known by its param `user`.
        fallback_models: what runs instead, in this order, when the default model is gone.
        max_repeats: how often a prediction that the platform broke is ordered again; each may cost.
        kinds_file: a TOML table of further task types; see docs/tasks.md.
        file_hosts: further hosts that outputs may be fetched from, "cdn.example" or
            "http://10.0.0.5:9000".
        max_file_bytes: a larger output is not kept.
        archive_max_bytes: all kept files together; the oldest go to stay below it.
        keep_files_s: kept files go at this age; without, they stay.
        default_model: what `type: image` runs when the request names no model.
        concurrency: tasks in hand at once.
        deadline_s: how long a prediction may take.
        emulator_speed: how many times faster than a real model the emulator runs.
        workers: processes that serve on the one port; see docs/workers.md.
        log_level, log_format: what goes to stderr, as lines for people or as JSON.
        loop: the event loop. uvloop answers single messages about a tenth faster and needs about
            half as much memory again per connection; it must be installed.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, populate_by_name=True
    )

    host: str = "127.0.0.1"
    port: int = Field(default=4000, ge=0, le=65535)
    data_dir: Path = Path("data")
    replicate_api_token: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("replicate_api_token", "REPLICATE_API_TOKEN")
    )
    replicate_base_url: str = Field(
        default=REPLICATE_URL,
        validation_alias=AliasChoices("replicate_base_url", "REPLICATE_BASE_URL"),
        pattern=r"^https?://[^\s]+$",
    )
    public_url: str | None = Field(
        default=None,
        validation_alias=AliasChoices("public_url", "PUBLIC_URL", f"{PREFIX}PUBLIC_URL"),
        pattern=r"^https?://[^\s/]+/?$",
    )
    check_origin: tuple[str, ...] = ()
    show_watchers: bool = False
    default_model: str = "google/imagen-4-fast"
    fallback_models: tuple[str, ...] = ()
    max_repeats: int = Field(default=2, ge=0, le=2)
    kinds_file: Path | None = None
    file_hosts: tuple[str, ...] = ()
    max_file_bytes: int = Field(default=50 * 2**20, ge=1)
    archive_max_bytes: int | None = Field(default=None, ge=1)
    keep_files_s: float | None = Field(default=None, gt=0)
    concurrency: int = Field(default=8, ge=1, le=100)
    deadline_s: float = Field(default=600.0, ge=5.0, le=86_400.0)
    emulator_speed: float = Field(default=1.0, gt=0.0)
    workers: int = Field(default=1, ge=1, le=64)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["console", "json"] = "console"
    loop: Literal["asyncio", "uvloop"] = "asyncio"

    @property
    def database_path(self) -> Path:
        """The SQLite file."""
        return self.data_dir / "tasks.sqlite3"

    @property
    def has_token(self) -> bool:
        """Whether a real Replicate (or what REPLICATE_BASE_URL names) is to be driven."""
        token = self.replicate_api_token
        return token is not None and token.get_secret_value() != ""


def load_settings(
    flags: Mapping[str, Any], environment: Mapping[str, str] = os.environ
) -> Settings:
    """Read the settings; flags that are None were not given.

    Raises:
        ConfigError: every setting that cannot work, with its reason, and every variable with our
            prefix that is none.
    """
    problems = [
        f"{name}: there is no such setting"
        for name in environment
        if name.startswith(PREFIX) and name[len(PREFIX) :].lower() not in Settings.model_fields
    ]
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        settings = Settings(**given)
    except pydantic.ValidationError as error:
        problems += [
            f"{'.'.join(map(str, found['loc']))}: {found['msg']}"
            for found in error.errors(include_url=False, include_input=False)
        ]
    else:
        if not problems:
            return settings
    raise ConfigError("\n".join(problems))
