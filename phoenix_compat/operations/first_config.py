"""The first configuration file: every setting with its meaning, those that were chosen in force."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from phoenix_compat.errors import ConfigError
from phoenix_compat.server.process.config_file import LOCAL, SYSTEM
from phoenix_compat.server.process.settings import Settings, variables
from phoenix_compat.tasks.disk import fsync_path
from phoenix_compat.tasks.model.errors import (
    ProviderError,
    ProviderRefusedError,
    ProviderThrottledError,
)
from phoenix_compat.tasks.provider.replicate import ReplicateProvider

_MODE: Final = 0o600
_GROUP_MODE: Final = 0o060
_HEAD: Final = """\
# Settings of phoenix-compat. A flag wins over an environment variable, which wins over this file.
# After a change: phoenix-compat check-config, then restart, or send SIGHUP for what may change
# under way. Paths are relative to the folder of this file. docs/settings.md says more.
"""


def config_text(chosen: Mapping[str, str | int]) -> str:
    """The file: all settings, commented out but for the chosen ones."""
    parts = [_HEAD]
    for name, field in Settings.model_fields.items():
        parts.append(f"\n# {field.description}; variable {variables(name)[0]}\n")
        if name in chosen:
            parts.append(f"{name} = {_toml(chosen[name])}\n")
        else:
            parts.append(f"# {name} = {_default(field.default)}\n")
    return "".join(parts)


def _default(value: object) -> str:
    return "…" if value is None else _toml(value)


def _toml(value: object) -> str:
    # For strings, numbers, truths and lists of them JSON is TOML; DEL is the one exception.
    plain = str(value) if isinstance(value, Path) else value
    return json.dumps(plain, ensure_ascii=False).replace("\x7f", "\\u007F")


def place_to_write(named: Path | None, system: Path = SYSTEM) -> Path:
    """The file to write: the one that was named, or the one of the working directory.

    Raises:
        ConfigError: none was named, and an installed service has one that this would not change.
    """
    if named is not None:
        return named
    if os.path.lexists(system):
        raise ConfigError(
            f"{system} is there already, and the installed service reads it: edit that file, or "
            "name the one to write with --config"
        )
    return LOCAL


def check_absent(path: Path) -> None:
    """Nothing is overwritten by the way.

    Raises:
        ConfigError: there is something, be it a link to nowhere.
    """
    if os.path.lexists(path):
        raise ConfigError(
            f"{path} is there already; give --force to replace it, or --config for another"
        )


def write_config(path: Path, text: str, *, is_replaced: bool) -> None:
    """Write the file whole, readable by its owner only; blocking.

    One that is replaced keeps its owner and its group, which may go on reading it: a service may be
    in that group.

    Raises:
        ConfigError: there is one already and it may not be replaced, or the folder refuses.
    """
    if not is_replaced:
        check_absent(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            _set_access(descriptor, path)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            fsync_path(Path(name))
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        fsync_path(path.parent)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error


def _set_access(descriptor: int, path: Path) -> None:
    mode = _MODE
    if path.exists():
        replaced = path.stat()
        os.fchown(descriptor, replaced.st_uid, replaced.st_gid)
        mode |= replaced.st_mode & _GROUP_MODE
    os.fchmod(descriptor, mode)


async def checked_token(token: str, base_url: str) -> str:
    """Whose token it is, as the provider says.

    Raises:
        ConfigError: it is refused, or nobody can be asked.
    """
    provider = ReplicateProvider(token=token, base_url=base_url)
    try:
        return (await provider.account()).username
    except ProviderThrottledError:
        return "an account that is asked too often just now"
    except ProviderRefusedError as error:
        remedy = "make one at replicate.com/account/api-tokens"
        raise ConfigError(f"{base_url} refuses the token with {error.status}; {remedy}") from error
    except ProviderError as error:
        remedy = "try again, or go without this check: --no-check"
        raise ConfigError(f"{base_url} cannot be asked: {error}; {remedy}") from error
    finally:
        await provider.close()
