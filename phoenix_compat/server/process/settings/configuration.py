"""Reads the settings: flag > environment > file > default. All errors are reported at once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pydantic
from pydantic import SecretStr

from phoenix_compat.errors import ConfigError
from phoenix_compat.redaction import live_secrets
from phoenix_compat.server.process.config.config_file import (
    COMMAND_VARIABLES,
    find_config_file,
    read_config_file,
)
from phoenix_compat.server.process.config.renamed_settings import RENAMED, new_name, old_names
from phoenix_compat.server.process.expectation import is_list
from phoenix_compat.server.process.settings import PREFIX, Settings, variables
from phoenix_compat.server.process.settings.files import checked_files_url, shown_files_url
from phoenix_compat.server.process.settings.header_values import (
    MASK,
    MAX_TOKEN_CHARS,
    checked_token,
)
from phoenix_compat.server.process.settings.nodes import (
    URL_SECRETS,
    checked_bus_url,
    checked_database_url,
    shown_url,
)
from phoenix_compat.server.process.settings.setting_errors import (
    SECRETS,
    Given,
    SettingsError,
    describe,
    secrets_in,
)

DEFAULT: Final = "default"

_PATHS: Final = frozenset(
    {
        "bus_url_file",
        "client_key_file",
        "data_dir",
        "database_url_file",
        "files_url_file",
        "jwt_jwks_file",
        "jwt_public_key_file",
        "jwt_secret_file",
        "phoenix_token_secret_key_base_file",
        "replicate_api_token_file",
        "task_types_file",
        "unix_socket",
    }
)
"""In a file these are relative to the folder of the file."""
SECRETS_IN_FILES: Final = {
    "replicate_api_token": "token",
    "database_url": "URL",
    "bus_url": "URL",
    "files_url": "URL",
}
"""Settings that may be in a file, which another setting with `_file` names; and what they are."""
_CHECKS: Final = {
    "replicate_api_token": checked_token,
    "database_url": checked_database_url,
    "bus_url": checked_bus_url,
    "files_url": checked_files_url,
}
_AWS_SECRETS: Final = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
"""Variables with the keys of a bucket, which obstore reads."""
_MAX_SECRET_FILE_BYTES: Final = 2 * MAX_TOKEN_CHARS


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The settings, with where they come from.

    Attributes:
        origins: for each setting "flag --port", "variable PORT", "file PATH" or "default".
        file: the file that was read, if there was one.
        warnings: a sentence for each setting that was given by an old name.
    """

    settings: Settings
    origins: Mapping[str, str]
    file: Path | None
    warnings: tuple[str, ...] = ()

    def shown(self, name: str) -> str:
        """A setting's value as text; secrets are masked."""
        return shown(name, getattr(self.settings, name))


def load_configuration(
    flags: Mapping[str, Any],
    config: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    names: Mapping[str, str] | None = None,
) -> Configuration:
    """Read all settings; blocking.

    Args:
        flags: values by the setting's name; None means that the flag was not given.
        config: the file named by a flag.
        names: how error messages name flags that are not called after their setting.

    Raises:
        SettingsError: a line for each setting that cannot work and for each unknown name, with
            where it was given, what is wrong, and what is expected.
    """
    path = find_config_file(config, environment)
    problems: list[str] = []
    sources: list[Mapping[str, Given]] = []
    if path is not None:
        try:
            sources.append(_from_file(path, problems))
        except ConfigError as error:
            problems.append(str(error))
    sources += [_from_environment(environment, problems), _from_flags(flags, names or {})]
    given, warnings = _by_new_names(sources, problems)
    _register_secrets(given)
    live_secrets.register(*(environment.get(name) for name in _AWS_SECRETS))
    settings = _checked(given, problems)
    if settings is None or problems:
        raise SettingsError(problems)
    origins = {
        name: given[name].origin if name in given else DEFAULT for name in Settings.model_fields
    }
    return Configuration(settings=settings, origins=origins, file=path, warnings=warnings)


def load_settings(
    flags: Mapping[str, Any],
    config: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Settings:
    """The settings alone; see `load_configuration`."""
    return load_configuration(flags, config, environment).settings


def shown(name: str, value: object) -> str:
    """A value as text for people: secrets are masked, None is "none"."""
    if value is None:
        return "none"
    if name in URL_SECRETS and isinstance(value, SecretStr):
        return shown_url(value.get_secret_value())
    if name == "files_url" and isinstance(value, SecretStr):
        return shown_files_url(value.get_secret_value())
    if name in SECRETS or isinstance(value, SecretStr):
        return MASK
    if isinstance(value, tuple):
        return str(list(value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _from_file(path: Path, problems: list[str]) -> dict[str, Given]:
    given: dict[str, Given] = {}
    file = read_config_file(path)
    for name, value in file.values.items():
        written = f"{name} ({file.where(name)})"
        if new_name(name) not in Settings.model_fields:
            problems.append(f"{written}: this is not a setting{_suggestion(name)}")
            continue
        if new_name(name) in _PATHS and isinstance(value, str):
            value = path.parent / value  # noqa: PLW2901 - the same value, as a path
        given[name] = Given(value, f"file {path}", written)
    return given


def _from_environment(environment: Mapping[str, str], problems: list[str]) -> dict[str, Given]:
    names = [*Settings.model_fields, *RENAMED]
    known = {variable for name in names for variable in _variables(name)}
    problems += [
        f"{name}: this is not a setting{_suggestion(name[len(PREFIX) :].lower())}"
        for name in environment
        if name.startswith(PREFIX) and name not in known and name not in COMMAND_VARIABLES
    ]
    given: dict[str, Given] = {}
    for name in names:
        # Compose files and units set variables to the empty string when nothing is meant.
        variable = next((one for one in _variables(name) if environment.get(one)), None)
        if variable is None:
            continue
        text = environment[variable]
        try:
            value = json.loads(text) if is_list(Settings.model_fields[new_name(name)]) else text
        except ValueError:
            problems.append(f'{variable}: must be a list in JSON, such as ["a", "b"]')
        else:
            given[name] = Given(value, f"variable {variable}", variable)
    return given


def _variables(name: str) -> tuple[str, ...]:
    return variables(name) if name in Settings.model_fields else (PREFIX + name.upper(),)


def _from_flags(flags: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Given]:
    given: dict[str, Given] = {}
    for name, value in flags.items():
        if value is not None:
            flag = f"--{name.replace('_', '-')}"
            given[name] = Given(value, f"flag {flag}", names.get(name, flag))
    return given


def _by_new_names(
    sources: Iterable[Mapping[str, Given]], problems: list[str]
) -> tuple[dict[str, Given], tuple[str, ...]]:
    """The values by the settings' present names; and a warning for each that has an old name.

    Args:
        sources: the values by the names that were used; later sources win.
    """
    given: dict[str, Given] = {}
    for source in sources:
        given |= source
    warnings: list[str] = []
    for new in dict.fromkeys(RENAMED.values()):
        for old in old_names(new):
            if old not in given:
                continue
            one = given.pop(old)
            if new in given:
                problems.append(
                    f"{one.written}: is the old name of {new}, and "
                    f"{given[new].written} is given too; remove the old one"
                )
                continue
            given[new] = one
            present = _spelled_like(one, new)
            warnings.append(
                f"{one.written} is now called {present}; the old name still works, for now"
            )
    return given, tuple(warnings)


def _spelled_like(one: Given, name: str) -> str:
    """A setting's name, written as a flag, a variable or a line of a file, as this value was."""
    if one.origin.startswith("flag "):
        return f"--{name.replace('_', '-')}"
    return _variables(name)[0] if one.origin.startswith("variable ") else name


def _register_secrets(given: Mapping[str, Given]) -> None:
    """Keep the secrets out of logs and error messages, also those that turn out to be invalid."""
    for name, one in given.items():
        for secret in secrets_in(name, one.value):
            live_secrets.register(secret)


def _checked(given: Mapping[str, Given], problems: list[str]) -> Settings | None:
    values = {name: one.value for name, one in given.items()}
    try:
        settings = Settings(**values)
    except pydantic.ValidationError as error:
        lines = (describe(found, given) for found in error.errors(include_url=False))
        problems += dict.fromkeys(lines)  # a list with several wrong entries has one line
        return None
    found: dict[str, SecretStr] = {}
    for name, what in SECRETS_IN_FILES.items():
        path: Path | None = getattr(settings, f"{name}_file")
        if path is None:
            continue
        try:
            found[name] = _secret_in(path, name, what)
        except ConfigError as error:
            problems.append(f"{given[f'{name}_file'].written}: {error}")
    return settings.model_copy(update=found) if found else settings


def _secret_in(path: Path, name: str, what: str) -> SecretStr:
    """The secret in a file.

    Args:
        name: the setting that it is for.
        what: what it is, for error messages.

    Raises:
        ConfigError: the text does not name the file, which may be the secret itself by mistake.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_SECRET_FILE_BYTES)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it has a null byte"
        raise ConfigError(
            f"the file cannot be read: {reason}; give the path of a file that holds the {what}"
        ) from error
    # A byte that is not UTF-8 becomes a character that no secret has, and is reported as one.
    secret = SecretStr(data.decode("utf-8", "surrogateescape").strip())
    live_secrets.register(*secrets_in(name, secret))
    if not secret.get_secret_value():
        raise ConfigError(f"the file holds no {what}; write the {what} into it")
    try:
        return _CHECKS[name](secret)
    except ValueError as error:
        raise ConfigError(f"the {what} in the file {error}") from error


def _suggestion(name: str, names: Iterable[str] = Settings.model_fields) -> str:
    import difflib  # noqa: PLC0415 - only after a mistake

    close = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {close[0]}?" if close else "; docs/settings.md lists them all"
