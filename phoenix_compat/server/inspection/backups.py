"""Writes backups on request, one at a time, to the folder `backups` in the data directory."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import msgspec
import structlog

from phoenix_compat.background import BackgroundTask
from phoenix_compat.errors import PhoenixCompatError
from phoenix_compat.private_files import make_private_folder
from phoenix_compat.server.inspection.operator_tools import OperatorTools
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.tasks.model.clock import wire_time

FOLDER: Final = "backups"
MAX_BACKUPS: Final = 20
"""With more files in the folder no further one is written: each may be as large as all pictures."""

log = structlog.stdlib.get_logger(__name__)


class BackupState(msgspec.Struct, kw_only=True):
    """The last backup that was asked for.

    Attributes:
        state: idle if none was asked for since the start; unavailable without the commands.
        step: copy (of the database), files or verify.
        done_bytes, total_bytes: of the step.
        file: where it is, or will be.
        summary: what it has, once it is done.
        error: why it failed, for people.
    """

    state: Literal["unavailable", "idle", "running", "done", "failed"] = "idle"
    step: str = ""
    done_bytes: int = 0
    total_bytes: int = 0
    file: str = ""
    started_at: str | None = None
    ended_at: str | None = None
    summary: str = ""
    error: str = ""


class BackupBusyError(PhoenixCompatError):
    """A backup is being written."""


class Backups:
    """Writes backups.

    Attributes:
        state: the last one.
    """

    def __init__(self, settings: Settings, tools: OperatorTools) -> None:
        self.state = BackupState()
        self._settings = settings
        self._tools = tools
        self._task: BackgroundTask | None = None

    def start(self) -> BackupState:
        """Begin a backup. Raises BackupBusyError."""
        if self.state.state == "running":
            raise BackupBusyError("a backup is being written; wait for its end")
        now = datetime.now(UTC)
        out = (
            self._settings.data_dir.absolute() / FOLDER / f"phoenix-compat-{now:%Y%m%dT%H%M%SZ}.tar"
        )
        self.state = BackupState(
            state="running", step="copy", file=str(out), started_at=wire_time(now)
        )
        self._task = BackgroundTask("backup", lambda: self._run(out), is_endless=False)
        self._task.start()
        return self.state

    async def stop(self) -> None:
        """Stop waiting for a backup; what is written of it has no final name and is deleted."""
        if self._task is not None:
            await self._task.stop()

    async def _run(self, out: Path) -> None:
        state = self.state
        try:
            state.summary = await asyncio.to_thread(self._write, out, state)
        except (PhoenixCompatError, OSError) as error:
            state.state, state.error = "failed", str(error)
            log.warning("backup.failed", file=out.name, reason=str(error))
        else:
            state.state = "done"
            log.info("backup.written", file=out.name, summary=state.summary)
        state.ended_at = wire_time(datetime.now(UTC))

    def _write(self, out: Path, state: BackupState) -> str:
        make_private_folder(out.parent)
        count = sum(1 for path in out.parent.iterdir() if path.suffix == ".tar")
        if count >= MAX_BACKUPS:
            raise PhoenixCompatError(
                f"{out.parent} has {count} backups already; move some of them elsewhere"
            )

        def progress(step: str, done_bytes: int, total_bytes: int) -> None:
            state.step, state.done_bytes, state.total_bytes = step, done_bytes, total_bytes

        return self._tools.back_up(self._settings, out, progress)
