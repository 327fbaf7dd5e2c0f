"""Writes the first configuration file, which explains every setting and sets the chosen ones."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from phoenix_compat.errors import ConfigError
from phoenix_compat.private_files import FILE_MODE, make_private_folder
from phoenix_compat.server.process.config.config_file import LOCAL, SYSTEM
from phoenix_compat.server.process.settings import Settings, variables
from phoenix_compat.server.process.settings.configuration import load_configuration
from phoenix_compat.tasks.disk import fsync_path
from phoenix_compat.tasks.model.errors import (
    ProviderError,
    ProviderRefusedError,
    ProviderThrottledError,
    ProviderUnreachableError,
)
from phoenix_compat.tasks.provider.replicate.replicate import ReplicateProvider

_GROUP_MODE: Final = 0o060
_HEAD: Final = """\
# Settings of phoenix-compat. A flag wins over an environment variable, which wins over this file.
# After a change, run `phoenix-compat check-config`. Then restart the server; or send it SIGHUP, to
# apply some of the settings at once. Paths are relative to the folder of this file.
# docs/settings.md explains all settings.
"""


class ProviderGoneError(ConfigError):
    """The provider cannot be asked about a token now."""


def config_text(chosen: Mapping[str, str | int | float | tuple[str, ...]]) -> str:
    """The text of the file: all settings, commented out except for the chosen ones."""
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
    # For strings, numbers, booleans and lists of them JSON is TOML; DEL is the one exception.
    plain = str(value) if isinstance(value, Path) else value
    return json.dumps(plain, ensure_ascii=False).replace("\x7f", "\\u007F")


def path_to_write(named: Path | None, system: Path = SYSTEM) -> Path:
    """The file to write: the named one, or the one in the working directory.

    Raises:
        ConfigError: no file was named, but an installed service reads another one.
    """
    if named is not None:
        return named
    if os.path.lexists(system):
        raise ConfigError(
            f"{system} exists, and the installed service reads it: edit that file, or name "
            "another one with --config"
        )
    return LOCAL


def check_absent(path: Path) -> None:
    """Check that a path is free.

    Raises:
        ConfigError: something is there, even if it is a dangling link.
    """
    if os.path.lexists(path):
        raise ConfigError(
            f"{path} exists; use --force to replace it, or --config to name another file"
        )


def check_folder(path: Path) -> None:
    """Check that the file can be written, before questions are asked. Blocking.

    Raises:
        ConfigError: its folder is not one, or this user may not write there.
    """
    folder = next(one for one in (path.absolute().parent, *path.absolute().parents) if one.exists())
    reason = "this user may not write there"
    if not folder.is_dir():
        reason = f"{folder} is not a folder"
    elif os.access(folder, os.W_OK | os.X_OK):
        return
    raise ConfigError(f"cannot write {path}: {reason}; choose another file with --config")


def check_answers(chosen: Mapping[str, str | int | float], names: Mapping[str, str]) -> Settings:
    """The settings that answers make; blocking.

    Args:
        names: how errors name the answers.

    Raises:
        ConfigError: one of them cannot be used.
    """
    settings = load_configuration(chosen, Path(os.devnull), {}, names).settings
    if "host" in chosen:
        _check_host(settings.host, names.get("host", "--host"))
    return settings


def _check_host(host: str, name: str) -> None:
    """Check that this machine has an address, by binding a free port."""
    error: OSError | UnicodeError | None = None
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as unknown:
        found, error = [], unknown
    for family, kind, protocol, _, address in found:
        try:
            with socket.socket(family, kind, protocol) as attempt:
                attempt.bind(address)
        except OSError as refused:  # perhaps an address family that is switched off
            error = refused
        else:
            return
    reason = error.strerror if isinstance(error, OSError) else None
    raise ConfigError(
        f"{name}: {host!r} is not an address of this machine{f' ({reason})' if reason else ''}; "
        "127.0.0.1 is this machine alone, and 0.0.0.0 stands for all of its addresses"
    ) from error


def write_config(path: Path, text: str, *, is_replaced: bool) -> None:
    """Write the file atomically, readable only by its owner; blocking.

    A replaced file keeps its owner, its group and the group's access: a service may be in the
    group.

    Raises:
        ConfigError: the file exists and must not be replaced, or it cannot be written.
    """
    if not is_replaced:
        check_absent(path)
    try:
        make_private_folder(path.parent)
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
        remedy = "choose another file with --config"
        raise ConfigError(f"cannot write {path}: {error.strerror}; {remedy}") from error


def _set_access(descriptor: int, path: Path) -> None:
    mode = FILE_MODE
    if path.exists():
        replaced = path.stat()
        os.fchown(descriptor, replaced.st_uid, replaced.st_gid)
        mode |= replaced.st_mode & _GROUP_MODE
    os.fchmod(descriptor, mode)


async def account_of(token: str, base_url: str) -> str:
    """The name of the account that a token belongs to, from the provider.

    Raises:
        ConfigError: the token is refused.
        ProviderGoneError: the provider cannot be asked.
    """
    provider = ReplicateProvider(token=token, base_url=base_url)
    try:
        return (await provider.account()).username
    except ProviderThrottledError:
        return "unknown, because the provider gets too many requests now"
    except ProviderRefusedError as error:
        remedy = "make a new one at replicate.com/account/api-tokens"
        raise ConfigError(
            f"{base_url} refuses the token with status {error.status}; {remedy}"
        ) from error
    except ProviderUnreachableError as error:
        remedy = "check the network, or skip this check with --no-check"
        raise ProviderGoneError(
            f"cannot connect to {base_url} to check the token; {remedy}"
        ) from error
    except ProviderError as error:
        remedy = "try again, or skip this check with --no-check"
        raise ProviderGoneError(
            f"{base_url} does not answer as Replicate does; {remedy}"
        ) from error
    finally:
        await provider.close()
