"""Checks what a killed server left on disk: the database and the stored files."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

_TWO_DAYS_S = 2 * 24 * 3_600.0
_STORED_NAME = re.compile(r"([0-9a-f]{64})\.\w{1,5}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The columns of a task that the API does not show.

    Attributes:
        prompt: as posted.
        attempts: how many creates may have been billed, as counted by the server.
        files: the sha256 of each file that was stored for the task.
        has_input: it got a file of its client.
    """

    status: str
    prompt: str
    attempts: int
    prediction_id: str | None
    files: tuple[str, ...]
    has_input: bool


def damage_after_kill(folder: Path, promised: Iterable[str]) -> list[str]:
    """Errors in a copy of the database, as the kill left it; blocking.

    It checks a copy because opening the database recovers its WAL, which the server must do.
    """
    found = sorted(folder.glob("*.sqlite3"))
    if not found:
        return []
    with tempfile.TemporaryDirectory() as copies:
        for path in (*found, *folder.glob("*.sqlite3-wal")):
            shutil.copy2(path, copies)
        return damage(Path(copies) / found[0].name, promised)


def damage(path: Path, promised: Iterable[str]) -> list[str]:
    """Errors in a database, as messages; blocking."""
    with _opened(path) as connection:
        problems = [
            f"integrity_check: {line}"
            for (line,) in connection.execute("PRAGMA integrity_check")
            if line != "ok"
        ]
        problems += [
            f"foreign key: {row}" for row in connection.execute("PRAGMA foreign_key_check")
        ]
        present = {task_id for (task_id,) in connection.execute("SELECT id FROM tasks")}
        without_event = connection.execute(_WITHOUT_EVENT).fetchall()
    problems += [
        f"{task_id} was accepted with 202 and is missing" for task_id in set(promised) - present
    ]
    return problems + [
        f"{task_id} is {status} without its event" for task_id, status in without_event
    ]


def rows(path: Path) -> dict[str, Row]:
    """The rows of all tasks, by id; blocking."""
    with _opened(path) as connection:
        columns = {name for _, name, *_ in connection.execute("PRAGMA table_info(tasks)")}
        files_column = "files" if "files" in columns else "'[]'"
        query = f"SELECT id, status, input, attempts, prediction_id, {files_column} FROM tasks"  # noqa: S608 - one of two constants
        return {
            task_id: Row(
                status=status,
                prompt=json.loads(posted)["prompt"],
                attempts=attempts,
                prediction_id=prediction_id,
                files=tuple(file["sha256"] for file in json.loads(files)),
                has_input="upload:" in posted,
            )
            for task_id, status, posted, attempts, prediction_id, files in connection.execute(query)
        }


def damaged_files(folder: Path, named: Iterable[str]) -> tuple[int, list[str]]:
    """Count the stored files, and check them; blocking.

    Args:
        named: the sha256 of each file that a task names.

    Returns:
        The number of files, and the errors as messages.
    """
    stored: set[str] = set()
    problems = [f"{path.name} is incomplete" for path in folder.rglob("*.part")]
    for path in folder.rglob("*"):
        match = _STORED_NAME.fullmatch(path.name)
        if match is None or "thumbnails" in path.parts:
            continue
        stored.add(match[1])
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != match[1]:
                problems.append(f"{path.name} does not match the hash in its name")
    problems += [f"{sha256} is named by a task and is not stored" for sha256 in set(named) - stored]
    return len(stored), problems


def make_old(folder: Path, path: Path) -> frozenset[str]:
    """Let all files be two days old; blocking. Returns the hashes of those that clients sent."""
    with _opened(path) as connection, connection:
        connection.execute(
            "UPDATE uploads SET used_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-2 days')"
        )
    old_s = time.time() - _TWO_DAYS_S
    for file in _stored(folder):
        os.utime(file, (old_s, old_s))
    return uploads(path)


def uploads(path: Path) -> frozenset[str]:
    """The hashes of the files that clients sent; blocking."""
    with _opened(path) as connection:
        return frozenset(sha256 for (sha256,) in connection.execute("SELECT sha256 FROM uploads"))


def unused_uploads(path: Path) -> frozenset[str]:
    """The hashes of the files that no task uses; blocking."""
    with _opened(path) as connection:
        used = connection.execute("SELECT sha256 FROM task_inputs")
        return uploads(path) - {sha256 for (sha256,) in used}


def orphans(folder: Path, path: Path) -> list[str]:
    """Files that no row names, thumbnails without a file, and rows whose file is not stored."""
    named = uploads(path) | {sha256 for row in rows(path).values() for sha256 in row.files}
    stored = {file.stem for file in _stored(folder)}
    thumbnails = {file.stem for file in folder.glob("files/thumbnails/*/*/*")}
    return [
        *(f"{sha256} is stored, and no row names it" for sha256 in stored - named),
        *(f"{sha256} has a thumbnail and is not stored" for sha256 in thumbnails - stored),
        *(f"{sha256} is named by a row and not stored" for sha256 in named - stored),
    ]


def _stored(folder: Path) -> Iterator[Path]:
    return folder.glob("files/[0-9a-f][0-9a-f]/*/*")


_WITHOUT_EVENT = """
SELECT id, status FROM tasks
WHERE NOT EXISTS (SELECT 1 FROM events WHERE task_id = tasks.id AND event = tasks.status)
"""


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as connection:
        yield connection
