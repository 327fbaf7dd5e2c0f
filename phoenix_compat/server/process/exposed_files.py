"""Finds files and folders of the operator that other users of the machine may read.

What the server creates is private; these were created by something else, or by an older version.
Their modes are not changed, because access may have been given on purpose. All functions block.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from phoenix_compat.private_files import is_open_to_others
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.server.process.settings.configuration import Configuration
from phoenix_compat.server.process.settings.setting_errors import (
    SECRETS,
    TABLES_WITH_SECRETS,
    secrets_in,
)

# By name, so that a setting that is added later is checked as well. A file with a public key may
# be read by everyone.
_SECRET_FILE: Final = re.compile(
    r"(?:^|_)(?:token|secret|secret_key_base|password|private_key|url)_file$"
)

_SECRETS: Final = SECRETS | TABLES_WITH_SECRETS.keys()


def exposed_files(found: Configuration) -> tuple[str, ...]:
    """A sentence for each file or folder that every user may read, with the command that helps."""
    folder = exposed_data_dir(found.settings)
    return (*exposed_secrets(found), *(() if folder is None else (folder,)))


def exposed_secrets(found: Configuration) -> tuple[str, ...]:
    """A sentence for each file with a secret that every user may read."""
    contents: dict[Path, str] = {}
    for name, path in _files_with_secrets(found):
        what = "the token" if name == "replicate_api_token" else name
        contents[path] = f"{contents[path]} and {what}" if path in contents else what
    return tuple(
        f"{path} holds {what} and every user may read it; chmod 640 {path}"
        for path, what in contents.items()
        if is_open_to_others(path)
    )


def exposed_data_dir(settings: Settings) -> str | None:
    """A sentence about a data directory that every user may enter or read; None if none may."""
    folder = settings.data_dir.absolute()
    if not is_open_to_others(folder):
        return None
    mode = folder.stat().st_mode & 0o777
    return (
        f"{folder} has mode {mode:04o}, so every user may look for tasks and files in it; "
        f"chmod o-rwx {folder}"
    )


def names_secret_file(setting: str) -> bool:
    """Whether a setting of this name is the path of a file with a secret."""
    return _SECRET_FILE.search(setting) is not None


def _files_with_secrets(found: Configuration) -> Iterator[tuple[str, Path]]:
    """The name of each secret that is in a file, and the file."""
    for name in Settings.model_fields:
        value = getattr(found.settings, name)
        if isinstance(value, os.PathLike) and names_secret_file(name):
            yield name.removesuffix("_file"), Path(value)
        elif (
            name in _SECRETS
            and found.file
            and found.origins[name].startswith("file ")
            and (name in TABLES_WITH_SECRETS or any(secrets_in(name, value)))
        ):
            yield name, found.file
