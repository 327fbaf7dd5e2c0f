"""Upgrades the schema of a database, or plans the upgrade. Blocking."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from phoenix_compat.tasks.model.errors import StoreVersionError
from phoenix_compat.tasks.store.sqlite.database_copy import open_read_only
from phoenix_compat.tasks.store.sqlite.database_file import (
    check_file,
    lock_file,
    version_advice,
    version_of,
)
from phoenix_compat.tasks.store.sqlite.migrations import can_migrate, copy_path

_BUSY_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an upgrade would do.

    Attributes:
        found: the schema version of the database.
        wanted: the schema version of this program.
        copy: the path of the copy of the old database.
        size_bytes: the size of the database, and so of its copy.
        free_bytes: the free space on that disk.
    """

    database: Path
    found: int
    wanted: int
    copy: Path
    size_bytes: int
    free_bytes: int

    @property
    def is_needed(self) -> bool:
        """Whether the versions differ."""
        return self.found != self.wanted

    def lines(self) -> Iterator[str]:
        """The plan as text for people."""
        yield f"{self.database} has schema version {self.found}; this program's is {self.wanted}"
        if not self.is_needed:
            yield "nothing to do"
            return
        yield f"1. copy it to {self.copy} ({self.size_bytes} of {self.free_bytes} free bytes)"
        for step, version in enumerate(range(self.found, self.wanted), start=2):
            yield f"{step}. upgrade it from version {version} to {version + 1}"
        yield "all steps are one transaction: if one fails, nothing is changed"


def plan_upgrade(database: Path, schema_sql: str) -> Plan:
    """Plan an upgrade; a server may be running.

    Raises:
        StoreVersionError: the database is newer than this program, or not a task database.
        StoreOpenError: there is no database, or it cannot be read.
    """
    wanted = version_of(schema_sql)
    with open_read_only(database) as connection:
        found = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if found != wanted and not (found < wanted and can_migrate(connection, found, wanted)):
            raise StoreVersionError(database, version_advice(found, wanted))
    return Plan(
        database=database,
        found=found,
        wanted=wanted,
        copy=copy_path(database, found),
        size_bytes=database.stat().st_size,
        free_bytes=shutil.disk_usage(database.parent).free,
    )


def upgrade(database: Path, schema_sql: str) -> None:
    """Copy the database, then bring it to this program's schema.

    Raises:
        StoreInUseError: a server uses it.
        StoreOpenError: the upgrade failed, and nothing was changed.
    """
    with lock_file(database, create=False):
        check_file(database, schema_sql, _BUSY_TIMEOUT_S)
