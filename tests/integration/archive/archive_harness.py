"""An archive, an emulator that fills it, and hosts that answer as a test wants."""

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
from tests.unit.tasks.sample_tasks import a_task

TASK = a_task()
PNG = b"\x89PNG\r\n\x1a\n"
"""As much of a picture as the archive looks at; no decoder takes it."""


class SteeredClock(SystemClock):
    """A wall clock that goes only where it is sent."""

    def __init__(self) -> None:
        self._now = datetime(2026, 1, 5, 10, tzinfo=UTC)

    def now(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += timedelta(seconds=seconds)


@asynccontextmanager
async def opened(folder: Path, *origins: str, **options: Any) -> AsyncIterator[Archive]:
    """An archive that fetches from these origins, with waits that a test can afford."""
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
    """The output of a prediction that has succeeded."""
    created = await caller.create(prompt, given=given)
    caller.state.clock.advance(60)
    return (await caller.poll(created)).json["output"]


async def refusal(archive: Archive, *urls: str) -> ArchiveError:
    """The error with which `keep` refuses."""
    try:
        await archive.keep(TASK, urls)
    except ArchiveError as error:
        return error
    raise AssertionError("everything was kept")


def files_in(folder: Path) -> list[str]:
    """Every file below the folder, hidden ones too."""
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )
