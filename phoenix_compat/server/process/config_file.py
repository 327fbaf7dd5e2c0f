"""The configuration file: where it is looked for, and what is in it. Imports little, for commands
that must be quick."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from phoenix_compat.errors import ConfigError

VARIABLE: Final = "PHOENIX_COMPAT_CONFIG"
LOCAL: Final = Path("phoenix-compat.toml")
SYSTEM: Final = Path("/etc/phoenix-compat/config.toml")

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 4000


def find_config_file(
    named: Path | None,
    environment: Mapping[str, str] = os.environ,
    places: tuple[Path, ...] = (LOCAL, SYSTEM),
) -> Path | None:
    """The file to read: the one that was named by flag or variable, or the first that is there.

    Args:
        named: the flag --config.
        places: where one is looked for when none was named.
    """
    if named is None and environment.get(VARIABLE):
        named = Path(environment[VARIABLE])
    if named is not None:
        return named
    # One that is there and may not be read is an error and not passed over: see `read_config_file`.
    return next((place for place in places if os.path.lexists(place)), None)


def read_config_file(path: Path) -> dict[str, Any]:
    """The settings of a file, by name; their values are not checked.

    Raises:
        ConfigError: it cannot be read, or is no TOML; says what to do.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        remedy = "name another with --config, or write one with `phoenix-compat init`"
        if isinstance(error, PermissionError):
            remedy = "run this as the user who may, or name another with --config"
        raise ConfigError(f"cannot read {path}: {error.strerror}; {remedy}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8: {error.reason}") from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is no TOML: {error}; mend that line") from error
