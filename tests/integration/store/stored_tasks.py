"""Makes stored tasks: moves them through states, or fills a whole data directory."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path

from phoenix_compat.tasks.archive.stored_file import StoredFile
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.store.sqlite.database_file import version_of
from phoenix_compat.tasks.store.task_store import TaskStore
from tests.integration.store.dump_store import fill
from tests.integration.worker.worker_harness import SCHEMA

SCHEMA_VERSION = version_of(SCHEMA)


def make_data_dir(folder: Path) -> Path:
    """Make a data directory with a task in every state, and stored files for the completed one.

    For tests without an event loop.
    """
    folder.mkdir(exist_ok=True)
    asyncio.run(fill(folder / "tasks.sqlite3"))
    files = [make_stored_file(folder / "files", f"picture {number}") for number in (1, 2)]
    with closing(sqlite3.connect(folder / "tasks.sqlite3")) as connection, connection:
        connection.execute(
            "UPDATE tasks SET files = ? WHERE status = 'completed'",
            (json.dumps([file.document() for file in files]),),
        )
    return folder


def make_stored_file(folder: Path, content: str) -> StoredFile:
    """Write a file and its thumbnail to where the archive stores them."""
    sha256 = hashlib.sha256(content.encode()).hexdigest()
    stem = f"{sha256[:2]}/{sha256[2:4]}/{sha256}"
    names = (f"{stem}.png", f"thumbnails/{stem}.webp")
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return StoredFile(
        sha256=sha256,
        size_bytes=len(content),
        content_type="image/png",
        path=names[0],
        thumbnail_path=names[1],
    )


async def moved(store: TaskStore, task: Task, *statuses: TaskStatus) -> Task:
    """Move a task through these states, and return it."""
    for to in statuses:
        changed = await store.move(task, to)
        assert changed is not None
        task = changed
    return task
