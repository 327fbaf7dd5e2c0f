"""The first key of a fresh `.deb` or container, in a file that only the server's user can read.

An installation is fresh if it has no database yet. `prepare` runs before the database is created,
and writes the key to `first-key.part`. `complete` runs with the database open: it stores the key's
hash, then renames the file to `first-key`. If the server is killed in between, the file is still
there at the next start, and the work is completed. An installation without the file is not fresh,
so an upgrade creates no key, and no key is created twice.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

import structlog

from phoenix_compat.server.auth.keys.api_keys import KeyNameTakenError, is_key, new_key, sha256_of
from phoenix_compat.server.auth.keys.key_store import KeyStore
from phoenix_compat.server.auth.principal import Scope
from phoenix_compat.tasks.disk import fsync_path
from phoenix_compat.tasks.store.sqlite.database_file import lock_file

FIRST_KEY: Final = "first"
FILE: Final = "first-key"

_UNFINISHED: Final = f"{FILE}.part"
_SCOPES: Final = (Scope.OPERATE, Scope.CREATE, Scope.READ, Scope.CANCEL)
_MAX_FILE_BYTES: Final = 200
_MODE: Final = 0o600

log = structlog.stdlib.get_logger(__name__)


def prepare_first_key(database: Path) -> None:
    """Write the first key of an installation without a database; otherwise nothing. Blocking.

    Raises:
        StoreInUseError: another server uses the data directory.
        StoreOpenError: it cannot be created or written.
        OSError: the file cannot be written.
    """
    with lock_file(database, create=False):
        if database.exists() and database.stat().st_size:
            return
        unfinished = database.with_name(_UNFINISHED)
        if _read(unfinished) is None:
            _write(unfinished, new_key())


async def complete_first_key(keys: KeyStore, folder: Path) -> None:
    """Store the key that `prepare_first_key` wrote, if there is one.

    Args:
        folder: the data directory, whose database is open.

    Raises:
        StoreUnavailableError: it cannot be stored.
        OSError: the file cannot be written.
    """
    unfinished = folder / _UNFINISHED
    if not await asyncio.to_thread(unfinished.exists):
        return
    key = await asyncio.to_thread(_read, unfinished)
    if key is None:
        key = new_key()
        await asyncio.to_thread(_write, unfinished, key)
    try:
        await keys.create(FIRST_KEY, _SCOPES, key)
    except KeyNameTakenError:
        if keys.find_hash(sha256_of(key)) is None:  # a key of this name was created by hand
            await asyncio.to_thread(unfinished.unlink)
            return
    path = folder / FILE
    await asyncio.to_thread(_rename, unfinished, path)
    log.info("key.first_created", path=str(path))


def has_unfinished_key(folder: Path) -> bool:
    """Whether the server that opens this data directory next stores a first key. Blocking.

    Raises:
        OSError: the file cannot be read.
    """
    return _read(folder / _UNFINISHED) is not None


def _read(path: Path) -> str | None:
    """The key in a file; None if there is no file, or no whole key in it."""
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_FILE_BYTES).decode("ascii", "replace").strip()
    except FileNotFoundError:
        return None
    return text if is_key(text) else None


def _write(path: Path, key: str) -> None:
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE), "w") as file:  # noqa: PTH123 - of a descriptor
        file.write(f"{key}\n")
        file.flush()
        os.fsync(file.fileno())
    fsync_path(path.parent)


def _rename(unfinished: Path, path: Path) -> None:
    unfinished.replace(path)
    fsync_path(path.parent)
