"""Where each setting comes from: flag > environment > file > default, all errors at once."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import pydantic
from pydantic import SecretStr
from pydantic_settings import EnvSettingsSource

from phoenix_compat.errors import ConfigError
from phoenix_compat.server.process.config_file import VARIABLE, find_config_file, read_config_file
from phoenix_compat.server.process.header_values import MASK, MAX_TOKEN_CHARS, masked, token_problem
from phoenix_compat.server.process.settings import PREFIX, Settings, variables

DEFAULT: Final = "default"

_PATHS: Final = frozenset(
    {
        "data_dir",
        "kinds_file",
        "replicate_api_token_file",
        "unix_socket",
    }
)
"""In a file these are relative to the folder of the file."""
_SECRETS: Final = frozenset({"replicate_api_token"})
_MAX_SHOWN: Final = 60
_MAX_TOKEN_FILE_BYTES: Final = 2 * MAX_TOKEN_CHARS


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The settings, with where they come from.

    Attributes:
        origins: for each setting "flag --port", "variable PORT", "file PATH" or "default".
        file: the file that was read, if there was one.
    """

    settings: Settings
    origins: Mapping[str, str]
    file: Path | None

    def shown(self, name: str) -> str:
        """A setting's value as text; secrets are masked."""
        return shown(name, getattr(self.settings, name))


class _Given(NamedTuple):
    """A value as it was given, and where."""

    value: object
    origin: str


def load_configuration(
    flags: Mapping[str, Any],
    config: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Configuration:
    """Read all settings; blocking.

    Args:
        flags: by the setting's name; one that is None was not given.
        config: the file that was named by a flag.

    Raises:
        ConfigError: every setting that cannot work, with where it was given, why, and what is
            expected; and every name that is no setting.
    """
    path = find_config_file(config, environment)
    problems: list[str] = []
    given: dict[str, _Given] = {}
    if path is not None:
        try:
            given |= _from_file(path, problems)
        except ConfigError as error:
            problems.append(str(error))
    given |= _from_environment(environment, problems)
    given |= {
        name: _Given(value, f"flag --{name.replace('_', '-')}")
        for name, value in flags.items()
        if value is not None
    }
    settings = _checked(given, problems)
    if settings is None or problems:
        raise ConfigError("\n".join(problems))
    origins = {
        name: given[name].origin if name in given else DEFAULT for name in Settings.model_fields
    }
    return Configuration(settings=settings, origins=origins, file=path)


def load_settings(
    flags: Mapping[str, Any],
    config: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Settings:
    """The settings alone; see `load_configuration`."""
    return load_configuration(flags, config, environment).settings


def shown(name: str, value: object) -> str:
    """A value as text for people; a secret is masked, and None is told as what it means."""
    if value is None:
        return "none"
    if name in _SECRETS or isinstance(value, SecretStr):
        return MASK
    if isinstance(value, tuple):
        return str(list(value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _from_file(path: Path, problems: list[str]) -> dict[str, _Given]:
    given: dict[str, _Given] = {}
    for name, value in read_config_file(path).items():
        if name not in Settings.model_fields:
            problems.append(f"{name}: there is no such setting (file {path}){_meant(name)}")
        elif name in _PATHS and isinstance(value, str):
            given[name] = _Given(path.parent / value, f"file {path}")
        else:
            given[name] = _Given(value, f"file {path}")
    return given


def _from_environment(environment: Mapping[str, str], problems: list[str]) -> dict[str, _Given]:
    known = {variable: name for name in Settings.model_fields for variable in variables(name)}
    problems += [
        f"{name}: there is no such setting (variable){_meant(name[len(PREFIX) :].lower())}"
        for name in environment
        if name.startswith(PREFIX) and name not in known and name != VARIABLE
    ]
    source = EnvSettingsSource(Settings)
    given: dict[str, _Given] = {}
    for name, field in Settings.model_fields.items():
        # Compose files and units set variables to nothing where nothing is meant.
        variable = next((one for one in variables(name) if environment.get(one)), None)
        if variable is None:
            continue
        text = environment[variable]
        # Lists are JSON; whether a field is one is what the library knows.
        is_list = source.field_is_complex(field)
        try:
            value = source.decode_complex_value(name, field, text) if is_list else text
        except ValueError as error:
            problems.append(
                _problem(name, f"is no JSON: {error}", _Given(text, f"variable {variable}"))
            )
        else:
            given[name] = _Given(value, f"variable {variable}")
    return given


def _checked(given: Mapping[str, _Given], problems: list[str]) -> Settings | None:
    values = {name: one.value for name, one in given.items()}
    try:
        settings = Settings(**values)  # type: ignore[arg-type] # that is what is being checked
    except pydantic.ValidationError as error:
        for found in error.errors(include_url=False, include_input=False, include_context=False):
            reason = found["msg"].removeprefix("Value error, ")
            name = str(found["loc"][0]) if found["loc"] else None
            problems.append(reason if name is None else _problem(name, reason, given.get(name)))
        return None
    if settings.replicate_api_token_file is None:
        return settings
    try:
        token = _token(settings.replicate_api_token_file)
    except ConfigError as error:
        reason = str(error)
        problems.append(
            _problem("replicate_api_token_file", reason, given["replicate_api_token_file"])
        )
        return None
    return settings.model_copy(update={"replicate_api_token": SecretStr(token)})


def _token(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_TOKEN_FILE_BYTES)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}") from error
    # A byte of another encoding is told as what it is: no character that a token has.
    token = data.decode("utf-8", "surrogateescape").strip()
    if not token:
        raise ConfigError("the file holds no token")
    problem = token_problem(token)
    if problem is not None:
        raise ConfigError(f"the token in it {problem}")
    return token


def _problem(name: str, reason: str, given: _Given | None) -> str:
    """A line of the error: who, why, where, and what is expected."""
    words = f"{name}: {reason}"
    if given is not None:
        text = MASK if name in _SECRETS else masked(repr(_plain(given.value)))
        text = text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
        words += f" (it is {text}, {given.origin})"
    field = Settings.model_fields.get(name)
    return words if field is None else f"{words}; expected: {field.description}"


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


def _meant(name: str, names: Iterable[str] = Settings.model_fields) -> str:
    close = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {close[0]}?" if close else "; docs/settings.md lists them all"


def exposed_secret(found: Configuration) -> str | None:
    """What to do about a file with the token that others may read; None when all is well."""
    held = found.settings.replicate_api_token_file
    if held is None and found.origins["replicate_api_token"].startswith("file "):
        held = found.file
    if held is None or os.name != "posix" or not held.stat().st_mode & 0o007:
        return None
    return f"{held} holds the token and every user may read it; chmod 640 {held}"
