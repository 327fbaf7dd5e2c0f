"""Refuses to start a server that nobody could use: keys are the only way in, and there are none.

An upgrade creates no key, so an installation from before is refused until its operator creates one
or turns authentication off. `check-config` and `doctor` say so beforehand.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

from phoenix_compat.errors import ConfigError
from phoenix_compat.server.auth.exposure import is_exposed
from phoenix_compat.server.auth.keys.first_key import has_unfinished_key
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.server.process.settings.auth import KEYS, NO_AUTH
from phoenix_compat.tasks.model.errors import StoreError
from phoenix_compat.tasks.store.sqlite.database_copy import open_read_only

WHAT: Final = "there is no API key, so nobody could use this server"

_TABLE: Final = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'api_keys'"
_ANY: Final = "SELECT 1 FROM api_keys LIMIT 1"


def check_key(settings: Settings, *, is_new_refused: bool) -> None:
    """Check that there is a key, possibly a revoked one, if a key is the only way in. Blocking.

    A database that cannot be read passes: whoever opens it reports that. So does one that servers
    share, which each of them checks when it starts.

    Args:
        is_new_refused: whether an installation without a database is refused, too.

    Raises:
        ConfigError: there is none; the text names the ways out.
    """
    if settings.auth != (KEYS,) or settings.is_shared:
        return
    with suppress(StoreError, OSError):
        if _has_key(settings.database_path, is_new_refused=is_new_refused):
            return
        raise ConfigError(f"auth: {WHAT}; {ways_out(settings)}")


def ways_out(settings: Settings) -> str:
    """What the operator can do if there is no key. Blocking."""
    create = "create one with `phoenix-compat keys create NAME`"
    if is_exposed(settings.model_copy(update={"auth": (NO_AUTH,)})):
        return (
            f"{create}; or, if everyone who reaches this server may use it and spend your money, "
            'set auth = ["none"] and insecure_no_auth = true'
        )
    return f'{create}, or turn authentication off with auth = ["none"]'


def _has_key(database: Path, *, is_new_refused: bool) -> bool:
    if has_unfinished_key(database.parent):
        return True
    if not database.exists() or database.stat().st_size == 0:
        return not is_new_refused
    with open_read_only(database) as connection:
        if connection.execute(_TABLE).fetchone() is None:  # of a version without keys
            return False
        return connection.execute(_ANY).fetchone() is not None
