"""The settings with which every worker process of one server starts, however often it is restarted.

The supervisor reads the configuration once, with the contents of the files that it names. A worker
gets all of that from the supervisor and reads nothing itself, so a configuration file that is being
edited, or is wrong, changes nothing before a reload or a restart. A valid reload replaces what can
change in a running server.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from phoenix_compat.errors import ConfigError
from phoenix_compat.redaction import live_secrets
from phoenix_compat.server.process.config.reload import CHANGEABLE
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.server.process.settings.configuration import SECRETS_IN_FILES
from phoenix_compat.server.process.settings.setting_errors import secrets_in

MAX_FILE_BYTES: Final = 2**20
"""A larger file is left to each worker to read; none of them should be as large."""

_READ_FILES: Final = (
    "jwt_jwks_file",
    "jwt_public_key_file",
    "jwt_secret_file",
    "phoenix_token_secret_key_base_file",
    "task_types_file",
)


class FrozenSettings:
    """What the supervisor gives to its workers. All methods block.

    Args:
        check: checks settings, as at a reload. Raises ConfigError.
    """

    def __init__(self, settings: Settings, check: Callable[[Settings], None]) -> None:
        self._check = check
        self._settings = settings.with_contents(_contents(settings))

    def pack(self) -> str:
        """The settings as text, with their secrets."""
        values = self._settings.model_dump()
        contents = {
            name: base64.b64encode(content).decode()
            for name, content in self._settings.contents.items()
        }
        return json.dumps({"values": values, "contents": contents}, default=_plain)

    def reload(self, new: Settings) -> None:
        """Take from new settings what can change in a running server, if the result is valid."""
        changes = {name: getattr(new, name) for name in CHANGEABLE}
        changed = self._settings.model_copy(update=changes)
        contents = _contents(changed)
        kept = {
            name: content
            for name, content in self._settings.contents.items()
            if name not in CHANGEABLE
        }
        now = {name: content for name, content in contents.items() if name in CHANGEABLE}
        changed = changed.with_contents({**kept, **now})
        try:
            self._check(changed)
        except ConfigError:
            return  # the workers refuse it too, and log why
        self._settings = changed


def unpack_settings(text: str) -> Settings:
    """The settings that `FrozenSettings.pack` wrote.

    Raises:
        ConfigError: it is not such a text.
    """
    try:
        packed = json.loads(text)
        values: dict[str, Any] = packed["values"]
        for name, value in values.items():
            for secret in secrets_in(name, value):
                live_secrets.register(secret)
        read = {name: values.pop(name) for name in SECRETS_IN_FILES}
        # A file may be named too, which Settings refuses to combine.
        given = {name for name in read if values.get(f"{name}_file") is None}
        settings = Settings(**values, **{name: read[name] for name in given})
        contents = {name: base64.b64decode(content) for name, content in packed["contents"].items()}
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError("the supervisor's settings cannot be read; restart the server") from error
    from_files = {
        name: SecretStr(secret)
        for name, secret in read.items()
        if name not in given and secret is not None
    }
    settings = settings.model_copy(update=from_files)
    return settings.with_contents(contents)


def _contents(settings: Settings) -> dict[str, bytes]:
    """The contents of the files that settings name. One that cannot be read is reported on use."""
    contents: dict[str, bytes] = {}
    for name in _READ_FILES:
        path: Path | None = getattr(settings, name)
        if path is None:
            continue
        try:
            with path.open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except (OSError, ValueError):
            continue
        if len(content) <= MAX_FILE_BYTES:
            contents[name] = content
    return contents


def _plain(value: object) -> object:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, Path):
        return os.fspath(value)
    if isinstance(value, frozenset | set):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} is not a value of a setting")
