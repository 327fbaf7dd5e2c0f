"""Checks everything that a server needs, and says what to do about each problem."""

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
from phoenix_compat.operations.data.upgrade import plan_upgrade
from phoenix_compat.operations.doctor.files import check_files
from phoenix_compat.operations.doctor.finding import Finding, fail, ok, warn
from phoenix_compat.operations.doctor.net import check_port, check_provider, check_public_url
from phoenix_compat.operations.doctor.security import (
    check_authentication,
    check_client_addresses,
    check_operator_keys,
    check_secrets,
    check_spending,
    check_tls,
)
from phoenix_compat.server.engine import check_settings, schema_sql
from phoenix_compat.server.process.exposed_files import exposed_data_dir, exposed_secrets
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.server.process.settings.configuration import Configuration
from phoenix_compat.tasks.model.errors import StoreError
from phoenix_compat.tasks.store.sqlite.database_copy import inspect_database

LOW_FREE_BYTES: Final = 2**30
MIN_FREE_BYTES: Final = 128 * 2**20
LARGE_WAL_BYTES: Final = 128 * 2**20
MIN_OPEN_FILES: Final = 4_096


async def examine(found: Configuration, credential: str | None = None) -> AsyncIterator[Finding]:
    """Run all checks, and yield each result as soon as it is there.

    Args:
        credential: an API key or a token, to try a websocket through the public URL.
    """
    settings = found.settings
    yield await asyncio.to_thread(check_configuration, found)
    local: tuple[Callable[[Settings], Finding], ...] = (
        check_authentication,
        check_secrets,
        check_tls,
        check_client_addresses,
        check_spending,
        check_data_dir,
        check_disk,
    )
    of_file = () if settings.is_shared else (check_database, check_operator_keys, check_wal)
    for check in (*local, *of_file, check_port):
        yield await asyncio.to_thread(check, settings)
    if settings.is_shared:
        from phoenix_compat.operations.doctor.shared import check_shared  # noqa: PLC0415 - extras

        async for finding in check_shared(settings):
            yield finding
    yield await check_files(settings)
    yield check_open_files()
    for finding in await check_provider(settings):
        yield finding
    yield await check_public_url(settings, credential)


def check_configuration(found: Configuration) -> Finding:
    """Are the settings valid, and can other users read no secret?"""
    try:
        check_settings(found.settings)
    except ConfigError as error:
        return fail("config", str(error), "correct these settings; docs/settings.md explains them")
    if exposed := exposed_secrets(found):
        parts = [sentence.partition("; ") for sentence in exposed]
        return warn(
            "config",
            ", ".join(what for what, _, _ in parts),
            " && ".join(remedy for _, _, remedy in parts),
        )
    return ok("config", f"configuration OK (file: {found.file or 'none'})")


def check_data_dir(settings: Settings) -> Finding:
    """Can this user write to the data directory, and can others not look into it?"""
    folder = settings.data_dir
    name = "data directory"
    if not folder.exists():
        return ok(name, f"{folder} does not exist yet; serve creates it")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        remedy = f"give it to the user of the server (chown -R USER {folder}), or choose another"
        return fail(name, f"cannot write to {folder}: {error.strerror}", remedy)
    if os.name == "posix" and folder.stat().st_mode & 0o002:
        return warn(name, f"every user can write to {folder}", f"chmod o-rwx {folder}")
    if exposed := exposed_data_dir(settings):
        what, _, remedy = exposed.partition("; ")
        return warn(name, what, remedy)
    return ok(name, f"{folder.absolute()} is writable")


def check_disk(settings: Settings) -> Finding:
    """Is there enough free space on the disk?"""
    places = (settings.data_dir, *settings.data_dir.absolute().parents)
    folder = next(place for place in places if place.exists())
    free = shutil.disk_usage(folder).free
    detail = f"{free / 1e9:.1f} GB are free"
    remedy = "free some space, run phoenix-compat prune, or set archive_max_bytes"
    if free < MIN_FREE_BYTES:
        return fail("disk", detail, remedy)
    return warn("disk", detail, remedy) if free < LOW_FREE_BYTES else ok("disk", detail)


def check_database(settings: Settings) -> Finding:
    """Is the database intact, and does it have this program's schema version?"""
    path = settings.database_path
    if not path.exists():
        return ok("database", "there is none yet; serve creates it")
    try:
        plan = plan_upgrade(path, schema_sql())
        contents = inspect_database(path, plan.wanted)
    except StoreError as error:
        remedy = "stop the server, and restore a backup: phoenix-compat restore FILE"
        return fail("database", str(error), remedy)
    detail = f"{contents.tasks} tasks, integrity_check ok, schema version {plan.found}"
    if plan.is_needed:
        remedy = "the next start upgrades it; phoenix-compat upgrade --plan shows the steps"
        return warn("database", detail, remedy)
    return ok("database", detail)


def check_wal(settings: Settings) -> Finding:
    """Is the write-ahead log copied back to the database from time to time?"""
    path = settings.database_path
    wal = path.with_name(f"{path.name}-wal")
    size = wal.stat().st_size if wal.exists() else 0
    detail = f"{size / 1e6:.1f} MB, SQLite {sqlite3.sqlite_version}"
    if size > LARGE_WAL_BYTES:
        remedy = "another program keeps the database open (a backup? a shell?): end it, or restart"
        return warn("WAL", detail, remedy)
    return ok("WAL", detail)


def check_open_files() -> Finding:
    """How many clients does the limit of open files allow?"""
    if sys.platform == "win32":
        return ok("open files", "this system has no such limit")
    import resource  # noqa: PLC0415 - missing on Windows

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < MIN_OPEN_FILES:
        remedy = "raise it: LimitNOFILE=65536 in the unit, or ulimit -Hn 65536"
        return warn("open files", f"at most {hard}, which limits the number of clients", remedy)
    return ok("open files", f"at most {hard if hard >= 0 else 'any number'}")
