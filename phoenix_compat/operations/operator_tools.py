"""Gives the console of a server the commands that it may call; see server.inspection."""

# ruff: noqa: PLC0415 - what these functions import is not needed to start a server

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from phoenix_compat.errors import ConfigError
from phoenix_compat.server.inspection.operator_tools import (
    Finding,
    FrameChecker,
    OperatorTools,
    Progress,
)

if TYPE_CHECKING:
    from phoenix_compat.server.process.settings import Settings
    from phoenix_compat.server.process.settings.configuration import Configuration


def operator_tools(load: Callable[[], Configuration]) -> OperatorTools:
    """The tools of a server.

    Args:
        load: reads the configuration as at the start; blocking. Raises ConfigError.
    """
    return OperatorTools(load=load, examine=_examine, back_up=_back_up, check_frames=_check_frames)


def _check_frames(is_v1: bool) -> FrameChecker:  # noqa: FBT001 - called by position
    from phoenix_compat.operations.frame_checks import FrameChecks

    return FrameChecks(is_v1=is_v1)


async def _examine(found: Configuration) -> AsyncIterator[Finding]:
    from phoenix_compat.operations.doctor.doctor import examine

    async for finding in examine(found):
        yield finding


def _back_up(settings: Settings, out: Path, progress: Progress) -> str:
    from phoenix_compat.operations.data.backup import Data, back_up
    from phoenix_compat.operations.data.stored_files import files_at
    from phoenix_compat.server.engine import schema_sql
    from phoenix_compat.tasks.store.sqlite.database_file import version_of

    if settings.is_shared:
        raise ConfigError(
            "database_url: the tasks are in PostgreSQL; back it up with pg_dump, and copy the "
            "archived files"
        )
    data = Data(
        database=settings.database_path,
        files=None if settings.bucket is not None else settings.files_path,
        schema_version=version_of(schema_sql()),
        files_at=files_at(settings),
    )
    manifest = back_up(data, out, progress)
    size_mb = sum(part.bytes for part in manifest.parts.values()) / 1e6
    missing = f"; {len(manifest.missing)} files are missing" if manifest.missing else ""
    if manifest.files_at:
        missing = f"; without the files, which stay in {manifest.files_at}"
    files = len(manifest.parts) - 1
    return f"{manifest.tasks} tasks and {files} files, {size_mb:.1f} MB{missing}; verified"
