"""Doctor: one finding for each thing a server needs, with what to do about it."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from typing import Final

from phoenix_compat.errors import ConfigError
from phoenix_compat.operations.doctor_net import check_port, check_provider, check_public_url
from phoenix_compat.operations.finding import Finding, fail, ok, warn
from phoenix_compat.operations.upgrade import plan_upgrade
from phoenix_compat.server.main import check_settings, schema_sql
from phoenix_compat.server.process.configuration import Configuration, exposed_secret
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.tasks.model.errors import StoreError
from phoenix_compat.tasks.store.sqlite.database_copy import inspect_database

LITTLE_BYTES: Final = 2**30
NONE_BYTES: Final = 128 * 2**20
LARGE_WAL_BYTES: Final = 128 * 2**20
FEW_FILES: Final = 4_096


async def examine(found: Configuration) -> AsyncIterator[Finding]:
    """All findings, one by one, as they are made."""
    settings = found.settings
    yield await asyncio.to_thread(check_configuration, found)
    local: tuple[Callable[[Settings], Finding], ...] = (
        check_data_dir,
        check_disk,
        check_database,
        check_wal,
        check_port,
    )
    for check in local:
        yield await asyncio.to_thread(check, settings)
    yield check_open_files()
    for finding in await check_provider(settings):
        yield finding
    yield await check_public_url(settings)


def check_configuration(found: Configuration) -> Finding:
    """Do the settings work together, and is the token private?"""
    try:
        check_settings(found.settings)
    except ConfigError as error:
        return fail("config", str(error), "mend what is named; docs/settings.md explains each")
    exposed = exposed_secret(found)
    if exposed is not None:
        what, _, remedy = exposed.partition("; ")
        return warn("config", what, remedy)
    return ok("config", f"the settings are sound (file: {found.file or 'none'})")


def check_data_dir(settings: Settings) -> Finding:
    """May this user write there?"""
    folder = settings.data_dir
    name = "data directory"
    if not folder.exists():
        return ok(name, f"{folder} is not there yet; serve makes it")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        remedy = f"chown it to the user that serves, or choose another: chown -R USER {folder}"
        return fail(name, f"{folder} cannot be written: {error.strerror}", remedy)
    if os.name == "posix" and folder.stat().st_mode & 0o002:
        return warn(name, f"everybody may write {folder}", f"chmod o-w {folder}")
    return ok(name, f"{folder.absolute()} can be written")


def check_disk(settings: Settings) -> Finding:
    """Is there room?"""
    places = (settings.data_dir, *settings.data_dir.absolute().parents)
    folder = next(place for place in places if place.exists())
    free = shutil.disk_usage(folder).free
    told = f"{free / 1e9:.1f} GB are free"
    remedy = "free some, prune (phoenix-compat prune), or set archive_max_bytes"
    if free < NONE_BYTES:
        return fail("disk", told, remedy)
    return warn("disk", told, remedy) if free < LITTLE_BYTES else ok("disk", told)


def check_database(settings: Settings) -> Finding:
    """Is every page of it sound, and of this program's version?"""
    path = settings.database_path
    if not path.exists():
        return ok("database", "there is none yet; serve makes it")
    try:
        plan = plan_upgrade(path, schema_sql())
        contents = inspect_database(path, plan.wanted)
    except StoreError as error:
        remedy = "stop the server; restore a backup: phoenix-compat restore FILE"
        return fail("database", str(error), remedy)
    told = f"{contents.tasks} tasks, integrity_check ok, schema version {plan.found}"
    if plan.is_needed:
        remedy = "the next start upgrades it; see first: phoenix-compat upgrade --plan"
        return warn("database", told, remedy)
    return ok("database", told)


def check_wal(settings: Settings) -> Finding:
    """Is the write-ahead log taken back into the database from time to time?"""
    path = settings.database_path
    wal = path.with_name(f"{path.name}-wal")
    size = wal.stat().st_size if wal.exists() else 0
    told = f"{size / 1e6:.1f} MB, SQLite {sqlite3.sqlite_version}"
    if size > LARGE_WAL_BYTES:
        remedy = "somebody reads the database for long (a backup? a shell?): end that, or restart"
        return warn("WAL", told, remedy)
    return ok("WAL", told)


def check_open_files() -> Finding:
    """How many clients are possible? Each is an open file."""
    if sys.platform == "win32":
        return ok("open files", "this system has no such limit")
    import resource  # noqa: PLC0415 - not there on Windows

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FEW_FILES:
        remedy = "raise it: LimitNOFILE=65536 in the unit, or ulimit -Hn 65536"
        return warn("open files", f"at most {hard}, so about as many clients", remedy)
    return ok("open files", f"at most {hard if hard >= 0 else 'any number'}")
