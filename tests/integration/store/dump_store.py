"""Prints the SQL of a database with a task in every state, for the tests of migrations.

    python -m tests.integration.store.dump_store > tests/integration/store/version_2.sql

Run it before the schema changes, so that the tests have a sample of the last version.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.store.opening import open_task_store
from tests.integration.worker.worker_harness import SCHEMA, task_params

RESULT = {"image_url": "https://replicate.delivery/é.jpg", "model": "google/imagen-4-fast"}
ERROR = {"error": "The task was canceled.", "code": "canceled"}


async def fill(path: Path) -> None:
    """Add a task in each state to a new store, and one more that is queued."""
    async with await open_task_store(path, SCHEMA) as store:

        async def moved(task: Task, *states: TaskStatus) -> Task:
            for to in states:
                prediction_id = f"p-{task.number}" if to is TaskStatus.RUNNING else None
                if to is TaskStatus.COMPLETED:
                    changed = await store.move(task, to, result_data=RESULT)
                elif to is TaskStatus.FAILED:
                    changed = await store.move(task, to, error_data=ERROR)
                elif to is TaskStatus.RUNNING:
                    changed = await store.move(task, to, prediction_id=prediction_id, progress=0.4)
                else:
                    changed = await store.move(task, to, attempts=1)
                if changed is None:
                    raise RuntimeError(f"task {task.number} did not move to {to}")
                task = changed
            return task

        submitting, running = TaskStatus.SUBMITTING, TaskStatus.RUNNING
        tasks = [await store.add(task_params(prompt=f'monk "{number}"\n')) for number in range(6)]
        await moved(tasks[0], submitting, running, TaskStatus.COMPLETED)
        await moved(tasks[1], submitting, running, TaskStatus.FAILED)
        await moved(tasks[2], submitting, running)
        await moved(tasks[3], submitting)
        await store.request_cancel(tasks[4].id)


def dump_sql(path: Path) -> str:
    """The SQL that recreates the database."""
    with closing(sqlite3.connect(path)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        return "\n".join([*connection.iterdump(), f"PRAGMA user_version = {version};", ""])


def main() -> None:
    """Fill a store in a temporary folder, and print its SQL."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tasks.db"
        asyncio.run(fill(path))
        sys.stdout.write(dump_sql(path))


if __name__ == "__main__":
    main()
