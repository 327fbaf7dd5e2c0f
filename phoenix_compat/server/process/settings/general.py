"""The settings that belong to no other subject."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, AliasChoices, Field, SecretStr

from phoenix_compat.protocol.page_guard import host_pattern
from phoenix_compat.server.process.config.config_file import DEFAULT_HOST, DEFAULT_PORT
from phoenix_compat.server.process.settings.header_values import (
    checked_origin_url,
    checked_token,
    checked_url,
)
from phoenix_compat.server.process.settings.part import SettingsPart

PREFIX: Final = "PHOENIX_COMPAT_"

REPLICATE_URL: Final = "https://api.replicate.com/v1"

_MAX_SOCKET_PATH_BYTES: Final = 107
_MAX_AGE_S: Final = 100 * 366 * 86_400.0


def _is_mode(text: str) -> str:
    if re.fullmatch("0?[0-7]{3}", text) is None:
        raise ValueError('must be a file mode in octal, such as "0660"')
    return text


def _is_path(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError("must not contain a null byte")
    return path


def _is_socket_path(path: Path) -> Path:
    if len(str(path).encode()) > _MAX_SOCKET_PATH_BYTES:
        raise ValueError(f"is longer than {_MAX_SOCKET_PATH_BYTES} bytes; use a shorter path")
    return path


_Path = Annotated[Path, AfterValidator(_is_path)]


class GeneralSettings(SettingsPart):
    """The part of `Settings` about everything else."""

    host: str = Field(DEFAULT_HOST, min_length=1, description="address to listen on")
    port: int = Field(
        DEFAULT_PORT,
        ge=0,
        le=65535,
        description="port to listen on, 0 to 65535; with 0 the system chooses a free one",
    )
    unix_socket: Annotated[_Path, AfterValidator(_is_socket_path)] | None = Field(
        None, description="path of a Unix socket to listen on instead of host and port"
    )
    unix_socket_mode: Annotated[str, AfterValidator(_is_mode)] = Field(
        "0660", description='file mode of the Unix socket, as "0660": who may connect'
    )
    data_dir: _Path = Field(
        Path("data"),
        description="folder of the database and the archived files; created if it is missing",
    )
    client_key_file: _Path | None = Field(
        None,
        description="a file that contains an API key, for commands such as `task list`; the server "
        "does not read it",
    )
    replicate_api_token: Annotated[SecretStr, AfterValidator(checked_token)] | None = Field(
        None,
        validation_alias=AliasChoices("replicate_api_token", "REPLICATE_API_TOKEN"),
        description="Replicate's API token; without one, the server uses the emulator",
    )
    replicate_api_token_file: _Path | None = Field(
        None,
        validation_alias=AliasChoices("replicate_api_token_file", "REPLICATE_API_TOKEN_FILE"),
        description="a file that contains the token and nothing else; use it or "
        "replicate_api_token, not both",
    )
    replicate_base_url: Annotated[str, AfterValidator(checked_url)] = Field(
        REPLICATE_URL,
        validation_alias=AliasChoices("replicate_base_url", "REPLICATE_BASE_URL"),
        description="address of Replicate's API, with the API version",
    )
    public_url: Annotated[str, AfterValidator(checked_origin_url)] | None = Field(
        None,
        validation_alias=AliasChoices("public_url", "PUBLIC_URL", f"{PREFIX}PUBLIC_URL"),
        description='how browsers reach this server, as "https://example.com", without a path',
    )
    check_origin: tuple[str, ...] = Field(
        (),
        description="further origins whose pages may open sockets and use the API, "
        'as ["//example.com"]',
    )
    allowed_hosts: tuple[Annotated[str, AfterValidator(host_pattern)], ...] = Field(
        (),
        description="further host names that this server answers to, "
        'as ["nas.lan", "*.example.com"]; "*" allows all',
    )
    show_watchers: bool = Field(
        default=False, description="whether the clients of a task can see each other"
    )
    default_model: str = Field(
        "google/imagen-4-fast",
        description="the model for tasks of type image that name no model",
    )
    fallback_models: tuple[str, ...] = Field(
        (), description="models to try in turn when the default model no longer exists"
    )
    max_repeats: int = Field(
        2,
        ge=0,
        le=2,
        description="how often a prediction is repeated after a fault of the platform, 0 to 2; "
        "each repeat may cost money",
    )
    task_types_file: _Path | None = Field(
        None, description="a TOML file that defines further task types; see docs/tasks.md"
    )
    file_hosts: tuple[str, ...] = Field(
        (),
        description="further hosts from which the outputs of models may be downloaded, "
        'as ["cdn.example", "http://10.0.0.5:9000"]',
    )
    max_file_bytes: int = Field(
        50 * 2**20, ge=1, description="larger outputs are not archived; in bytes"
    )
    archive_max_bytes: int | None = Field(
        None,
        ge=1,
        description="limit for all archived files together, in bytes; the oldest are deleted first",
    )
    keep_files_s: float | None = Field(
        None,
        gt=0,
        description="archived files are deleted at this age, in seconds; without it, never",
    )
    keep_tasks_s: float | None = Field(
        None,
        ge=3_600.0,
        le=_MAX_AGE_S,
        description="completed and failed tasks are deleted with their files at this age, in "
        "seconds, 3600 or more; without it, never",
    )
    concurrency: int = Field(
        8, ge=1, le=100, description="how many tasks are worked on at the same time, 1 to 100"
    )
    deadline_s: float = Field(
        600.0,
        ge=5.0,
        le=86_400.0,
        description="how long a prediction may take, in seconds, 5 to 86400",
    )
    emulator_speed: float = Field(
        1.0, gt=0.0, description="how many times faster than real models the emulator runs"
    )
    workers: int = Field(
        1,
        ge=1,
        le=64,
        description="number of processes that serve the port, 1 to 64; see docs/workers.md",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least important lines to log: debug, info, warning or error"
    )
    log_format: Literal["console", "json"] = Field(
        "console", description="console, for people, or json"
    )
    access_log: Literal["off", "short", "json"] = Field(
        "off",
        description="one log line for each HTTP response: off, short, or json with more fields",
    )
    filter_parameters: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = Field(
        (),
        description="further words: the log hides parameters whose name contains one of them, "
        'as ["ssn", "pin"]',
    )
    # uvloop answers single messages about a tenth faster and needs about half as much memory again
    # per connection.
    loop: Literal["asyncio", "uvloop"] = Field(
        "asyncio", description="event loop: asyncio, or uvloop if it is installed"
    )
