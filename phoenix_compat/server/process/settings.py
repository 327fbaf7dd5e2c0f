"""Settings of the task server: what there is to choose. Where they come from: `configuration`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, AliasChoices, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from phoenix_compat.protocol.browser import host_pattern
from phoenix_compat.server.process.config_file import DEFAULT_HOST, DEFAULT_PORT
from phoenix_compat.server.process.header_values import checked_token, checked_url

PREFIX: Final = "PHOENIX_COMPAT_"

REPLICATE_URL: Final = "https://api.replicate.com/v1"

_MAX_SOCKET_PATH_BYTES: Final = 107


def _is_mode(text: str) -> str:
    if not 0 <= int(text, 8) <= 0o777:
        raise ValueError("is no file mode")
    return text


def _is_short(path: Path) -> Path:
    if len(str(path).encode()) > _MAX_SOCKET_PATH_BYTES:
        raise ValueError(f"a socket's path has at most {_MAX_SOCKET_PATH_BYTES} bytes")
    return path


class Settings(BaseSettings):
    """Everything an operator may choose; the description of each field says what.

    Each field `name` is `PHOENIX_COMPAT_NAME` in the environment; Replicate's own variables, and
    PUBLIC_URL, keep their names. A value of this class was made of its arguments and nothing else:
    `load_configuration` reads flags, environment and file.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        # An error quotes what it was given, and that may be the token.
        hide_input_in_errors=True,
    )

    host: str = Field(DEFAULT_HOST, min_length=1, description="address to listen on")
    port: int = Field(
        DEFAULT_PORT,
        ge=0,
        le=65535,
        description="port to listen on, 0 to 65535; 0 takes a free one",
    )
    unix_socket: Annotated[Path, AfterValidator(_is_short)] | None = Field(
        None, description="path of a Unix socket to listen on in place of host and port"
    )
    unix_socket_mode: Annotated[str, AfterValidator(_is_mode)] = Field(
        "0660", pattern=r"^0?[0-7]{3}$", description='who may connect to it, as "0660"'
    )
    data_dir: Path = Field(
        Path("data"), description="folder of the database and the kept files; made when missing"
    )
    replicate_api_token: Annotated[SecretStr, AfterValidator(checked_token)] | None = Field(
        None,
        validation_alias=AliasChoices("replicate_api_token", "REPLICATE_API_TOKEN"),
        description="Replicate's token; without one, the emulator stands in",
    )
    replicate_api_token_file: Path | None = Field(
        None,
        validation_alias=AliasChoices("replicate_api_token_file", "REPLICATE_API_TOKEN_FILE"),
        description="a file with the token and nothing else, instead of the token itself",
    )
    replicate_base_url: Annotated[str, AfterValidator(checked_url)] = Field(
        REPLICATE_URL,
        validation_alias=AliasChoices("replicate_base_url", "REPLICATE_BASE_URL"),
        pattern=r"^https?://[^\s]+$",
        description="the API with its version, an http(s) address",
    )
    public_url: Annotated[str, AfterValidator(checked_url)] | None = Field(
        None,
        validation_alias=AliasChoices("public_url", "PUBLIC_URL", f"{PREFIX}PUBLIC_URL"),
        pattern=r"^https?://[^\s/]+/?$",
        description='how browsers reach this server, as "https://example.com", without a path',
    )
    check_origin: tuple[str, ...] = Field(
        (),
        description="further origins whose pages may open sockets and change tasks, "
        'as ["//example.com"]',
    )
    allowed_hosts: tuple[Annotated[str, AfterValidator(host_pattern)], ...] = Field(
        (),
        description="further names by which this server may be reached, "
        'as ["nas.lan", "*.example.com"]; "*" allows all',
    )
    show_watchers: bool = Field(
        default=False, description="whether the clients of a task see who else watches it"
    )
    default_model: str = Field(
        "google/imagen-4-fast", description="what type image runs when a request names no model"
    )
    fallback_models: tuple[str, ...] = Field(
        (), description="what runs, in this order, when the default model is gone"
    )
    max_repeats: int = Field(
        2,
        ge=0,
        le=2,
        description="how often a prediction that the platform broke is ordered again, 0 to 2; "
        "each may cost",
    )
    kinds_file: Path | None = Field(
        None, description="a TOML table of further task types; see docs/tasks.md"
    )
    file_hosts: tuple[str, ...] = Field(
        (),
        description="further hosts that outputs may be fetched from, "
        'as ["cdn.example", "http://10.0.0.5:9000"]',
    )
    max_file_bytes: int = Field(50 * 2**20, ge=1, description="a larger output is not kept")
    archive_max_bytes: int | None = Field(
        None, ge=1, description="all kept files together; the oldest go to stay below it"
    )
    keep_files_s: float | None = Field(
        None, gt=0, description="kept files go at this age in seconds; without, they stay"
    )
    keep_tasks_s: float | None = Field(
        None,
        ge=3_600.0,
        description="ended tasks go at this age in seconds, an hour or more, with their files; "
        "without, they stay",
    )
    concurrency: int = Field(8, ge=1, le=100, description="tasks in hand at once, 1 to 100")
    deadline_s: float = Field(
        600.0,
        ge=5.0,
        le=86_400.0,
        description="how long a prediction may take, 5 to 86400 seconds",
    )
    emulator_speed: float = Field(
        1.0, gt=0.0, description="how many times faster than a real model the emulator runs"
    )
    workers: int = Field(
        1, ge=1, le=64, description="processes on the one port, 1 to 64; see docs/workers.md"
    )
    max_connections: int | None = Field(
        None,
        ge=1,
        description="clients' connections in each process, 1 or more; without, as many as the "
        "limit of open files leaves room for",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="debug, info, warning or error"
    )
    log_format: Literal["console", "json"] = Field(
        "console", description="console, for people, or json"
    )
    # uvloop answers single messages about a tenth faster and needs about half as much memory again
    # per connection.
    loop: Literal["asyncio", "uvloop"] = Field(
        "asyncio", description="asyncio, or uvloop if it is installed"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.unix_socket is not None and self.workers > 1:
            raise ValueError("unix_socket is served by one process; leave workers at 1")
        if self.has_token and self.replicate_api_token_file is not None:
            raise ValueError("replicate_api_token and replicate_api_token_file: give one of them")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only the arguments: the other sources are read one value at a time, see configuration."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @property
    def database_path(self) -> Path:
        """The SQLite file."""
        return self.data_dir / "tasks.sqlite3"

    @property
    def files_path(self) -> Path:
        """The folder of the kept files."""
        return self.data_dir / "files"

    @property
    def emulator_path(self) -> Path:
        """What the emulator remembers, when it stands in."""
        return self.data_dir / "emulator.jsonl"

    @property
    def has_token(self) -> bool:
        """Whether a real Replicate (or what REPLICATE_BASE_URL names) is to be driven."""
        token = self.replicate_api_token
        return token is not None and token.get_secret_value() != ""


def variables(name: str) -> tuple[str, ...]:
    """The environment variables of a setting, the one to use first."""
    alias = Settings.model_fields[name].validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else ()
    named = tuple(str(choice) for choice in choices if str(choice).isupper())
    return named or (PREFIX + name.upper(),)
