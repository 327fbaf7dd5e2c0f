"""Deletes old tasks, old files and unused uploads every hour, where the database is open.

Where servers share the files, it looks for those that no row names too, once a day.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import Final

import structlog

from phoenix_compat.background import BackgroundTask
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.tasks.archive.archive import Archive
from phoenix_compat.tasks.archive.errors import ArchiveError
from phoenix_compat.tasks.model.clock import Clock, SystemClock
from phoenix_compat.tasks.model.errors import StoreError
from phoenix_compat.tasks.pruning import prune_orphans, prune_tasks, prune_uploads
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.store.upload_store import UPLOAD_RETENTION, UploadStore

_HOUR_S: Final = 3_600.0
_DAY_S: Final = 24 * _HOUR_S

log = structlog.stdlib.get_logger(__name__)


class Maintenance:
    """Prunes by the settings, which may change while it runs.

    Attributes:
        background: the background task.
    """

    def __init__(
        self,
        settings: Settings,
        store: TaskStore,
        archive: Archive,
        uploads: UploadStore,
        clock: Clock | None = None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._archive = archive
        self._uploads = uploads
        self._clock = clock or SystemClock()
        self._changed = asyncio.Event()
        self._orphans_at_s = float("-inf")
        self.background = BackgroundTask("maintenance", self._run)

    def start(self) -> None:
        """Prune at once, and then every hour."""
        self.background.start()

    async def stop(self) -> None:
        """Stop pruning."""
        await self.background.stop()

    def change(self, settings: Settings) -> None:
        """Use these settings from now on, and prune at once."""
        self._settings = settings
        self._changed.set()

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            try:
                await self._prune()
            except (StoreError, ArchiveError) as error:
                log.warning("maintenance.failed", reason=str(error))
            # asyncio.wait_for of Python 3.11 ignores a cancel that comes with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_HOUR_S):
                    await self._changed.wait()

    async def _prune(self) -> None:
        settings = self._settings
        if settings.keep_tasks_s is not None:
            before = self._clock.now() - timedelta(seconds=settings.keep_tasks_s)
            await prune_tasks(self._store, self._archive, before)
        unused_since = self._clock.now() - UPLOAD_RETENTION
        await prune_uploads(self._uploads, self._store, self._archive, unused_since)
        if settings.keep_files_s is not None:
            await self._archive.prune(older_than_s=settings.keep_files_s)
        now_s = self._clock.monotonic()
        if self._archive.files.is_shared and now_s - self._orphans_at_s >= _DAY_S:
            await prune_orphans(self._store, self._archive)
            self._orphans_at_s = now_s
