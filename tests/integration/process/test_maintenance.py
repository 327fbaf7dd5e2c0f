"""The hourly maintenance deletes old tasks."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

from phoenix_compat.server.process.maintenance import Maintenance
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.tasks.archive.archive import Archive
from phoenix_compat.tasks.model.clock import SystemClock
from phoenix_compat.tasks.model.task import TaskStatus
from phoenix_compat.tasks.store.opening import open_task_store
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.store.upload_store import UploadStore
from tests.integration.store.dump_store import fill
from tests.integration.worker.worker_harness import SCHEMA
from tests.patience import patient


class Tomorrow(SystemClock):
    """A clock that is a day ahead."""

    def now(self) -> datetime:
        return super().now() + timedelta(days=1)


async def states(store: TaskStore) -> set[TaskStatus]:
    return {task.status for task in await store.list()}


async def test_ended_tasks_are_deleted_once_they_are_old_enough(tmp_path: Path) -> None:
    """With the old setting all tasks stay; a new setting is applied at once."""
    await fill(tmp_path / "tasks.db")
    async with await open_task_store(tmp_path / "tasks.db", SCHEMA) as store:
        archive = Archive(tmp_path / "files", min_free_bytes=0)
        await archive.open()
        settings, uploads = Settings(keep_tasks_s=172_800), UploadStore(store)
        maintenance = Maintenance(settings, store, archive, uploads, Tomorrow())
        maintenance.start()
        await asyncio.sleep(0)
        before = await states(store)

        maintenance.change(Settings(keep_tasks_s=3_600))
        async with asyncio.timeout(patient(10.0)):
            while await states(store) & {TaskStatus.COMPLETED, TaskStatus.FAILED}:  # noqa: ASYNC110 - a commit sets no event
                await asyncio.sleep(0.01)
        await maintenance.stop()
        await archive.close()

    assert before == set(TaskStatus)
