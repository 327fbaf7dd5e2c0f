"""Helpers for tests of the archive: an open archive, file hosts, and a manual clock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

from phoenix_compat.tasks.archive.archive import Archive
from phoenix_compat.tasks.archive.errors import ArchiveError
from phoenix_compat.tasks.model.clock import SystemClock
from tests.serving import serving
from tests.unit.emulator.emulator_client import EmulatorClient
from tests.unit.tasks.sample_tasks import make_task

TASK = make_task()
PNG = b"\x89PNG\r\n\x1a\n"
"""A PNG signature: the archive detects the type, but no decoder can open the file."""


class ManualClock(SystemClock):
    """A wall clock that changes only when a test advances it."""

    def __init__(self) -> None:
        self._now = datetime(2026, 1, 5, 10, tzinfo=UTC)

    def now(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> None:
        """Advance the clock."""
        self._now += timedelta(seconds=seconds)


@asynccontextmanager
async def opened(folder: Path, *origins: str, **options: Any) -> AsyncIterator[Archive]:
    """An open archive that downloads from these origins, with short waits."""
    fast: dict[str, Any] = {"allowed_hosts": origins, "retry_first_s": 0.01, "min_free_bytes": 0}
    archive = Archive(folder, **fast | options)
    await archive.open()
    try:
        yield archive
    finally:
        await archive.close()


@asynccontextmanager
async def host(handler: Any) -> AsyncIterator[str]:
    """A file host with one handler for every path; yields its origin."""
    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    async with serving(app) as origin:
        yield origin


async def output_of(caller: EmulatorClient, prompt: str, **given: Any) -> Any:
    """Create a prediction at the emulator, and return its output."""
    created = await caller.create(prompt, given=given)
    caller.state.clock.advance(60)
    return (await caller.poll(created)).json["output"]


async def refusal(archive: Archive, *urls: str) -> ArchiveError:
    """Call `keep` and return its error."""
    try:
        await archive.keep(TASK, urls)
    except ArchiveError as error:
        return error
    raise AssertionError("keep raised no error")


def files_in(folder: Path) -> list[str]:
    """Every file in the folder and its subfolders, including temporary ones."""
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )
