"""Backups on request: one at a time, with progress, and not too many."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from phoenix_compat.errors import PhoenixCompatError
from phoenix_compat.server.inspection.backups import (
    MAX_BACKUPS,
    BackupBusyError,
    Backups,
    BackupState,
)
from phoenix_compat.server.inspection.operator_tools import Progress
from phoenix_compat.server.process.settings import Settings
from tests.patience import patient
from tests.unit.server.inspection.tools_of_tests import tools_of


class Writer:
    """Writes a backup when it may; or fails."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.error: Exception | None = None

    def write(self, _settings: Settings, out: Path, progress: Progress) -> str:
        """Write it."""
        progress("files", 10, 100)
        assert self.may_end.wait(patient(10.0))
        if self.error is not None:
            raise self.error
        out.write_text("x")
        return "3 tasks"


def backups_of(folder: Path, writer: Writer) -> Backups:
    """Backups of a data directory."""
    return Backups(Settings(data_dir=folder), tools_of(back_up=writer.write))


async def until(backups: Backups, *, step: str = "", state: str = "") -> BackupState:
    """Wait until the backup has come so far."""
    async with asyncio.timeout(patient(10.0)):
        while (step and backups.state.step != step) or (  # noqa: ASYNC110 - a thread writes it
            state and backups.state.state != state
        ):
            await asyncio.sleep(0.005)
    return backups.state


async def test_a_backup_has_progress_and_an_end(tmp_path: Path) -> None:
    """While it is written no second one begins; then it stands in a private folder."""
    writer = Writer()
    backups = backups_of(tmp_path, writer)
    assert backups.state.state == "idle"

    backups.start()
    state = await until(backups, step="files")
    assert (state.state, state.done_bytes, state.total_bytes) == ("running", 10, 100)
    with pytest.raises(BackupBusyError):
        backups.start()
    writer.may_end.set()
    state = await until(backups, state="done")

    assert (state.summary, state.error) == ("3 tasks", "")
    assert state.ended_at is not None
    file = Path(state.file)
    assert file.parent == tmp_path / "backups"
    assert file.parent.stat().st_mode & 0o777 == 0o700
    await backups.stop()


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (PhoenixCompatError("the disk is full; free some"), "the disk is full"),
        (OSError(5, "I/O"), "I/O"),
    ],
)
async def test_a_failure_is_told(tmp_path: Path, error: Exception, text: str) -> None:
    """The next one may begin at once."""
    writer = Writer()
    writer.error = error
    writer.may_end.set()
    backups = backups_of(tmp_path, writer)

    backups.start()
    state = await until(backups, state="failed")

    assert text in state.error
    backups.start()
    await until(backups, state="failed")
    await backups.stop()


async def test_backups_do_not_fill_the_disk(tmp_path: Path) -> None:
    """With many of them no further one is written."""
    folder = tmp_path / "backups"
    folder.mkdir()
    for number in range(MAX_BACKUPS):
        (folder / f"{number}.tar").touch()
    backups = backups_of(tmp_path, Writer())

    backups.start()
    state = await until(backups, state="failed")

    assert "move some of them elsewhere" in state.error
    await backups.stop()
