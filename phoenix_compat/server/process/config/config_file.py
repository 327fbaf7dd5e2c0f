"""Finds and reads the configuration file.

It imports little, so that commands such as `healthcheck` start quickly.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from phoenix_compat.errors import ConfigError

VARIABLE: Final = "PHOENIX_COMPAT_CONFIG"
URL_VARIABLE: Final = "PHOENIX_COMPAT_URL"
KEY_VARIABLE: Final = "PHOENIX_COMPAT_KEY"
COMMAND_VARIABLES: Final = frozenset({VARIABLE, URL_VARIABLE, KEY_VARIABLE})
"""Variables that are not settings: commands read them."""
LOCAL: Final = Path("phoenix-compat.toml")
SYSTEM: Final = Path("/etc/phoenix-compat/config.toml")

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigFile:
    """A configuration file that has been read.

    Attributes:
        text: its whole text.
        values: its settings by name; the values are not checked.
    """

    path: Path
    text: str
    values: Mapping[str, Any]

    def where(self, name: str) -> str:
        """Where a setting is written, for error messages: the file and the line."""
        pattern = re.compile(rf"""\s*\[{{0,2}}\s*["']?{re.escape(name)}["']?\s*[=.\]]""")
        for number, line in enumerate(self.text.splitlines(), start=1):
            if pattern.match(line):
                return f"{self.path}, line {number}"
        return str(self.path)


def find_config_file(
    named: Path | None,
    environment: Mapping[str, str] = os.environ,
    places: tuple[Path, ...] = (LOCAL, SYSTEM),
) -> Path | None:
    """The file to read: the one named by flag or variable, or else the first that exists.

    Args:
        named: the value of the flag --config.
        places: where to look when no file is named.
    """
    if named is None and environment.get(VARIABLE):
        named = Path(environment[VARIABLE])
    if named is not None:
        return named
    # A file that exists but cannot be read is an error, not skipped: see `read_config_file`.
    return next((place for place in places if os.path.lexists(place)), None)


def read_config_file(path: Path) -> ConfigFile:
    """Read and parse a configuration file; the values are not checked. Blocking.

    Raises:
        ConfigError: it cannot be read, or is not valid TOML; the text says what to do.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        remedy = "name another with --config, or write one with `phoenix-compat init`"
        if isinstance(error, PermissionError):
            remedy = "run this as a user who may read it, or name another with --config"
        raise ConfigError(f"cannot read {path}: {error.strerror}; {remedy}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text; save it as UTF-8") from error
    try:
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        reason = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "nested too deep"
        raise ConfigError(f"{path} is not valid TOML: {reason}; correct that line") from error
    return ConfigFile(path=path, text=text, values=values)
