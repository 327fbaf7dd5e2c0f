"""Migrates a database file from an older schema version, one step for each version.

All steps run in one transaction that also sets the new `user_version`, so a crash leaves the old
version. Before that the file is copied.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import structlog

from phoenix_compat.private_files import FILE_MODE
from phoenix_compat.tasks.disk import fsync_path
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
    2: """
ALTER TABLE tasks ADD COLUMN owner TEXT NOT NULL DEFAULT '';
ALTER TABLE tasks ADD COLUMN reserved_microdollars INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN reserved_on TEXT;
CREATE INDEX tasks_by_owner ON tasks (owner, number);
CREATE INDEX tasks_by_status_and_owner ON tasks (status, owner, number);

ALTER TABLE idempotency_keys RENAME TO old_idempotency_keys;
DROP INDEX idempotency_keys_by_age;
DROP INDEX idempotency_keys_by_task;
CREATE TABLE idempotency_keys (
  owner            TEXT NOT NULL DEFAULT '',
  key              TEXT NOT NULL,
  body_fingerprint TEXT NOT NULL,
  task_id          TEXT NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
  created_at       TEXT NOT NULL,
  PRIMARY KEY (owner, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
CREATE INDEX idempotency_keys_by_task ON idempotency_keys (task_id);
INSERT INTO idempotency_keys (key, body_fingerprint, task_id, created_at)
  SELECT key, body_fingerprint, task_id, created_at FROM old_idempotency_keys;
DROP TABLE old_idempotency_keys;

CREATE TABLE spending (
  period       TEXT    NOT NULL,
  subject      TEXT    NOT NULL,
  tasks        INTEGER NOT NULL DEFAULT 0,
  microdollars INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (period, subject)
) WITHOUT ROWID;

CREATE TABLE api_keys (
  name         TEXT PRIMARY KEY,
  sha256       TEXT NOT NULL UNIQUE,
  scopes       TEXT NOT NULL,
  created_at   TEXT NOT NULL,
  last_used_at TEXT,
  revoked_at   TEXT
) WITHOUT ROWID;
""",
    3: """
CREATE TABLE uploads (
  owner        TEXT    NOT NULL DEFAULT '',
  sha256       TEXT    NOT NULL,
  content_type TEXT    NOT NULL,
  size_bytes   INTEGER NOT NULL,
  created_at   TEXT    NOT NULL,
  used_at      TEXT    NOT NULL,
  PRIMARY KEY (owner, sha256)
) WITHOUT ROWID;
CREATE INDEX uploads_by_hash ON uploads (sha256);
CREATE INDEX uploads_by_use ON uploads (used_at);

CREATE TABLE task_inputs (
  sha256  TEXT NOT NULL,
  task_id TEXT NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
  PRIMARY KEY (sha256, task_id)
) WITHOUT ROWID;
CREATE INDEX task_inputs_by_task ON task_inputs (task_id);

CREATE TABLE provider_files (
  url        TEXT PRIMARY KEY,
  sha256     TEXT NOT NULL,
  created_at TEXT NOT NULL,
  expires_at TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX provider_files_by_hash ON provider_files (sha256);
CREATE INDEX provider_files_by_expiry ON provider_files (expires_at);
""",
    4: "ALTER TABLE tasks ADD COLUMN traceparent TEXT;",
    5: """
CREATE TABLE webhook_deliveries (
  number           INTEGER PRIMARY KEY,
  webhook          TEXT    NOT NULL,
  id               TEXT    NOT NULL,
  task_id          TEXT    NOT NULL,
  event            TEXT    NOT NULL,
  body             TEXT    NOT NULL,
  created_at       TEXT    NOT NULL,
  attempts         INTEGER NOT NULL DEFAULT 0,
  first_attempt_at TEXT,
  next_attempt_at  TEXT,
  error            TEXT,
  failed_at        TEXT
);
CREATE INDEX webhook_deliveries_by_task ON webhook_deliveries (webhook, task_id, number);
CREATE INDEX webhook_deliveries_by_time ON webhook_deliveries (webhook, failed_at, next_attempt_at);
CREATE TABLE webhooks (
  name            TEXT    PRIMARY KEY,
  delivered       INTEGER NOT NULL DEFAULT 0,
  dropped         INTEGER NOT NULL DEFAULT 0,
  last_success_at TEXT,
  disabled_at     TEXT,
  reason          TEXT
) WITHOUT ROWID;
""",
    6: """
ALTER TABLE tasks ADD COLUMN lease INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN lease_until TEXT;
ALTER TABLE tasks ADD COLUMN node TEXT;

CREATE TABLE provider_state (
  name         TEXT PRIMARY KEY,
  served_owner TEXT NOT NULL DEFAULT '',
  state        TEXT NOT NULL,
  updated_at   TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE roles (
  name  TEXT PRIMARY KEY,
  node  TEXT NOT NULL,
  until TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE nodes (
  id         TEXT    PRIMARY KEY,
  name       TEXT    NOT NULL,
  version    TEXT    NOT NULL,
  url        TEXT,
  started_at TEXT    NOT NULL,
  seen_at    TEXT    NOT NULL,
  running    INTEGER NOT NULL DEFAULT 0,
  deaf       INTEGER NOT NULL DEFAULT 0 CHECK (deaf IN (0, 1))
) WITHOUT ROWID;
CREATE TABLE shared_secrets (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
) WITHOUT ROWID;
""",
}
"""Schema version of a file -> the SQL that migrates it to the next version."""

_REQUIRED_TABLES = frozenset({"tasks", "events"})
"""Tables that every version has; a file without them is not a task database."""

log = structlog.stdlib.get_logger(__name__)


def can_migrate(connection: sqlite3.Connection, found: int, wanted: int) -> bool:
    """Whether the file is a task database and there is a step for each version in between."""
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    return names >= _REQUIRED_TABLES and all(version in STEPS for version in range(found, wanted))


def copy_path(path: Path, found: int) -> Path:
    """The path of the copy that `migrate` makes of a file with this version."""
    return path.with_name(f"{path.name}.v{found}.bak")


def migrate(connection: sqlite3.Connection, path: Path, found: int, wanted: int) -> None:
    """Copy the file into the same folder, then migrate it from one version to another.

    Blocking; the caller has locked the file.

    Raises:
        StoreOpenError: the copy or a step failed; the file was not changed.
    """
    copy = copy_path(path, found)
    steps = "\n".join(STEPS[version] for version in range(found, wanted))
    try:
        _copy(connection, copy)
        connection.executescript(
            f"BEGIN IMMEDIATE;\n{steps}\nPRAGMA user_version = {wanted};\nCOMMIT;"
        )
    except (sqlite3.Error, OSError) as error:
        cause = error.strerror if isinstance(error, OSError) else error
        reason = (
            f"it cannot be migrated from schema version {found} to {wanted} ({cause}); "
            "it is unchanged, so the older version of this program can still use it"
        )
        raise StoreOpenError(path, reason) from error
    log.info("database.migrated", path=str(path), found=found, wanted=wanted, copy=str(copy))


def _copy(connection: sqlite3.Connection, copy: Path) -> None:
    """Write the copy under a temporary name, then rename it, so it is complete or absent."""
    unfinished = copy.with_name(f"{copy.name}.part")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(mode=FILE_MODE)
    try:
        with contextlib.closing(sqlite3.connect(unfinished, isolation_level=None)) as target:
            connection.backup(target)
            # Without a WAL the copy is a single file, which can be moved.
            target.execute("PRAGMA journal_mode = DELETE").fetchall()
        fsync_path(unfinished)
        unfinished.replace(copy)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    fsync_path(copy.parent)
