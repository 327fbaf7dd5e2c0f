"""A data directory with a task in every state, and files kept for the one that is completed."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path

from phoenix_compat.tasks.archive.stored_file import StoredFile
from phoenix_compat.tasks.store.sqlite.database_file import version_of
from tests.integration.store.dump_store import fill
from tests.integration.worker.worker_harness import SCHEMA

SCHEMA_VERSION = version_of(SCHEMA)


def a_data_dir(folder: Path) -> Path:
    """Make the data directory; for tests without a loop."""
    folder.mkdir(exist_ok=True)
    asyncio.run(fill(folder / "tasks.sqlite3"))
    files = [a_kept_file(folder / "files", f"picture {number}") for number in (1, 2)]
    with closing(sqlite3.connect(folder / "tasks.sqlite3")) as connection, connection:
        connection.execute(
            "UPDATE tasks SET files = ? WHERE status = 'completed'",
            (json.dumps([file.document() for file in files]),),
        )
    return folder


def a_kept_file(folder: Path, content: str) -> StoredFile:
    """Put a file with its thumbnail where the archive keeps them."""
    sha256 = hashlib.sha256(content.encode()).hexdigest()
    place = f"{sha256[:2]}/{sha256[2:4]}/{sha256}"
    names = (f"{place}.png", f"thumbnails/{place}.webp")
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
