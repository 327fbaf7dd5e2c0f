"""Reads what the killed server left on disk: the database, its journal, the kept files."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

_KEPT = re.compile(r"([0-9a-f]{64})\.\w{1,5}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What a task's row says that the API does not.

    Attributes:
        attempts: creates that may have been billed, by the server's own count.
        files: sha256 of each file that was kept for it.
    """

    status: str
    attempts: int
    prediction_id: str | None
    files: tuple[str, ...]


def damage_after_kill(folder: Path, promised: Iterable[str]) -> list[str]:
    """What is wrong with a copy of the database as the kill left it; blocking.

    A copy, because whoever opens it recovers the journal, and that is the server's to do.
    """
    found = sorted(folder.glob("*.sqlite3"))
    if not found:
        return []
    with tempfile.TemporaryDirectory() as copies:
        for path in (*found, *folder.glob("*.sqlite3-wal")):
            shutil.copy2(path, copies)
        return damage(Path(copies) / found[0].name, promised)


def damage(path: Path, promised: Iterable[str]) -> list[str]:
    """What is wrong with a database, in words; blocking."""
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
        halves = connection.execute(_HALF_WRITTEN).fetchall()
    problems += [f"{task_id} was promised and is not there" for task_id in set(promised) - present]
    return problems + [f"{task_id} is {status} without its event" for task_id, status in halves]


def rows(path: Path) -> dict[str, Row]:
    """Every task's row, by id; blocking."""
    with _opened(path) as connection:
        columns = {name for _, name, *_ in connection.execute("PRAGMA table_info(tasks)")}
        files = "files" if "files" in columns else "'[]'"
        query = f"SELECT id, status, attempts, prediction_id, {files} FROM tasks"  # noqa: S608 - one of two constants
        return {
            task_id: Row(
                status=status,
                attempts=attempts,
                prediction_id=prediction_id,
                files=tuple(file["sha256"] for file in json.loads(kept)),
            )
            for task_id, status, attempts, prediction_id, kept in connection.execute(query)
        }


def damaged_files(folder: Path, wanted: Iterable[str]) -> tuple[int, list[str]]:
    """How many files are kept, and what is wrong with them, in words; blocking.

    Args:
        wanted: sha256 of each file that a task names.
    """
    kept: set[str] = set()
    problems = [f"{path.name} was left half written" for path in folder.rglob("*.part")]
    for path in folder.rglob("*"):
        match = _KEPT.fullmatch(path.name)
        if match is None or "thumbnails" in path.parts:
            continue
        kept.add(match[1])
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != match[1]:
                problems.append(f"{path.name} has other bytes than its name says")
    problems += [f"{sha256} is named by a task and not kept" for sha256 in set(wanted) - kept]
    return len(kept), problems


_HALF_WRITTEN = """
SELECT id, status FROM tasks
WHERE NOT EXISTS (SELECT 1 FROM events WHERE task_id = tasks.id AND event = tasks.status)
"""


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as connection:
        yield connection
