"""From an older shape of the database to the present one, a step for each version.

A step is what the change of schema.sql means for a file that has rows. All steps that a file needs
are one transaction with the new `user_version`: a kill leaves the old file. It was copied first.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import structlog

from phoenix_compat.tasks.disk import sync
from phoenix_compat.tasks.model.errors import StoreOpenError

STEPS: Mapping[int, str] = {
    1: """
ALTER TABLE tasks ADD COLUMN cycle INTEGER NOT NULL DEFAULT 1;
ALTER TABLE tasks ADD COLUMN retries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN models_tried TEXT NOT NULL DEFAULT '[]';
ALTER TABLE tasks ADD COLUMN provider_model TEXT;
ALTER TABLE tasks ADD COLUMN deadline_s REAL;
ALTER TABLE tasks ADD COLUMN files TEXT NOT NULL DEFAULT '[]';
ALTER TABLE tasks ADD COLUMN estimated_cost_usd REAL;

CREATE TABLE predictions (
  id         TEXT PRIMARY KEY,
  task_id    TEXT NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
  created_at TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX predictions_by_task ON predictions (task_id);
INSERT INTO predictions (id, task_id, created_at)
  SELECT prediction_id, id, coalesce(started_at, updated_at) FROM tasks
  WHERE prediction_id IS NOT NULL;

CREATE TABLE idempotency_keys (
  key              TEXT PRIMARY KEY,
  body_fingerprint TEXT NOT NULL,
  task_id          TEXT NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
  created_at       TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
CREATE INDEX idempotency_keys_by_task ON idempotency_keys (task_id);
""",
}
"""The version a file has -> the SQL that makes it the next."""

_OURS = frozenset({"tasks", "events"})
"""Tables that every version has; a file without them is someone else's."""

log = structlog.stdlib.get_logger(__name__)


def can_migrate(connection: sqlite3.Connection, found: int, wanted: int) -> bool:
    """Whether the file is ours and there is a step from each version on the way."""
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    return names >= _OURS and all(version in STEPS for version in range(found, wanted))


def copy_path(path: Path, found: int) -> Path:
    """Where the copy of a file of this version is kept."""
    return path.with_name(f"{path.name}.v{found}.bak")


def migrate(connection: sqlite3.Connection, path: Path, found: int, wanted: int) -> None:
    """Copy the file beside itself, then bring it from one version to another, or leave it.

    Blocking; the caller holds the file's lock.

    Raises:
        StoreOpenError: no queue limit for the copy, or a step that fails; the file is as it was.
    """
    copy = copy_path(path, found)
    steps = "\n".join(STEPS[version] for version in range(found, wanted))
    try:
        _copy(connection, copy)
        connection.executescript(
            f"BEGIN IMMEDIATE;\n{steps}\nPRAGMA user_version = {wanted};\nCOMMIT;"
        )
    except (sqlite3.Error, OSError) as error:
        reason = (
            f"it cannot be brought from schema version {found} to {wanted} ({error}); "
            "it is unchanged, so the older program still reads it"
        )
        raise StoreOpenError(path, reason) from error
    log.info("database.migrated", path=str(path), found=found, wanted=wanted, copy=str(copy))


def _copy(connection: sqlite3.Connection, copy: Path) -> None:
    """A sound copy under that name, or none: it is written under another and renamed."""
    unfinished = copy.with_name(f"{copy.name}.part")
    unfinished.unlink(missing_ok=True)
    # Prompts are private, in a copy too.
    unfinished.touch(mode=0o600)
    try:
        with contextlib.closing(sqlite3.connect(unfinished, isolation_level=None)) as target:
            connection.backup(target)
            # One file that needs no WAL beside it, so that it can be moved and read anywhere.
            target.execute("PRAGMA journal_mode = DELETE").fetchall()
        sync(unfinished)
        unfinished.replace(copy)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    sync(copy.parent)
